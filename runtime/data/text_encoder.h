// What turns text into tokens and back; one for each kind of tokenizer file. Tokenizer is the
// public face.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/tokenizer.h"

namespace tutti {

// Immutable; threads may share one. The functions are those of Tokenizer.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  virtual std::int32_t vocabulary() const = 0;
  virtual void encode(std::string_view text, std::vector<std::int32_t>& ids) const = 0;
  virtual void encode(std::string_view text, std::int64_t origin,
                      std::vector<Token>& tokens) const = 0;
  virtual void encode_plain(std::string_view text, bool is_first,
                            std::vector<std::int32_t>& ids) const = 0;
  virtual bool is_special(std::int32_t id) const = 0;
  virtual std::string decode(std::span<const std::int32_t> ids, bool skip_special) const = 0;
  virtual std::optional<std::int32_t> id_of(std::string_view piece) const = 0;
  virtual const TokenFrame& frame() const = 0;
};

// Throws Error(data) naming `place` where `model` is no SentencePiece model.
std::unique_ptr<TextEncoder> make_sentencepiece_encoder(std::string_view model,
                                                        const std::string& place);

// Throws Error(data) naming `place`, and where in it, where `json` is no tokenizer.json or one that
// is not supported.
std::unique_ptr<TextEncoder> make_json_encoder(std::string_view json, const std::string& place);

}  // namespace tutti
