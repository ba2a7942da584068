#include "kernels/vector/coded_scan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/core/prefetch.h"
#include "kernels/vector/code_block.h"
#include "kernels/vector/coded_task.h"
#include "kernels/vector/pair_distances.h"
#include "kernels/vector/shared_results.h"

namespace tutti {
namespace {

constexpr std::int64_t kSeedVectors = 1024;
constexpr int kPairs = PairDistances::kPairs;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What is asked of a query's pairs now. One is ruled out by the prefix where
// start + product - half square is negative, and by the whole code where its squared distance in
// steps of the prefix is above `most`.
struct Query {
  std::int32_t number = 0;
  float limit = 0;  // that the rest follows from
  double most = 0;
  // Of the squared distances of prefixes and rests, from what a pair's values make of them.
  std::int64_t prefix_offset = 0, rest_offset = 0;
};

// One thread's work on one task after another.
class CodedScan {
 public:
  CodedScan(const CodeSpace& space, const CodedQueries& queries, SharedResults& results)
      : space_(space),
        queries_(queries),
        results_(results),
        distances_(space.axes().metric, queries.vectors.cols),
        per_step_(1 / double(space.axes().step)),
        rest_share_(double(space.axes().rest_step) * per_step_) {
    rest_share_ *= rest_share_;
  }

  void run(const CodedTask& task);

 private:
  void begin_block(const CodedTask& task, std::span<const std::int32_t> numbers);
  void set_limit(int query, float limit);
  void seed(const CodedTask& task);
  float farthest_seed(const CodedTask& task, int query);
  float farthest(std::int32_t query, const CodedList& list,
                 std::span<const std::pair<double, std::int32_t>> near);
  void compute_squares(const CodedVectors& codes);
  void check_pairs(const CodedTask& task);
  void add_pair(const CodedTask& task, std::int32_t query, std::int64_t vector);
  void measure_pairs(const CodedTask& task);

  const CodeSpace& space_;
  const CodedQueries& queries_;
  SharedResults& results_;
  PairDistances distances_;
  double per_step_, rest_share_;  // the square of a step of the rest in those of the prefix

  CodeBlock block_{CodeBlock::Bias::half_square};
  std::array<Query, kCodeTileQueries> asked_;
  std::vector<double> squares_;  // of the codes' distances of the block's pairs, in prefix steps
  std::array<std::int32_t, 2 * kPairs> pair_query_{};
  std::array<std::int64_t, 2 * kPairs> pair_row_{};
  int pairs_ = 0;
};

void CodedScan::begin_block(const CodedTask& task, std::span<const std::int32_t> numbers) {
  block_.begin(*task.list->codes, *queries_.codes, numbers);
  for (int i = 0; i < block_.present(); ++i) {
    Query& query = asked_[static_cast<std::size_t>(i)];
    query.number = numbers[static_cast<std::size_t>(i)];
    set_limit(i, results_.limit(query.number));
  }
}

void CodedScan::set_limit(int i, float limit) {
  constexpr std::int64_t kHigher = 128;  // codes of vectors are unsigned
  const CodeAxes& axes = space_.axes();
  Query& query = asked_[static_cast<std::size_t>(i)];
  const QueryCodes::Query& code = queries_.codes->queries[static_cast<std::size_t>(query.number)];
  query.limit = limit;
  const double reach = space_.reach(code.square, limit);
  const auto steps_square = [&](float radius, float cap) {
    const double steps = (reach + double(radius) + double(cap)) * per_step_;
    return steps * steps * (1 + 1e-9) + 2;
  };
  query.most = steps_square(code.radius, axes.cap);
  if (!(query.most <= kInfinity)) query.most = kInfinity;  // what is no number rules nothing out
  double most = steps_square(code.prefix_radius, axes.prefix_cap);
  if (!(most <= kInfinity)) most = kInfinity;
  // |q|^2 + |v|^2 - 2 q.v <= most, halved, with |v|^2 / 2 rounded down and the rest up.
  const std::int32_t start =
      block_.set_start(i, (most - code.prefix_square) / 2 + 1 - double(kHigher * code.prefix_sum));
  query.prefix_offset = code.prefix_square + 2 * (start + kHigher * code.prefix_sum);
  query.rest_offset =
      code.code_square - code.prefix_square + 2 * kHigher * (code.sum - code.prefix_sum);
}

void CodedScan::run(const CodedTask& task) {
  for (std::size_t at = 0; at < task.queries.size(); at += kCodeTileQueries) {
    begin_block(task, task.queries.subspan(
                          at, std::min<std::size_t>(kCodeTileQueries, task.queries.size() - at)));
    seed(task);
    block_.find_pairs(task.first_group(), task.end_group());
    check_pairs(task);
  }
  while (pairs_ > 0) measure_pairs(task);
}

// Finds a first limit for the queries that have none: how far the k vectors are that are nearest by
// their codes, of the first ones.
void CodedScan::seed(const CodedTask& task) {
  const std::int64_t k = results_.k();
  const std::int64_t count = std::min(task.end - task.begin, std::max(kSeedVectors, 4 * k));
  const auto has_none = [](const Query& query) { return query.limit == kInfinity; };
  if (k > count || std::none_of(asked_.begin(), asked_.begin() + block_.present(), has_none))
    return;
  block_.compute_values(task.first_group(), count);
  for (int i = 0; i < block_.present(); ++i) {
    const Query& query = asked_[static_cast<std::size_t>(i)];
    if (!has_none(query)) continue;
    const float limit = farthest_seed(task, i);
    if (!(limit < kInfinity)) continue;
    results_.lower(query.number, limit);
    set_limit(i, limit);
  }
}

float CodedScan::farthest_seed(const CodedTask& task, int query) {
  const auto k = static_cast<std::size_t>(results_.k());
  // Some more by the prefix; of these the nearest by the whole code.
  block_.pair_largest(query, 3 * k);
  compute_squares(*task.list->codes);
  const std::span<const std::int32_t> places = block_.places();
  const std::int64_t list_place = task.list->first_group * CodedVectors::kLanes;
  std::vector<std::pair<double, std::int32_t>> near;
  for (std::size_t i = 0; i < places.size(); ++i)
    near.emplace_back(squares_[i], static_cast<std::int32_t>(places[i] - list_place));
  std::ranges::nth_element(near, near.begin() + std::ptrdiff_t(k - 1));
  near.resize(k);
  return farthest(asked_[static_cast<std::size_t>(query)].number, *task.list, near);
}

float CodedScan::farthest(std::int32_t query, const CodedList& list,
                          std::span<const std::pair<double, std::int32_t>> near) {
  const float* queries[kPairs];
  const VectorRows* sets[kPairs];
  std::int64_t rows[kPairs];
  float distances[kPairs];
  std::fill_n(queries, kPairs, queries_.vectors.row(query));
  std::fill_n(sets, kPairs, &list.vectors);
  float all = -kInfinity;
  for (std::size_t at = 0; at < near.size(); at += kPairs) {
    const auto count = std::min<std::size_t>(kPairs, near.size() - at);
    for (std::size_t p = 0; p < count; ++p) rows[p] = near[at + p].second;
    distances_.measure(queries, sets, rows, static_cast<int>(count), distances);
    for (std::size_t p = 0; p < count; ++p)
      if (distances[p] > all || std::isnan(distances[p])) all = distances[p];  // which then stays
  }
  return all;
}

// The squared distances of the codes of the block's pairs.
void CodedScan::compute_squares(const CodedVectors& codes) {
  const std::span<const std::int32_t> places = block_.places(), values = block_.pair_values(),
                                      products = block_.rest_products();
  const std::span<const std::uint8_t> queries = block_.pair_queries();
  squares_.resize(std::max(squares_.size(), places.size()));
  for (std::size_t p = 0; p < places.size(); ++p) {
    const Query& query = asked_[queries[p]];
    // value = start + product of the prefixes - half the prefix's square.
    const std::int64_t prefix = query.prefix_offset - 2 * std::int64_t{values[p]};
    const std::int64_t square =
        query.rest_offset - 2 * std::int64_t{products[p]} + codes.rest_square(places[p]);
    squares_[p] = double(prefix) + rest_share_ * double(square);
  }
}

// The second step: whole codes.
void CodedScan::check_pairs(const CodedTask& task) {
  compute_squares(*task.list->codes);
  const std::span<const std::int32_t> places = block_.places();
  const std::span<const std::uint8_t> queries = block_.pair_queries();
  const std::int64_t list_place = task.list->first_group * CodedVectors::kLanes;
  for (std::size_t p = 0; p < places.size(); ++p) {
    const Query& query = asked_[queries[p]];
    if (squares_[p] <= query.most) add_pair(task, query.number, places[p] - list_place);
  }
}

// The third step's pairs wait, so that their vectors are there when they are measured.
void CodedScan::add_pair(const CodedTask& task, std::int32_t query, std::int64_t vector) {
  const VectorRows& rows = task.list->vectors;
  const auto element = static_cast<std::int64_t>(size_of(rows.type));
  const auto* bytes = static_cast<const char*>(rows.data) + vector * rows.stride * element;
  prefetch(bytes, rows.dim * element);
  pair_query_[static_cast<std::size_t>(pairs_)] = query;
  pair_row_[static_cast<std::size_t>(pairs_)] = vector;
  if (++pairs_ == 2 * kPairs) measure_pairs(task);
}

// Measures the pairs that have waited longest.
void CodedScan::measure_pairs(const CodedTask& task) {
  const int count = std::min(pairs_, kPairs);
  const float* queries[kPairs] = {};
  const VectorRows* sets[kPairs] = {};
  float distances[kPairs];
  for (int p = 0; p < count; ++p) {
    queries[p] = queries_.vectors.row(pair_query_[static_cast<std::size_t>(p)]);
    sets[p] = &task.list->vectors;
  }
  distances_.measure(queries, sets, pair_row_.data(), count, distances);
  for (int p = 0; p < count; ++p)
    results_.push(pair_query_[static_cast<std::size_t>(p)],
                  {distances[p], task.list->ids[pair_row_[static_cast<std::size_t>(p)]]});
  pairs_ -= count;
  std::copy_n(pair_query_.begin() + count, pairs_, pair_query_.begin());
  std::copy_n(pair_row_.begin() + count, pairs_, pair_row_.begin());
}

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

}  // namespace

void check_coded(const CodeSpace& space, const CodedQueries& queries,
                 std::span<const CodedList> lists) {
  require(queries.codes != nullptr && queries.vectors.cols == space.axes().dim &&
              queries.codes->count() == queries.vectors.rows &&
              queries.codes->code_dim == space.code_dim(),
          "scan_coded: queries and codes do not fit");
  for (const CodedList& list : lists) {
    check_rows(list.vectors, "scan_coded: vectors");
    list.ids.check(list.vectors.count);
    require(list.vectors.dim == space.axes().dim, "scan_coded: vectors of another dimension");
    require(
        list.codes != nullptr && list.codes->prefix() == space.prefix() && list.first_group >= 0 &&
            list.first_group + CodedVectors::groups_of(list.vectors.count) <= list.codes->groups(),
        "scan_coded: vectors and codes do not fit");
    require(std::ranges::all_of(list.queries,
                                [&](std::int32_t q) { return q >= 0 && q < queries.vectors.rows; }),
            "scan_coded: a list names a query that does not exist");
  }
}

void scan_coded(const CodeSpace& space, const CodedQueries& queries,
                std::span<const CodedList> lists, std::span<TopK> results) {
  check_coded(space, queries, lists);
  require(static_cast<std::int64_t>(results.size()) == queries.vectors.rows,
          "scan_coded: there must be one accumulator per query");
  require(std::ranges::all_of(
              lists,
              [](const CodedList& l) { return !l.loose && l.codes->parts() == CodeParts::whole; }),
          "scan_coded: all vectors and all of their codes must be in memory");
  require(std::ranges::all_of(results, [&](const TopK& r) { return r.k() == results[0].k(); }),
          "scan_coded: all accumulators must have the same k");
  const std::vector<CodedTask> tasks = cut_lists(lists);
  if (tasks.empty()) return;
  SharedResults shared(results);
  const int threads = thread_count();
  std::vector<CodedScan> scans;
  for (int i = 0; i < threads; ++i) scans.emplace_back(space, queries, shared);
  parallel_for_dynamic(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i) {
    const int mine = threads == 1 ? 0 : thread_index();
    scans[static_cast<std::size_t>(mine)].run(tasks[static_cast<std::size_t>(i)]);
  });
}

}  // namespace tutti
