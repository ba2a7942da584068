// For compare_tokenizers.py: encodes texts as a tokenizer.json says.
//
//   tokenizer_tool TOKENIZER.json < TEXTS > RESULTS
//
// A text a line, as a JSON string; of each a line {"ids", "framed", "places", "text", "plain"}: ids
// without and with the frame, the ids as the variant with places gives them, and the decoded text
// with and without special tokens.

#include <iostream>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/data/tokenizer.h"

namespace tutti {
namespace {

nlohmann::json result_of(const Tokenizer& tokenizer, const std::string& text) {
  const auto ids = tokenizer.encode(text);
  std::vector<Token> tokens;
  tokenizer.encode(text, 0, tokens);
  std::vector<std::int32_t> placed;
  std::int64_t latest = 0;
  for (const Token& token : tokens) {
    if (token.begin < latest || token.begin > std::int64_t(text.size()))
      throw Error(ExitCode::bug, "a token begins where it cannot", text);
    latest = token.begin;
    placed.push_back(token.id);
  }
  return {{"ids", ids},
          {"framed", tokenizer.encode_framed(text)},
          {"places", placed},
          {"text", tokenizer.decode(ids)},
          {"plain", tokenizer.decode(ids, true)}};
}

}  // namespace
}  // namespace tutti

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tokenizer_tool TOKENIZER.json < TEXTS > RESULTS\n";
    return int(tutti::ExitCode::usage);
  }
  try {
    const auto tokenizer = tutti::Tokenizer::from_file(argv[1]);
    for (std::string line; std::getline(std::cin, line);)
      std::cout << tutti::result_of(tokenizer, nlohmann::json::parse(line).get<std::string>())
                << "\n";
    return 0;
  } catch (const tutti::Error& e) {
    std::cerr << "tokenizer_tool: " << e.what() << "\n";
    return int(e.code());
  }
}
