// A SentencePiece model that is none, or a damaged one: refused, or good for encoding and decoding.
#include "runtime/data/tokenizer.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  fuzz::accepts([&] {
    const Tokenizer tokenizer(std::string(fuzz::text_of(data, size)), "here");
    CHECK(tokenizer.vocabulary() >= 1);
    const std::string text = "The ranks reduce \xC3\xA4 and \xE6\x97\xA5.\n";
    const std::vector<std::int32_t> ids = tokenizer.encode(text);
    for (const std::int32_t id : ids) CHECK(id >= 0 && id < tokenizer.vocabulary());
    tokenizer.decode(ids);
    std::vector<Token> tokens;
    tokenizer.encode(text, 0, tokens);
    for (const Token& token : tokens)
      CHECK(token.begin >= 0 && token.begin <= std::int64_t(text.size()));
  });
  return 0;
}
