// Semantic similarity of sentences: whether an encoder orders pairs as people do.
#pragma once

#include <cstdint>
#include <filesystem>

#include "jobs/encoder_model.h"
#include "jobs/job.h"
#include "runtime/data/sentence_pairs.h"

namespace tutti {

// Spearman's rank correlation between the pairs' scores and the cosines of their embeddings by
// `model`, which stands in `folder`; `block` pairs are embedded at a time. The same figure on any
// number of ranks. Collective; throws Error on all ranks: for sentences without words, and where
// all scores or all cosines are the same.
double sentence_similarity(JobContext& context, const LoadedEncoder& model,
                           const std::filesystem::path& folder,
                           const std::vector<PlacedPair>& pairs, std::int64_t block);

}  // namespace tutti
