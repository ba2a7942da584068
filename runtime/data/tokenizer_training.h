// Trains a SentencePiece model on a sample of the input.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/data/text_source.h"

namespace tutti {

struct TokenizerOptions {
  std::int64_t vocabulary = 8192;
  std::int64_t sample_bytes = std::int64_t(4) << 20;
  std::string normalization = "nmt_nfkc_cf";  // one of tokenizer_normalizations()
};

std::vector<std::string> tokenizer_normalizations();

// About `bytes` of the source's text, cut into sentences for train_tokenizer: windows spread evenly
// over the whole input, of each as much as its share; all text where there is less. A function of
// the input alone. Reads no more than it needs. Local. Throws as TextSource::Reader.
std::vector<std::string> sample_sentences(const TextSource& source, std::int64_t bytes);

// The bytes of a unigram model with byte fall-back. Where the sentences do not carry `vocabulary`
// pieces, it has fewer. The same sentences and options give the same bytes. Local; uses a fixed
// number of threads. Throws Error(data) where there is too little text, Error(usage) where the
// vocabulary cannot hold the text's characters.
std::string train_tokenizer(const std::vector<std::string>& sentences,
                            const TokenizerOptions& options);

}  // namespace tutti
