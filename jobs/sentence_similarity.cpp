#include "jobs/sentence_similarity.h"

#include "kernels/vector/distance.h"
#include "kernels/vector/rank_correlation.h"
#include "runtime/base/error.h"
#include "runtime/comm/partition.h"

namespace tutti {

SentenceSimilarity::SentenceSimilarity(const std::vector<PlacedPair>& pairs,
                                       const Tokenizer& tokenizer, const TextForm& form,
                                       std::int64_t block) {
  for (const PlacedPair& pair : pairs) {
    if (scores_.size() % std::size_t(block) == 0) blocks_.emplace_back();
    for (const std::string* text : {&pair.first, &pair.second}) {
      const std::vector<std::int32_t> tokens = tokenizer.encode(*text);
      if (tokens.empty())
        throw Error(ExitCode::data, "a sentence holds no words", pair.place,
                    "give every sentence some text");
      blocks_.back().add(tokens, form);
    }
    scores_.push_back(pair.score);
  }
}

std::vector<double> SentenceSimilarity::cosines_of(Encoder& encoder, const Sequences& block) const {
  const std::int64_t width = encoder.shape().width;
  std::vector<float> vectors(std::size_t(block.count() * width));
  encoder.embed({block.tokens, block.offsets}, vectors);
  std::vector<double> cosines;
  for (std::int64_t i = 0; i < block.count(); i += 2) {
    const float* first = vectors.data() + i * width;
    cosines.push_back(
        -double(reference::distance(first, first + width, width, Metric::inner_product)));
  }
  return cosines;
}

// Ranks take whole blocks, so that what runs together does not depend on their number.
double SentenceSimilarity::correlation(Comm& comm, Encoder& encoder) const {
  const Range mine = part_of(std::ssize(blocks_), comm.size(), comm.rank());
  std::vector<double> cosines;
  comm.attempt([&] {
    for (std::int64_t b = mine.begin; b < mine.end; ++b) {
      const std::vector<double> part = cosines_of(encoder, blocks_[std::size_t(b)]);
      cosines.insert(cosines.end(), part.begin(), part.end());
    }
  });
  cosines = comm.all_gather(std::span<const double>(cosines));
  return rank_correlation(cosines, scores_);
}

}  // namespace tutti
