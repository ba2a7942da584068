// A config.json of transformers. What is taken is a decoder that could be made.
#include "jobs/hugging_face_config.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  fuzz::accepts([&] {
    HuggingFaceConfig config =
        read_hugging_face_config(std::string(fuzz::text_of(data, size)), "here");
    CHECK(!config.separator || *config.separator < config.shape.body.vocabulary);
    config.shape.body.layers = 1;  // each layer takes memory
    CHECK(!decoder_layout(config.shape).parameters().empty());
  });
  return 0;
}
