#include "kernels/vector/ranked_scan.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/vector/code_block.h"
#include "kernels/vector/coded_task.h"
#include "kernels/vector/pair_distances.h"

namespace tutti {
namespace {

constexpr std::int64_t kSeedVectors = 1024;
constexpr std::int64_t kHigher = 128;  // codes of vectors are unsigned
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What is asked of a query's pairs now, and what its keys are made of.
struct Query {
  std::int32_t number = 0;
  float limit = 0;             // on keys
  double estimate = 0;         // its own part of the estimate
  double estimate_offset = 0;  // of the estimate, from a tile's value
  double prefix_offset = 0;    // of the squared distance of the prefixes, likewise
  double rest_offset = 0;      // of that of the rests, from their product
};

// One thread's work on one task after another.
class RankedScan {
 public:
  RankedScan(const CodeSpace& space, const CodedQueries& queries, CodeParts parts,
             Candidates& candidates)
      : space_(space),
        queries_(queries),
        parts_(parts),
        candidates_(candidates),
        distances_(space.axes().metric, queries.vectors.cols),
        rest_square_(double(space.axes().rest_step) / double(space.axes().step)) {
    rest_square_ *= rest_square_;
  }

  void run(const CodedTask& task);

 private:
  void begin_block(const CodedTask& task, std::span<const std::int32_t> numbers);
  void set_limit(int i, float limit);
  void seed(const CodedTask& task);
  float seed_limit(const CodedTask& task, int i);
  void compute_keys(const CodedTask& task);
  void compute_whole_keys(const CodedVectors& codes);
  void compute_estimates();
  float measured_key(const CodedTask& task, std::int32_t query, std::int64_t vector);
  void keep_pairs(const CodedTask& task);

  const CodeSpace& space_;
  const CodedQueries& queries_;
  CodeParts parts_;
  Candidates& candidates_;
  PairDistances distances_;
  double rest_square_;  // of a step of the rest, in those of the prefix

  CodeBlock block_{CodeBlock::Bias::estimate};
  std::array<Query, kCodeTileQueries> asked_;
  std::vector<float> keys_;  // of the block's pairs
  std::array<std::vector<Candidate>, kCodeTileQueries> found_;
};

void RankedScan::begin_block(const CodedTask& task, std::span<const std::int32_t> numbers) {
  block_.begin(*task.list->codes, *queries_.codes, numbers);
  for (int i = 0; i < block_.present(); ++i) {
    Query& query = asked_[static_cast<std::size_t>(i)];
    query.number = numbers[static_cast<std::size_t>(i)];
    const QueryCodes::Query& code = queries_.codes->queries[static_cast<std::size_t>(query.number)];
    const std::int32_t rest = code.code_square - code.prefix_square;
    query.estimate = code.prefix_square + 2 * rest_part(space_.rest_weight(), rest);
    query.rest_offset = rest + 2 * kHigher * (code.sum - code.prefix_sum);
    set_limit(i, candidates_.limit(query.number));
    candidates_.prefetch(query.number);
  }
}

// With d the product of the prefixes, an estimate is that of the query and the vector's bias twice,
// less 2 d: at most `limit` where d less the bias is at least half of what the query's part exceeds
// the limit by.
void RankedScan::set_limit(int i, float limit) {
  Query& query = asked_[static_cast<std::size_t>(i)];
  const QueryCodes::Query& code = queries_.codes->queries[static_cast<std::size_t>(query.number)];
  const double higher = double(kHigher * code.prefix_sum);
  query.limit = limit;
  // A key is rounded to a float, and so is the limit.
  const std::int32_t start =
      block_.set_start(i, (double(limit) * (1 + 1e-6) - query.estimate) / 2 - higher);
  query.estimate_offset = query.estimate + 2 * (start + higher);
  query.prefix_offset = query.estimate_offset - (query.estimate - code.prefix_square);
}

void RankedScan::run(const CodedTask& task) {
  const std::span<const std::int32_t> all = task.queries;
  const auto block_at = [&](std::size_t at) {
    const std::size_t begin = std::min(at, all.size());
    return all.subspan(begin, std::min<std::size_t>(kCodeTileQueries, all.size() - begin));
  };
  for (std::size_t at = 0; at < all.size(); at += kCodeTileQueries) {
    begin_block(task, block_at(at));
    CodeBlock::prefetch(*queries_.codes, block_at(at + kCodeTileQueries));
    seed(task);
    block_.find_pairs(task.first_group(), task.end_group());
    keep_pairs(task);
  }
}

// Finds a first limit for the queries that have none.
void RankedScan::seed(const CodedTask& task) {
  const std::int64_t depth = candidates_.depth();
  const std::int64_t count = std::min(task.end - task.begin, std::max(kSeedVectors, 4 * depth));
  const auto has_none = [](const Query& query) { return query.limit == kInfinity; };
  if (depth > count || std::none_of(asked_.begin(), asked_.begin() + block_.present(), has_none))
    return;
  block_.compute_values(task.first_group(), count);
  for (int i = 0; i < block_.present(); ++i) {
    const Query& query = asked_[static_cast<std::size_t>(i)];
    if (!has_none(query)) continue;
    const float limit = seed_limit(task, i);
    candidates_.lower(query.number, limit);
    set_limit(i, limit);
  }
}

// A key that `depth` vectors do not exceed, of some of those that are estimated to be nearest.
float RankedScan::seed_limit(const CodedTask& task, int i) {
  const std::int64_t depth = candidates_.depth();
  block_.pair_largest(i, static_cast<std::size_t>(2 * depth));
  compute_keys(task);
  const auto nth = keys_.begin() + (depth - 1);
  std::nth_element(keys_.begin(), nth, keys_.begin() + std::ssize(block_.places()));
  return *nth;
}

void RankedScan::compute_keys(const CodedTask& task) {
  const std::span<const std::int32_t> places = block_.places();
  keys_.resize(std::max(keys_.size(), places.size()));
  if (parts_ == CodeParts::whole)
    compute_whole_keys(*task.list->codes);
  else
    compute_estimates();
  const std::int32_t* estimates = task.list->codes->estimates(0);
  for (std::size_t p = 0; p < places.size(); ++p)
    if (estimates[places[p]] == CodedVectors::kAlways)
      keys_[p] = measured_key(task, asked_[block_.pair_queries()[p]].number, places[p]);
}

void RankedScan::compute_whole_keys(const CodedVectors& codes) {
  const std::span<const std::int32_t> places = block_.places(), values = block_.pair_values(),
                                      products = block_.rest_products();
  const std::span<const std::uint8_t> queries = block_.pair_queries();
  const double weight = space_.rest_weight();
  for (std::size_t p = 0; p < places.size(); ++p) {
    const Query& query = asked_[queries[p]];
    const std::int32_t rest_square = codes.rest_square(places[p]);
    // value = start + product of the prefixes - the vector's part of the estimate.
    const double twice = 2 * double(values[p]);
    const double prefix = query.prefix_offset - twice - 2 * rest_part(weight, rest_square);
    const double rest = query.rest_offset + double(rest_square) - 2 * double(products[p]);
    const double estimate = query.estimate_offset - twice, square = prefix + rest_square_ * rest;
    keys_[p] = static_cast<float>(std::max({estimate, square, 0.0}));
  }
}

void RankedScan::compute_estimates() {
  const std::span<const std::int32_t> values = block_.pair_values();
  const std::span<const std::uint8_t> queries = block_.pair_queries();
  for (std::size_t p = 0; p < values.size(); ++p) {
    const double estimate = asked_[queries[p]].estimate_offset - 2 * double(values[p]);
    keys_[p] = static_cast<float>(std::max(estimate, 0.0));
  }
}

// Of a loose vector.
float RankedScan::measured_key(const CodedTask& task, std::int32_t number, std::int64_t place) {
  const LooseVectors* loose = task.list->loose;
  std::int64_t row = place - task.list->first_group * CodedVectors::kLanes;
  if (loose) row = loose->row_of(task.list->first_place + row);
  const float* query = queries_.vectors.row(number);
  const VectorRows* rows = loose ? &loose->rows : &task.list->vectors;
  float distance = 0;
  distances_.measure(&query, &rows, &row, 1, &distance);
  const double steps =
      space_.reach(queries_.codes->queries[static_cast<std::size_t>(number)].square, distance) /
      double(space_.axes().step);
  return static_cast<float>(steps * steps);
}

void RankedScan::keep_pairs(const CodedTask& task) {
  compute_keys(task);
  const std::span<const std::int32_t> places = block_.places();
  const std::span<const std::uint8_t> queries = block_.pair_queries();
  const auto first = static_cast<std::int32_t>(task.list->first_group * CodedVectors::kLanes);
  const auto first_place = static_cast<std::int32_t>(task.list->first_place);
  for (std::size_t p = 0; p < places.size(); ++p)
    if (keys_[p] <= asked_[queries[p]].limit)
      found_[queries[p]].push_back({keys_[p], first_place + (places[p] - first)});
  for (int i = 0; i < block_.present(); ++i) {
    std::vector<Candidate>& found = found_[static_cast<std::size_t>(i)];
    candidates_.add(asked_[static_cast<std::size_t>(i)].number, found);
    found.clear();
  }
}

}  // namespace

void scan_ranked(const CodeSpace& space, const CodedQueries& queries, CodeParts parts,
                 std::span<const CodedList> lists, Candidates& candidates) {
  check_coded(space, queries, lists);
  if (candidates.queries() != queries.vectors.rows)
    throw std::invalid_argument("scan_ranked: there must be candidates for each query");
  if (parts == CodeParts::whole && std::ranges::any_of(lists, [](const CodedList& list) {
        return list.codes->parts() != CodeParts::whole;
      }))
    throw std::invalid_argument("scan_ranked: there is less of the codes than is ranked by");
  const std::vector<CodedTask> tasks = cut_lists(lists);
  const int threads = thread_count();
  std::vector<RankedScan> scans;
  for (int i = 0; i < threads; ++i) scans.emplace_back(space, queries, parts, candidates);
  parallel_for_dynamic(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i) {
    const int mine = threads == 1 ? 0 : thread_index();
    scans[static_cast<std::size_t>(mine)].run(tasks[static_cast<std::size_t>(i)]);
  });
  candidates.settle();
}

}  // namespace tutti
