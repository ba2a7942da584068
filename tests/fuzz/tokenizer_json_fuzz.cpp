// A tokenizer.json from outside: it is refused by an Error of the data, or encodes and decodes any
// text.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/data/text_encoder.h"
#include "runtime/data/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    const auto encoder = tutti::make_json_encoder(json, "input");
    const std::string_view text = json.substr(0, tutti::utf8_prefix(json));
    std::vector<std::int32_t> ids;
    encoder->encode(text, ids);
    for (const std::int32_t id : ids) CHECK(id >= 0 && id < encoder->vocabulary());
    std::vector<tutti::Token> tokens;
    encoder->encode(text, 0, tokens);
    CHECK(tokens.size() == ids.size());
    for (const tutti::Token& token : tokens)
      CHECK(token.begin >= 0 && token.begin <= std::int64_t(text.size()));
    encoder->decode(ids, true);
  } catch (const tutti::Error& e) {
    CHECK(e.code() == tutti::ExitCode::data);
  }
  return 0;
}
