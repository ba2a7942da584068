// Text to numbers and back: a SentencePiece model, or a Hugging Face tokenizer.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

// A piece of an encoded text: its id, and where in the text it begins. Several pieces may begin at
// one byte (those of a character that the vocabulary lacks); a piece for white space begins at the
// white space.
struct Token {
  std::int32_t id = 0;
  std::int64_t begin = 0;
};

// What a model was trained to see around each text, such as [CLS] and [SEP].
struct TokenFrame {
  std::vector<std::int32_t> front, back;
};

class TextEncoder;

// Immutable; threads may share one. No token is added in front of or behind a text, unless asked
// for.
//
// Of a tokenizer.json the ids are those of the Python package `tokenizers`, with neither truncation
// nor padding: how long a text may be is for the job to say. Supported are the models BPE and
// WordPiece with what GPT-2, Llama, Qwen2, Mistral, BERT and their kin need; anything else is
// refused by name.
class Tokenizer {
 public:
  // `model`: the bytes of a SentencePiece model file, or of a tokenizer.json, which begins with
  // `{`. Throws Error(data) naming `place` where they are neither.
  Tokenizer(std::string model, const std::string& place);
  static Tokenizer from_file(const std::filesystem::path& path);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;

  std::int32_t vocabulary() const { return vocabulary_; }  // ids are 0 to vocabulary() - 1
  const std::string& model() const { return model_; }      // the bytes it was made from
  const std::string& digest() const { return digest_; }    // of those

  // `text` must be well-formed UTF-8.
  std::vector<std::int32_t> encode(std::string_view text) const;
  // Appends the text's pieces, with `origin` added to where they begin, which never goes back.
  void encode(std::string_view text, std::int64_t origin, std::vector<Token>& tokens) const;
  // Appends the text's ids; what reads like a special token is encoded as the characters that it is
  // made of. `is_first`: no token stands in front of the text.
  void encode_plain(std::string_view text, bool is_first, std::vector<std::int32_t>& ids) const;
  // With the frame around it.
  std::vector<std::int32_t> encode_framed(std::string_view text) const;
  // Empty for a SentencePiece model, whose file does not tell.
  const TokenFrame& frame() const;

  // CHECKs that the ids are in the vocabulary. `skip_special` leaves the special tokens of a
  // tokenizer.json out.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special = false) const;
  // The id of a piece as it is written in the model, such as "[MASK]"; nothing where there is none.
  std::optional<std::int32_t> id_of(std::string_view piece) const;
  // Whether encode_plain gives it for no text: a control piece of a SentencePiece model, a special
  // token of a tokenizer.json. CHECKs that the id is in the vocabulary.
  bool is_special(std::int32_t id) const;

 private:
  std::unique_ptr<TextEncoder> encoder_;
  std::string model_, digest_;
  std::int32_t vocabulary_ = 0;
};

}  // namespace tutti
