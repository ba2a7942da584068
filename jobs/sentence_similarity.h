// Semantic similarity of sentences: whether an encoder orders pairs as people do.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/model/encoder.h"
#include "runtime/comm/comm.h"
#include "runtime/data/sentence_pairs.h"
#include "runtime/data/sequences.h"
#include "runtime/data/tokenizer.h"

namespace tutti {

class SentenceSimilarity {
 public:
  // `block` pairs are embedded at a time, each sentence in `form`. Local; throws Error(data) naming
  // the place of a sentence without words.
  SentenceSimilarity(const std::vector<PlacedPair>& pairs, const Tokenizer& tokenizer,
                     const TextForm& form, std::int64_t block);

  // Spearman's rank correlation between the pairs' scores and the cosines of their embeddings: the
  // same figure on any number of ranks; not finite where all scores or all cosines are the same.
  // Collective.
  double correlation(Comm& comm, Encoder& encoder) const;

 private:
  std::vector<double> cosines_of(Encoder& encoder, const Sequences& block) const;

  std::vector<Sequences> blocks_;  // first and second sentences by turns
  std::vector<double> scores_;
};

}  // namespace tutti
