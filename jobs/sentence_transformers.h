// What the library sentence-transformers keeps beside a model of transformers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "kernels/model/encoder.h"

namespace tutti {

inline constexpr const char* kSentenceModules = "modules.json";
inline constexpr const char* kSentenceSettings = "sentence_bert_config.json";
inline constexpr const char* kSentencePooling = "1_Pooling/config.json";
inline constexpr const char* kTokenizerSettings = "tokenizer_config.json";

struct SentenceSettings {
  EncoderShape::Pooling pooling = EncoderShape::Pooling::mean;
  std::optional<std::int64_t> longest;  // tokens of a text, with its frame
};

// Reads those of the four files that are among a folder's texts by file name. Throws Error(data)
// naming file and key, and by its name whatever an encoder does not do: other modules and other
// kinds of pooling.
SentenceSettings read_sentence_settings(const std::map<std::string, std::string>& files,
                                        const std::string& folder);

}  // namespace tutti
