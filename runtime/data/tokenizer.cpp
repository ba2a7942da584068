#include "runtime/data/tokenizer.h"

#include "runtime/base/check.h"
#include "runtime/data/text_encoder.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

// No SentencePiece model begins with a brace: it would be the start of a group, which its format
// has none of.
bool is_json(std::string_view model) { return model.starts_with('{'); }

}  // namespace

Tokenizer::Tokenizer(std::string model, const std::string& place)
    : encoder_(is_json(model) ? make_json_encoder(model, place)
                              : make_sentencepiece_encoder(model, place)),
      model_(std::move(model)),
      digest_(digest_of(model_)),
      vocabulary_(encoder_->vocabulary()) {}

Tokenizer Tokenizer::from_file(const std::filesystem::path& path) {
  return Tokenizer(read_file(path), path.string());
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  encoder_->encode(text, ids);
  return ids;
}

void Tokenizer::encode(std::string_view text, std::int64_t origin,
                       std::vector<Token>& tokens) const {
  encoder_->encode(text, origin, tokens);
}

void Tokenizer::encode_plain(std::string_view text, bool is_first,
                             std::vector<std::int32_t>& ids) const {
  encoder_->encode_plain(text, is_first, ids);
}

std::vector<std::int32_t> Tokenizer::encode_framed(std::string_view text) const {
  std::vector<std::int32_t> ids = frame().front;
  encoder_->encode(text, ids);
  ids.insert(ids.end(), frame().back.begin(), frame().back.end());
  return ids;
}

const TokenFrame& Tokenizer::frame() const { return encoder_->frame(); }

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  for (const std::int32_t id : ids) CHECK(id >= 0 && id < vocabulary_);
  return encoder_->decode(ids, skip_special);
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view piece) const {
  return encoder_->id_of(piece);
}

bool Tokenizer::is_special(std::int32_t id) const {
  CHECK(id >= 0 && id < vocabulary_);
  return encoder_->is_special(id);
}

}  // namespace tutti
