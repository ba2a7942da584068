// A config.json of transformers. What is taken is a model that could be made.
#include "jobs/hugging_face_config.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  fuzz::accepts([&] {
    HuggingFaceConfig config =
        read_hugging_face_config(std::string(fuzz::text_of(data, size)), "here");
    if (auto* encoder = std::get_if<EncoderShape>(&config.shape)) {
      encoder->layers = 1;  // each layer takes memory
      CHECK(!encoder_layout(*encoder).parameters().empty());
      return;
    }
    DecoderShape decoder = config.decoder();
    CHECK(!config.separator || *config.separator < decoder.body.vocabulary);
    decoder.body.layers = 1;
    CHECK(!decoder_layout(decoder).parameters().empty());
  });
  return 0;
}
