// The parts of a tokenizer.json as it is read. Each throws Error(data) that names the place of what
// is wrong, or what it is that is not supported.
#pragma once

#include "runtime/data/json_encoder.h"
#include "runtime/data/json_node.h"

namespace tutti {

// What a pre-tokenizer comes to.
struct WordSplitting {
  PrefixStep prefix;
  std::vector<WordSplit> splits;
  bool byte_level = false;
};

// `root` is the whole file.
std::vector<NormalizerStep> read_normalizer(const JsonNode& root);
WordSplitting read_pre_tokenizer(const JsonNode& root);
std::vector<DecoderStep> read_decoder(const JsonNode& root);
TokenFrame read_post_processor(const JsonNode& root, const Vocabulary& vocabulary);

// The pieces of model.vocab and added_tokens; the tokens themselves are left in `added`.
std::unique_ptr<Vocabulary> read_vocabulary(const JsonNode& root, std::vector<AddedToken>& added);
// Adds to `splitting` where that changes no token but makes words shorter.
std::unique_ptr<WordModel> read_model(const JsonNode& root, const Vocabulary& vocabulary,
                                      WordSplitting& splitting);

}  // namespace tutti
