// Text to numbers and back: a SentencePiece model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

// A piece of an encoded text: its id, and where in the text it begins. Several pieces may begin at one byte (those of a
// character that the vocabulary lacks); a piece for white space begins at the white space.
struct Token {
  std::int32_t id = 0;
  std::int64_t begin = 0;
};

// Immutable; threads may share one. No token is added in front of or behind a text.
class Tokenizer {
 public:
  // `model`: the bytes of a SentencePiece model file. Throws Error(data) naming `place` where they are none.
  Tokenizer(std::string model, const std::string& place);
  static Tokenizer from_file(const std::filesystem::path& path);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;

  std::int32_t vocabulary() const { return vocabulary_; }  // ids are 0 to vocabulary() - 1
  const std::string& model() const { return model_; }      // the bytes it was made from
  const std::string& digest() const { return digest_; }    // of those

  // `text` must be well-formed UTF-8.
  std::vector<std::int32_t> encode(std::string_view text) const;
  // Appends the text's pieces, with `origin` added to where they begin.
  void encode(std::string_view text, std::int64_t origin, std::vector<Token>& tokens) const;
  // CHECKs that the ids are in the vocabulary.
  std::string decode(std::span<const std::int32_t> ids) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string model_, digest_;
  std::int32_t vocabulary_ = 0;
};

}  // namespace tutti
