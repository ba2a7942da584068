#include <exception>
#include <optional>

#include <sentencepiece_processor.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/data/text_encoder.h"

namespace tutti {
namespace {

// Why the bytes are no model, or nothing. Some damage the library reports, at some it throws.
std::optional<std::string> load(sentencepiece::SentencePieceProcessor& processor,
                                std::string_view model) {
  try {
    const auto status = processor.LoadFromSerializedProto(model);
    if (!status.ok()) return status.message();
    return processor.GetPieceSize() < 1 ? std::optional<std::string>("it has no pieces")
                                        : std::nullopt;
  } catch (const std::exception& e) {
    return e.what();
  }
}

class SentencePieceEncoder : public TextEncoder {
 public:
  SentencePieceEncoder(std::string_view model, const std::string& place) {
    if (const auto problem = load(processor_, model))
      throw Error(ExitCode::data, "not a SentencePiece model: " + *problem, place,
                  "give a .model file that SentencePiece wrote, or a tokenizer.json");
  }

  std::int32_t vocabulary() const override { return processor_.GetPieceSize(); }
  const TokenFrame& frame() const override { return frame_; }

  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override {
    std::vector<int> found;
    const auto status = processor_.Encode(text, &found);
    CHECK(status.ok(), status.ToString());
    ids.insert(ids.end(), found.begin(), found.end());
  }

  void encode(std::string_view text, std::int64_t origin,
              std::vector<Token>& tokens) const override {
    const auto pieces = processor_.EncodeAsImmutableProto(text);
    const std::size_t count = pieces.pieces_size();
    tokens.reserve(tokens.size() + count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto piece = pieces.pieces(int(i));
      tokens.push_back({std::int32_t(piece.id()), origin + std::int64_t(piece.begin())});
    }
  }

  // Control pieces stand for no text here anyway, and each text is one for itself.
  void encode_plain(std::string_view text, bool, std::vector<std::int32_t>& ids) const override {
    encode(text, ids);
  }

  bool is_special(std::int32_t id) const override { return processor_.IsControl(id); }

  std::string decode(std::span<const std::int32_t> ids, bool) const override {
    std::string text;
    const auto status = processor_.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
    CHECK(status.ok(), status.ToString());
    return text;
  }

  std::optional<std::int32_t> id_of(std::string_view piece) const override {
    const int id = processor_.PieceToId(piece);
    if (processor_.IdToPiece(id) != piece)
      return std::nullopt;  // what it does not know is its unknown piece
    return id;
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
  TokenFrame frame_;
};

}  // namespace

std::unique_ptr<TextEncoder> make_sentencepiece_encoder(std::string_view model,
                                                        const std::string& place) {
  return std::make_unique<SentencePieceEncoder>(model, place);
}

}  // namespace tutti
