// Candidates of batches of queries in the lists that they probe, by codes, over all ranks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "jobs/job.h"
#include "jobs/list_scanner.h"
#include "jobs/ranked_lists.h"
#include "kernels/vector/assign.h"
#include "kernels/vector/candidates.h"
#include "kernels/vector/code_space.h"
#include "kernels/vector/limit_guess.h"

namespace tutti {

// Of the lists that a query probes, so many of the nearest are scanned before the others, the first
// of them by itself: after these, limits are nearly what they end as.
constexpr std::int64_t kFirstProbes = 4;

// Some of a batch's queries, copied.
class QuerySelection {
 public:
  QuerySelection(const ProbingQueries& queries, std::span<const std::int32_t> numbers);

  ProbingQueries queries() const { return {vectors_.view(), probes_.view()}; }

 private:
  template <class T>
  struct Rows {
    std::int64_t rows = 0, cols = 0;
    std::vector<T> values;

    Rows(ConstMatrixView<T> all, std::span<const std::int32_t> numbers);
    ConstMatrixView<T> view() const { return {values.data(), rows, cols}; }
  };
  Rows<float> vectors_;
  Rows<std::int32_t> probes_;
};

// The sooner it is known how large the keys that count are, the less there is to look at. Where
// lists' codes are in memory, that is guessed, from what was found for queries before: all lists
// are scanned at once, and queries for which the guess was too low are ranked again. Without a
// guess the nearest lists go first. What is found depends on neither. All functions are collective.
class ProbeRanker {
 public:
  // The `depth` least keys of each query are wanted. All outlive it.
  ProbeRanker(JobContext& context, ListScanner& lists, std::int64_t depth)
      : context_(context), comm_(context.comm), lists_(lists), depth_(depth) {}

  // What this rank's lists hold: of all ranks' together the first `depth` by (key, id) count.
  // The first kFirstProbes of a query's probes are the nearest, nearest first. `near`: how near
  // each query is to the lists that it probes.
  RankedNeighbors rank(const ProbingQueries& queries, const QueryCodes& codes,
                       std::span<const ProbeDistances> near);

 private:
  void scan(const ProbingQueries& queries, const QueryCodes& codes, Candidates& candidates);
  void scan_nearest_first(const ProbingQueries& queries, const QueryCodes& codes,
                          Candidates& candidates);
  void count(std::int64_t guessed, std::int64_t missed);
  void learn(std::span<const ProbeDistances> near, std::span<const float> limits);
  void learn_by_sample(const ProbingQueries& queries, const QueryCodes& codes,
                       std::span<const ProbeDistances> near);
  RankedNeighbors rank_nearest_first(const ProbingQueries& queries, const QueryCodes& codes,
                                     std::span<float> limits);
  RankedNeighbors rank_by_guess(const ProbingQueries& queries, const QueryCodes& codes,
                                std::span<const ProbeDistances> near, LimitGuess::Margin margin,
                                std::span<float> limits);

  JobContext& context_;
  Comm& comm_;
  ListScanner& lists_;
  std::int64_t depth_;
  LimitGuess guess_;
  bool has_guess_ = false, is_guessing_worth_it_ = true;  // the same on all ranks
  std::int64_t guessed_ = 0, missed_ = 0;                 // queries
};

}  // namespace tutti
