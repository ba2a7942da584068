#include "runtime/data/tokenizer.h"

#include <sentencepiece_processor.h>

#include <exception>
#include <optional>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {

struct Tokenizer::State {
  sentencepiece::SentencePieceProcessor processor;
};

namespace {

// Why the bytes are no model, or nothing. Some damage the library reports, at some it throws.
std::optional<std::string> load(sentencepiece::SentencePieceProcessor& processor, const std::string& model) {
  try {
    const auto status = processor.LoadFromSerializedProto(model);
    if (!status.ok()) return status.message();
    return processor.GetPieceSize() < 1 ? std::optional<std::string>("it has no pieces") : std::nullopt;
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace

Tokenizer::Tokenizer(std::string model, const std::string& place)
    : state_(std::make_unique<State>()), model_(std::move(model)), digest_(digest_of(model_)) {
  if (const auto problem = load(state_->processor, model_))
    throw Error(ExitCode::data, "not a SentencePiece model: " + *problem, place,
                "give a .model file that SentencePiece wrote");
  vocabulary_ = state_->processor.GetPieceSize();
}

Tokenizer Tokenizer::from_file(const std::filesystem::path& path) { return Tokenizer(read_file(path), path.string()); }

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int> ids;
  const auto status = state_->processor.Encode(text, &ids);
  CHECK(status.ok(), status.ToString());
  return ids;
}

void Tokenizer::encode(std::string_view text, std::int64_t origin, std::vector<Token>& tokens) const {
  const auto pieces = state_->processor.EncodeAsImmutableProto(text);
  const std::size_t count = pieces.pieces_size();
  tokens.reserve(tokens.size() + count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto piece = pieces.pieces(int(i));
    tokens.push_back({std::int32_t(piece.id()), origin + std::int64_t(piece.begin())});
  }
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  for (const std::int32_t id : ids) CHECK(id >= 0 && id < vocabulary_);
  std::string text;
  const auto status = state_->processor.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
  CHECK(status.ok(), status.ToString());
  return text;
}

}  // namespace tutti
