#include "jobs/probe_ranker.h"

#include <algorithm>
#include <utility>

namespace tutti {
namespace {

constexpr std::int64_t kSample = 256;  // queries that a first guess is made by
constexpr std::int64_t kWorthSampling = 16 * kSample;
constexpr std::int64_t kMostMissed = 8;  // of so many queries one may have to be ranked again

std::vector<float> limits_of(const Candidates& candidates) {
  std::vector<float> limits;
  for (std::int64_t q = 0; q < candidates.queries(); ++q) limits.push_back(candidates.limit(q));
  return limits;
}

}  // namespace

template <class T>
QuerySelection::Rows<T>::Rows(ConstMatrixView<T> all, std::span<const std::int32_t> numbers)
    : rows(std::int64_t(numbers.size())), cols(all.cols) {
  for (const std::int32_t number : numbers)
    values.insert(values.end(), all.row(number), all.row(number) + cols);
}

QuerySelection::QuerySelection(const ProbingQueries& queries, std::span<const std::int32_t> numbers)
    : vectors_(queries.queries, numbers), probes_(queries.probes, numbers) {}

RankedNeighbors ProbeRanker::rank(const ProbingQueries& queries, const QueryCodes& codes,
                                  std::span<const ProbeDistances> near) {
  const std::int64_t count = queries.queries.rows;
  if (comm_.all_reduce_min(std::int64_t(lists_.is_resident() || lists_.has_codes())) == 0) {
    RankedNeighbors found(static_cast<std::size_t>(count));
    const auto timed = context_.phases.measure("scan");
    comm_.attempt([&] { lists_.rank_probed(queries, codes, depth_, found); });
    return found;
  }
  if (!has_guess_ && is_guessing_worth_it_ && count >= kWorthSampling)
    learn_by_sample(queries, codes, near);
  std::vector<float> limits(std::size_t(count), 0);
  RankedNeighbors found =
      has_guess_ ? rank_by_guess(queries, codes, near, LimitGuess::Margin::usual, limits)
                 : rank_nearest_first(queries, codes, limits);
  learn(near, limits);
  return found;
}

// One step: of all ranks' lists.
void ProbeRanker::scan(const ProbingQueries& queries, const QueryCodes& codes,
                       Candidates& candidates) {
  const auto timed = context_.phases.measure("scan");
  comm_.attempt([&] { lists_.rank_probed(queries, codes, candidates); });
}

void ProbeRanker::scan_nearest_first(const ProbingQueries& queries, const QueryCodes& codes,
                                     Candidates& candidates) {
  const ConstMatrixView<std::int32_t> probes = queries.probes;
  std::int64_t begin = 0;
  for (const std::int64_t wanted : {std::int64_t(1), kFirstProbes, probes.cols}) {
    const std::int64_t end = std::min(wanted, probes.cols);
    if (end <= begin) continue;
    scan({queries.queries, {probes.data + begin, probes.rows, end - begin, probes.stride}}, codes,
         candidates);
    begin = end;
    const auto timed = context_.phases.measure("merge");
    share_limits(comm_, candidates);
  }
}

void ProbeRanker::count(std::int64_t guessed, std::int64_t missed) {
  guessed_ += guessed;
  missed_ += missed;
  is_guessing_worth_it_ = guessed_ < kSample || kMostMissed * missed_ <= guessed_;
  context_.result["limits"] = {{"guessed", guessed_}, {"missed", missed_}};
}

void ProbeRanker::learn(std::span<const ProbeDistances> near, std::span<const float> limits) {
  if (!is_guessing_worth_it_) has_guess_ = false;
  if (!is_guessing_worth_it_ || std::int64_t(near.size()) < kSample) return;
  has_guess_ = comm_.all_reduce_min(std::int64_t(guess_.fit(near, limits))) > 0;
}

void ProbeRanker::learn_by_sample(const ProbingQueries& queries, const QueryCodes& codes,
                                  std::span<const ProbeDistances> near) {
  std::vector<std::int32_t> numbers;
  std::vector<ProbeDistances> their_near;
  for (std::int64_t i = 0; i < kSample; ++i) {
    numbers.push_back(std::int32_t(i * queries.queries.rows / kSample));
    their_near.push_back(near[std::size_t(numbers.back())]);
  }
  const QuerySelection sample(queries, numbers);
  Candidates candidates = lists_.make_candidates(kSample, depth_);
  scan_nearest_first(sample.queries(), codes.of(numbers), candidates);
  learn(their_near, limits_of(candidates));
}

RankedNeighbors ProbeRanker::rank_nearest_first(const ProbingQueries& queries,
                                                const QueryCodes& codes, std::span<float> limits) {
  RankedNeighbors found(static_cast<std::size_t>(queries.queries.rows));
  Candidates candidates = lists_.make_candidates(queries.queries.rows, depth_);
  scan_nearest_first(queries, codes, candidates);
  std::ranges::copy(limits_of(candidates), limits.begin());
  const auto timed = context_.phases.measure("scan");
  comm_.attempt([&] { lists_.measure(queries.queries, candidates, found); });
  return found;
}

RankedNeighbors ProbeRanker::rank_by_guess(const ProbingQueries& queries, const QueryCodes& codes,
                                           std::span<const ProbeDistances> near,
                                           LimitGuess::Margin margin, std::span<float> limits) {
  for (std::size_t q = 0; q < limits.size(); ++q) limits[q] = guess_.guess(near[q], margin);
  comm_.all_reduce_min(limits);  // ranks on unlike machines may differ in the last bit
  RankedNeighbors found(static_cast<std::size_t>(queries.queries.rows));
  std::vector<std::int32_t> missed;
  {
    Candidates candidates = lists_.make_candidates(queries.queries.rows, depth_);
    for (std::size_t q = 0; q < limits.size(); ++q) candidates.lower(std::int64_t(q), limits[q]);
    scan(queries, codes, candidates);
    {
      const auto timed = context_.phases.measure("merge");
      missed = share_limits(comm_, candidates);
    }
    std::ranges::copy(limits_of(candidates), limits.begin());
    const auto timed = context_.phases.measure("scan");
    comm_.attempt([&] { lists_.measure(queries.queries, candidates, found); });
  }
  count(margin == LimitGuess::Margin::usual ? queries.queries.rows : 0,
        std::int64_t(missed.size()));
  if (missed.empty()) return found;
  const QuerySelection selection(queries, missed);
  std::vector<ProbeDistances> their_near;
  for (const std::int32_t q : missed) their_near.push_back(near[std::size_t(q)]);
  std::vector<float> their_limits(missed.size());
  RankedNeighbors again =
      margin == LimitGuess::Margin::usual
          ? rank_by_guess(selection.queries(), codes.of(missed), their_near,
                          LimitGuess::Margin::wide, their_limits)
          : rank_nearest_first(selection.queries(), codes.of(missed), their_limits);
  for (std::size_t i = 0; i < missed.size(); ++i) {
    found[std::size_t(missed[i])] = std::move(again[i]);
    limits[std::size_t(missed[i])] = their_limits[i];
  }
  return found;
}

}  // namespace tutti
