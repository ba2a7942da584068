#include "jobs/sentence_similarity.h"

#include <algorithm>
#include <cmath>

#include "kernels/vector/distance.h"
#include "kernels/vector/rank_correlation.h"
#include "runtime/base/error.h"
#include "runtime/comm/partition.h"
#include "runtime/data/model_file.h"
#include "runtime/data/sequences.h"

namespace tutti {
namespace {

// First and second sentences by turns.
Sequences tokens_of(std::span<const PlacedPair> pairs, const Tokenizer& tokenizer,
                    const TextForm& form) {
  Sequences sequences;
  for (const PlacedPair& pair : pairs)
    for (const std::string* text : {&pair.first, &pair.second}) {
      const std::vector<std::int32_t> tokens = tokenizer.encode(*text);
      if (tokens.empty())
        throw Error(ExitCode::data, "a sentence holds no words", pair.place,
                    "give every sentence some text");
      sequences.add(tokens, form);
    }
  return sequences;
}

std::vector<double> cosines_of(std::span<const PlacedPair> pairs, const Tokenizer& tokenizer,
                               const LoadedEncoder& model) {
  const std::int64_t width = model.encoder->shape().width;
  const Sequences sentences = tokens_of(pairs, tokenizer, model.form);
  std::vector<float> vectors(std::size_t(sentences.count() * width));
  model.encoder->embed({sentences.tokens, sentences.offsets}, vectors);
  std::vector<double> cosines;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const float* first = vectors.data() + std::int64_t(2 * i) * width;
    cosines.push_back(
        -double(reference::distance(first, first + width, width, Metric::inner_product)));
  }
  return cosines;
}

}  // namespace

double sentence_similarity(JobContext& context, const LoadedEncoder& model,
                           const std::filesystem::path& folder,
                           const std::vector<PlacedPair>& pairs, std::int64_t block) {
  const auto timed = context.phases.measure("similarity");
  const std::int64_t count = std::ssize(pairs);
  // Ranks take whole blocks, so that what runs together does not depend on their number.
  const Range mine = part_of((count + block - 1) / block, context.comm.size(), context.comm.rank());
  std::vector<double> cosines, scores;
  context.comm.attempt([&] {
    const Tokenizer tokenizer = load_tokenizer(folder, model.manifest);
    for (std::int64_t b = mine.begin; b < mine.end; ++b) {
      const std::int64_t first = b * block, size = std::min(block, count - first);
      const auto part = cosines_of(std::span(pairs).subspan(std::size_t(first), std::size_t(size)),
                                   tokenizer, model);
      cosines.insert(cosines.end(), part.begin(), part.end());
    }
  });
  cosines = context.comm.all_gather(std::span<const double>(cosines));
  for (const PlacedPair& pair : pairs) scores.push_back(pair.score);
  const double correlation = rank_correlation(cosines, scores);
  if (!std::isfinite(correlation))
    throw Error(ExitCode::data, "all scores or all cosines of the pairs are the same", "sts.file",
                "a correlation needs pairs that differ")
        .as_agreed();
  return correlation;
}

}  // namespace tutti
