// A model's metadata, as JSON. What is taken is an encoder or a decoder that a file of 1 MiB with
// 100 parameters can hold.
#include "jobs/decoder_model.h"
#include "jobs/encoder_model.h"
#include "runtime/data/paths.h"
#include "tests/fuzz/support.h"

namespace tutti {
namespace {

constexpr std::int64_t kFileBytes = 1 << 20, kParameters = 100;

}  // namespace
}  // namespace tutti

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  Manifest manifest;
  manifest.metadata = nlohmann::json::parse(fuzz::text_of(data, size), nullptr, false);
  manifest.files = {{kModelFile, kFileBytes, 0, std::vector<ExtentRecord>(kParameters)}};
  fuzz::accepts([&] {
    const EncoderShape shape = encoder_shape_of(manifest, "here");
    // Biases and norms come on top of the matrices, and every parameter is padded to a line.
    CHECK(encoder_layout(shape).used_size() <= kFileBytes);
    const TextForm form = text_form_of(manifest, shape, "here");
    CHECK(form.room() >= 1 && form.longest <= shape.max_tokens);
  });
  fuzz::accepts([&] {
    const DecoderShape shape = decoder_shape_of(manifest, "here");
    std::int64_t elements = 0;
    for (const Parameter& parameter : decoder_layout(shape).parameters())
      elements += parameter.size;
    CHECK(4 * elements <= kFileBytes + 4 * kParameterAlignment * kParameters);
    const auto separator = decoder_separator(manifest, shape);
    CHECK(!separator || *separator < shape.body.vocabulary);
  });
  return 0;
}
