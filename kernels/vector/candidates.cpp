#include "kernels/vector/candidates.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "kernels/core/parallel.h"
#include "kernels/core/prefetch.h"
#include "kernels/vector/code_tile.h"
#include "kernels/vector/pair_distances.h"

namespace tutti {
namespace {

constexpr std::int64_t kChunk = 64;  // queries that a thread takes at a time
constexpr int kPairs = PairDistances::kPairs;

// Measures the candidates of one query after another. One thread's.
class CandidateDistances {
 public:
  CandidateDistances(const PlacedVectors& vectors, Metric metric)
      : vectors_(vectors), distances_(metric, vectors.rows.dim) {
    std::fill_n(sets_, kPairs, &vectors_.rows);
  }

  // What measure() will want of these.
  void prefetch(std::span<const Candidate> candidates) const {
    const VectorRows& rows = vectors_.rows;
    const auto element = static_cast<std::int64_t>(size_of(rows.type));
    for (const Candidate& c : candidates) {
      const char* row = static_cast<const char*>(rows.data) + c.place * rows.stride * element;
      tutti::prefetch(row, rows.dim * element);
      vectors_.ids.prefetch(c.place);
    }
  }

  void measure(const float* query, std::span<const Candidate> candidates,
               std::vector<RankedNeighbor>& found) {
    const float* queries[kPairs];
    std::int64_t rows[kPairs];
    float distances[kPairs];
    std::fill_n(queries, kPairs, query);
    found.reserve(found.size() + candidates.size());
    for (std::size_t at = 0; at < candidates.size(); at += kPairs) {
      const auto count = std::min<std::size_t>(kPairs, candidates.size() - at);
      for (std::size_t i = 0; i < count; ++i) rows[i] = candidates[at + i].place;
      distances_.measure(queries, sets_, rows, static_cast<int>(count), distances);
      for (std::size_t i = 0; i < count; ++i)
        found.push_back({candidates[at + i].key, distances[i], vectors_.ids[rows[i]]});
    }
  }

 private:
  const PlacedVectors& vectors_;
  PairDistances distances_;
  const VectorRows* sets_[kPairs];
};

// In ascending order of (place, query): in buckets first, each of which is then sorted by one
// thread.
std::vector<ListedCandidate> by_place(std::span<const ListedCandidate> listed) {
  constexpr int kBucketBits = 12;
  std::uint32_t most = 0;
  for (const ListedCandidate& c : listed)
    most = std::max(most, static_cast<std::uint32_t>(c.place));
  const int shift = std::max(0, static_cast<int>(std::bit_width(most)) - kBucketBits);
  std::vector<std::size_t> ends((std::size_t{1} << kBucketBits) + 1);
  for (const ListedCandidate& c : listed) ++ends[static_cast<std::size_t>(c.place >> shift) + 1];
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  std::vector<ListedCandidate> sorted(listed.size());
  // From where a bucket begins it moves to where it ends.
  for (const ListedCandidate& c : listed)
    sorted[ends[static_cast<std::size_t>(c.place >> shift)]++] = c;
  parallel_for(std::int64_t{1} << kBucketBits, [&](std::int64_t bucket) {
    const std::size_t begin = bucket == 0 ? 0 : ends[static_cast<std::size_t>(bucket - 1)];
    std::ranges::sort(std::span(sorted).subspan(begin, ends[std::size_t(bucket)] - begin), {},
                      [](const ListedCandidate& c) { return std::pair(c.place, c.query); });
  });
  return sorted;
}

}  // namespace

Candidates::Candidates(std::int64_t queries, std::int64_t depth, const PlacedVectors& vectors)
    : vectors_(vectors),
      depth_(depth),
      room_(2 * depth),
      counts_(std::size_t(queries)),
      limits_(queries) {
  if (depth < 1) throw std::invalid_argument("Candidates: the depth must be at least 1");
  nearness_.resize(static_cast<std::size_t>(queries * room_));
  places_.resize(nearness_.size());
}

void Candidates::prefetch(std::int64_t query) const {
  constexpr std::int64_t kMost = 256;  // bytes; of deep ones the first do not need it
  const std::int64_t bytes = std::min(kMost, room_ * std::int64_t(sizeof(std::int32_t)));
  tutti::prefetch(nearness_.data() + query * room_, bytes);
  tutti::prefetch(places_.data() + query * room_, bytes);
}

void Candidates::add(std::int64_t query, std::span<const Candidate> found) {
  if (found.empty()) return;
  limits_.exclusively(query, [&] { add_exclusively(query, found); });
}

void Candidates::add_exclusively(std::int64_t query, std::span<const Candidate> found) {
  std::int32_t& count = counts_[static_cast<std::size_t>(query)];
  for (const Candidate& candidate : found) {
    if (!(candidate.key <= limit(query))) continue;
    nearness_[static_cast<std::size_t>(query * room_ + count)] = nearness(candidate.key);
    places_[static_cast<std::size_t>(query * room_ + count)] = candidate.place;
    if (++count == room_) shrink(query);
  }
  if (count >= depth_ && limit(query) == std::numeric_limits<float>::infinity()) shrink(query);
}

void Candidates::settle() {
  parallel_for(queries(), [&](std::int64_t query) { shrink(query); });
}

void Candidates::write_keys(std::int64_t query, std::span<float> keys) const {
  const std::int32_t* near = nearness_.data() + query * room_;
  const std::int32_t count = counts_[static_cast<std::size_t>(query)];
  const auto end = std::transform(near, near + count, keys.begin(), key_of);
  std::fill(end, keys.end(), std::numeric_limits<float>::infinity());
}

void Candidates::shrink(std::int64_t query) {
  std::int32_t& count = counts_[static_cast<std::size_t>(query)];
  if (count < depth_) return;
  std::int32_t* near = nearness_.data() + query * room_;
  if (count == depth_) return lower(query, key_of(*std::min_element(near, near + count)));
  const std::int32_t least = available_code_kernels().front()->largest(
      {near, static_cast<std::size_t>(count)}, static_cast<std::size_t>(depth_));
  count = static_cast<std::int32_t>(drop_below(least, near, places_.data() + query * room_, count));
  lower(query, key_of(least));
}

// Moves the `depth` nearest to the front, the last of which are at `least`, and returns their
// number.
std::int64_t Candidates::drop_below(std::int32_t least, std::int32_t* near, std::int32_t* places,
                                    std::int64_t count) const {
  std::vector<std::int32_t> equal;  // mostly one
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (near[i] == least) equal.push_back(places[i]);
    const bool keep = near[i] > least;
    near[kept] = near[i];
    places[kept] = places[i];
    kept += keep;
  }
  if (const std::int64_t room = depth_ - kept; room < std::int64_t(equal.size()))
    std::ranges::nth_element(equal, equal.begin() + room, [&](std::int32_t a, std::int32_t b) {
      return vectors_.ids[a] < vectors_.ids[b];
    });
  for (std::size_t i = 0; kept < depth_; ++i, ++kept) {
    near[kept] = least;
    places[kept] = equal[i];
  }
  return kept;
}

std::span<const Candidate> Candidates::kept(std::int64_t query, std::vector<Candidate>& scratch) {
  shrink(query);
  scratch.clear();
  const float most = limit(query);  // which may have been lowered since
  const auto first = static_cast<std::size_t>(query * room_);
  for (auto i = first; i < first + std::size_t(counts_[static_cast<std::size_t>(query)]); ++i)
    if (const float key = key_of(nearness_[i]); key <= most) scratch.push_back({key, places_[i]});
  return scratch;
}

void Candidates::measure(ConstMatrixView<float> queries, Metric metric,
                         std::span<std::vector<RankedNeighbor>> found) {
  if (queries.rows != this->queries() || std::int64_t(found.size()) != queries.rows)
    throw std::invalid_argument("Candidates: there must be one row per query");
  if (vectors_.rows.count == 0) return;
  check_rows(vectors_.rows, "Candidates: vectors");
  parallel_for((queries.rows + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    CandidateDistances distances(vectors_, metric);
    const std::int64_t begin = chunk * kChunk, end = std::min(queries.rows, begin + kChunk);
    std::vector<Candidate> mine, next;
    distances.prefetch(kept(begin, next));
    for (std::int64_t q = begin; q < end; ++q) {
      std::swap(mine, next);
      if (q + 1 < end) distances.prefetch(kept(q + 1, next));
      distances.measure(queries.row(q), mine, found[static_cast<std::size_t>(q)]);
    }
  });
}

std::vector<ListedCandidate> Candidates::list(std::int64_t begin, std::int64_t end,
                                              std::span<std::vector<RankedNeighbor>> found) {
  if (std::int64_t(found.size()) != queries() || begin < 0 || end < begin || end > queries())
    throw std::invalid_argument("Candidates: there must be one row per query");
  constexpr std::int32_t kNone = -1;
  std::vector<ListedCandidate> listed(static_cast<std::size_t>((end - begin) * depth_),
                                      {kNone, 0, 0});
  parallel_for(end - begin, [&](std::int64_t i) {
    const std::int64_t q = begin + i;
    std::vector<Candidate> scratch;
    std::vector<RankedNeighbor>& mine = found[static_cast<std::size_t>(q)];
    auto next = listed.begin() + i * depth_;
    for (const Candidate& c : kept(q, scratch)) {
      *next++ = {c.place, static_cast<std::int32_t>(q), static_cast<std::int32_t>(mine.size())};
      mine.push_back({c.key, std::numeric_limits<float>::infinity(), vectors_.ids[c.place]});
    }
  });
  std::erase_if(listed, [](const ListedCandidate& c) { return c.place == kNone; });
  return by_place(listed);
}

void measure_listed(ConstMatrixView<float> queries, Metric metric, const VectorRows& vectors,
                    std::span<const ListedCandidate> listed, std::span<const std::int64_t> rows,
                    std::span<std::vector<RankedNeighbor>> found) {
  PairDistances distances(metric, queries.cols);
  const VectorRows* sets[kPairs];
  std::fill_n(sets, kPairs, &vectors);
  for (std::size_t at = 0; at < listed.size(); at += kPairs) {
    const auto count = std::min<std::size_t>(kPairs, listed.size() - at);
    const float* of[kPairs];
    float measured[kPairs];
    for (std::size_t i = 0; i < count; ++i) of[i] = queries.row(listed[at + i].query);
    distances.measure(of, sets, rows.data() + at, static_cast<int>(count), measured);
    for (std::size_t i = 0; i < count; ++i) {
      const ListedCandidate& c = listed[at + i];
      found[std::size_t(c.query)][std::size_t(c.at)].distance = measured[i];
    }
  }
}

void keep_first(std::vector<RankedNeighbor>& candidates, std::int64_t depth) {
  if (std::int64_t(candidates.size()) <= depth) return;
  std::ranges::nth_element(candidates, candidates.begin() + (depth - 1), ranks_before);
  candidates.resize(std::size_t(depth));
}

void nearest_of(std::vector<RankedNeighbor> candidates, std::int64_t depth,
                std::span<Neighbor> out) {
  keep_first(candidates, depth);
  std::vector<Neighbor> measured;
  measured.reserve(candidates.size());
  for (const RankedNeighbor& c : candidates)
    if (c.distance == c.distance) measured.push_back({c.distance, c.id});
  const auto end =
      std::partial_sort_copy(measured.begin(), measured.end(), out.begin(), out.end(), precedes);
  std::fill(end, out.end(), Neighbor{});
}

}  // namespace tutti
