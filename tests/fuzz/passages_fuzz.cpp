// A document of any text, cut into passages. The first byte is the most tokens that one has, less
// one.
#include "runtime/data/passages.h"
#include "runtime/data/tokenizer_training.h"
#include "runtime/data/utf8.h"
#include "tests/fuzz/support.h"
#include "tests/support/sentences.h"

namespace {

const tutti::Tokenizer& tokenizer() {
  static const tutti::Tokenizer example(
      tutti::train_tokenizer(tutti::testing::example_sentences(400), {.vocabulary = 400}),
      "example");
  return example;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  std::string_view text = fuzz::text_of(data, size);
  const std::int64_t most = 1 + fuzz::take_byte(text);
  text = text.substr(0, utf8_prefix(text));
  std::int64_t end = 0;
  for (const Passage& passage : cut_passages(text, tokenizer(), {most, 0})) {
    CHECK(passage.begin >= end && passage.end > passage.begin &&
          passage.end <= std::int64_t(text.size()));
    end = passage.end;
    CHECK(std::int64_t(passage.tokens.size()) <= most);
    const std::string_view own =
        text.substr(std::size_t(passage.begin), std::size_t(passage.end - passage.begin));
    CHECK(utf8_prefix(own) == own.size());
    for (const std::int32_t token : passage.tokens)
      CHECK(token >= 0 && token < tokenizer().vocabulary());
  }
  CHECK(cut_passages(text, tokenizer(), {most, 2}).size() <= 2);
  return 0;
}
