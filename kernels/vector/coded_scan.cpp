#include "kernels/vector/coded_scan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/vector/code_tile.h"
#include "kernels/vector/pair_distances.h"
#include "kernels/vector/select_largest.h"
#include "kernels/vector/shared_results.h"

namespace tutti {
namespace {

constexpr std::int64_t kPiece = 4096;  // vectors of a task
constexpr std::int64_t kChunk = 256;   // queries of a task
constexpr std::int64_t kSeedVectors = 1024;
constexpr int kPairs = PairDistances::kPairs;
constexpr std::int32_t kPass = CodedVectors::kNever / 2;  // what no product with a vector outweighs
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A piece of a list's vectors for some of its queries.
struct Task {
  const CodedList* list;
  std::span<const std::int32_t> queries;
  std::int64_t begin, end;  // vectors of the list
};

std::vector<Task> cut(std::span<const CodedList> lists) {
  std::vector<Task> tasks;
  for (const CodedList& list : lists) {
    const auto queries = static_cast<std::int64_t>(list.queries.size());
    for (std::int64_t begin = 0; begin < list.vectors.count; begin += kPiece)
      for (std::int64_t from = 0; from < queries; from += kChunk)
        tasks.push_back(
            {&list,
             list.queries.subspan(static_cast<std::size_t>(from),
                                  static_cast<std::size_t>(std::min(kChunk, queries - from))),
             begin, std::min(begin + kPiece, list.vectors.count)});
  }
  return tasks;
}

// What is asked of a query's pairs now. One is ruled out by the prefix where
// start + product - half square is negative, and by the whole code where its squared distance in
// steps of the prefix is above `most`.
struct Query {
  std::int32_t number = 0;
  float limit = 0;         // that the rest follows from
  std::int32_t start = 0;  // see CodeTileTask
  double most = 0;
  // Of the squared distances of prefixes and rests, from what a pair's values make of them.
  std::int64_t prefix_offset = 0, rest_offset = 0;
};

// What the prefix left: a pair and its tile's value.
struct Survivor {
  std::int32_t vector;  // of the list
  std::int32_t query;   // of the block
  std::int32_t value;
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

  void run(const Task& task);

 private:
  void begin_block(std::span<const std::int32_t> numbers);
  void set_limit(Query& query, float limit);
  template <class Take>
  void sweep(const Task& task, Take&& take);
  void seed(const Task& task);
  float farthest_seed(const Task& task, int query, std::span<const std::int32_t> values);
  float farthest(std::int32_t query, const CodedList& list,
                 std::span<const std::pair<double, std::int32_t>> near);
  void find_survivors(const Task& task);
  void compute_squares(const Task& task);
  void check_survivors(const Task& task);
  void add_pair(const Task& task, std::int32_t query, std::int64_t vector);
  void measure_pairs(const Task& task);

  const CodeSpace& space_;
  const CodedQueries& queries_;
  SharedResults& results_;
  PairDistances distances_;
  double per_step_, rest_share_;  // the square of a step of the rest in those of the prefix
  const CodeKernels& kernels_ = *available_code_kernels().front();

  const CodedVectors* codes_ = nullptr;
  std::array<Query, kCodeTileQueries> block_;
  int present_ = 0;
  std::vector<std::int8_t> packed_;  // the block's prefixes, [steps][kCodeTileQueries][4]
  std::vector<std::int8_t> rests_;   // [kCodeTileQueries][rest bytes]
  AlignedBuffer<std::int32_t> values_{kCodeTileQueries * kCodeTileVectors};
  std::vector<std::int32_t> seed_values_;  // [queries of the block][vectors]
  LargestValues largest_;
  std::vector<Survivor> survivors_;
  std::ptrdiff_t survivor_count_ = 0;
  std::vector<CodePair> pairs_of_codes_;
  std::vector<std::int32_t> products_;  // of the survivors' rests
  std::vector<double> squares_;         // of their codes' distances, in steps of the prefix
  std::array<std::int32_t, 2 * kPairs> pair_query_{};
  std::array<std::int64_t, 2 * kPairs> pair_row_{};
  int pairs_ = 0;
};

void CodedScan::begin_block(std::span<const std::int32_t> numbers) {
  const std::int64_t prefix = space_.prefix(), rest = space_.code_dim() - prefix;
  present_ = static_cast<int>(numbers.size());
  for (int i = 0; i < kCodeTileQueries; ++i) {
    Query& query = block_[static_cast<std::size_t>(i)];
    query.start = -kPass;  // behind the last, nothing comes of a tile's values
    if (i >= present_) continue;
    query.number = numbers[static_cast<std::size_t>(i)];
    const std::int8_t* code = queries_.codes->row(query.number);
    pack_code(code, prefix, i, packed_.data());
    std::copy_n(code + prefix, rest, rests_.data() + i * codes_->rest_bytes());
    set_limit(query, results_.limit(query.number));
  }
}

void CodedScan::set_limit(Query& query, float limit) {
  constexpr std::int64_t kHigher = 128;  // codes of vectors are unsigned
  const CodeAxes& axes = space_.axes();
  const QueryCodes::Query& code = queries_.codes->queries[static_cast<std::size_t>(query.number)];
  query.limit = limit;
  const double reach = space_.reach(code.square, limit);
  const auto steps_square = [&](float radius, float cap) {
    const double steps = (reach + double(radius) + double(cap)) * per_step_;
    return steps * steps * (1 + 1e-9) + 2;
  };
  query.most = steps_square(code.radius, axes.cap);
  if (!(query.most <= kInfinity)) query.most = kInfinity;  // what is no number rules nothing out
  const double most = steps_square(code.prefix_radius, axes.prefix_cap);
  // |q|^2 + |v|^2 - 2 q.v <= most, halved, with |v|^2 / 2 rounded down and the rest up.
  const double start = (most - code.prefix_square) / 2 + 1 - double(kHigher * code.prefix_sum);
  query.start = start < kPass ? static_cast<std::int32_t>(std::max(start, double(-kPass))) : kPass;
  query.prefix_offset = code.prefix_square + 2 * (query.start + kHigher * code.prefix_sum);
  query.rest_offset =
      code.code_square - code.prefix_square + 2 * kHigher * (code.sum - code.prefix_sum);
}

// Computes the tiles of a task's vectors, and hands take(first vector, vectors, marks) those in
// which the prefix leaves a pair; values_ are theirs.
template <class Take>
void CodedScan::sweep(const Task& task, Take&& take) {
  std::int32_t starts[kCodeTileQueries];
  std::uint64_t marks[kCodeTileQueries];
  for (int i = 0; i < kCodeTileQueries; ++i) starts[i] = block_[std::size_t(i)].start;
  const std::int64_t first = task.list->first_group;
  const std::int64_t end = CodedVectors::groups_of(task.end);
  for (std::int64_t group = task.begin / CodedVectors::kLanes; group < end;
       group += kCodeTileGroups) {
    const std::int64_t groups = std::min<std::int64_t>(kCodeTileGroups, end - group);
    const CodeTileTask tile{codes_->group(first + group),
                            packed_.data(),
                            codes_->steps(),
                            codes_->half_squares(first + group),
                            starts,
                            values_.data(),
                            marks};
    if (kernels_.tile[groups - 1](tile))
      take(group * CodedVectors::kLanes, groups * CodedVectors::kLanes, marks);
  }
}

void CodedScan::run(const Task& task) {
  codes_ = task.list->codes;
  packed_.assign(static_cast<std::size_t>(codes_->steps() * kCodeTileQueries * 4), 0);
  rests_.assign(static_cast<std::size_t>(codes_->rest_bytes() * kCodeTileQueries), 0);
  for (std::size_t at = 0; at < task.queries.size(); at += kCodeTileQueries) {
    begin_block(task.queries.subspan(
        at, std::min<std::size_t>(kCodeTileQueries, task.queries.size() - at)));
    seed(task);
    find_survivors(task);
    check_survivors(task);
  }
  while (pairs_ > 0) measure_pairs(task);
}

// The first step: prefixes.
void CodedScan::find_survivors(const Task& task) {
  survivors_.resize(
      static_cast<std::size_t>(kCodeTileQueries * (task.end - task.begin + kCodeTileVectors)));
  survivor_count_ = 0;
  const std::int64_t group_vector = task.list->first_group * CodedVectors::kLanes;
  const std::int64_t rest_bytes = codes_->rest_bytes();
  sweep(task, [&](std::int64_t first, std::int64_t, const std::uint64_t* marks) {
    Survivor* to = survivors_.data() + survivor_count_;
    for (int i = 0; i < present_; ++i)
      for (std::uint64_t left = marks[i]; left != 0; left &= left - 1) {
        const int lane = std::countr_zero(left);
        *to++ = {static_cast<std::int32_t>(first) + lane, i, values_[i * kCodeTileVectors + lane]};
        const std::uint8_t* rest = codes_->rest(group_vector + first + lane);
        for (std::int64_t b = 0; b < rest_bytes; b += 64) __builtin_prefetch(rest + b);
      }
    survivor_count_ = to - survivors_.data();
  });
}

// Finds a first limit for the queries that have none: how far the k vectors are that are nearest by
// their codes, of the first ones.
void CodedScan::seed(const Task& task) {
  const std::int64_t k = results_.k();
  Task first = task;
  first.end = std::min(task.end, task.begin + std::max(kSeedVectors, 4 * k));
  const std::int64_t count = first.end - first.begin;
  const auto has_none = [](const Query& query) { return query.limit == kInfinity; };
  if (k > count || std::none_of(block_.begin(), block_.begin() + present_, has_none)) return;
  seed_values_.assign(static_cast<std::size_t>(kCodeTileQueries * count), CodedVectors::kAlways);
  sweep(first, [&](std::int64_t begin, std::int64_t size, const std::uint64_t*) {
    const std::int64_t at = begin - first.begin;
    for (int i = 0; i < present_; ++i)
      std::copy_n(values_.data() + i * kCodeTileVectors, std::min(size, count - at),
                  seed_values_.data() + i * count + at);
  });
  for (int i = 0; i < present_; ++i) {
    Query& query = block_[static_cast<std::size_t>(i)];
    if (!has_none(query)) continue;
    const float limit = farthest_seed(
        task, i, std::span(seed_values_).subspan(std::size_t(i * count), std::size_t(count)));
    if (!(limit < kInfinity)) continue;
    results_.lower(query.number, limit);
    set_limit(query, limit);
  }
}

// Of the vectors from the task's first on, whose tiles had these values for the block's query.
float CodedScan::farthest_seed(const Task& task, int query, std::span<const std::int32_t> values) {
  const auto k = static_cast<std::size_t>(results_.k());
  // Some more by the prefix; of these the nearest by the whole code.
  const std::size_t wanted = std::min(values.size(), 3 * k);
  const auto first = static_cast<std::int32_t>(task.begin);
  survivors_.clear();
  for (const std::int32_t place : largest_.select(values, wanted))
    survivors_.push_back({first + place, query, values[static_cast<std::size_t>(place)]});
  survivor_count_ = static_cast<std::ptrdiff_t>(wanted);
  compute_squares(task);
  std::vector<std::pair<double, std::int32_t>> near;
  for (std::size_t i = 0; i < wanted; ++i) near.emplace_back(squares_[i], survivors_[i].vector);
  std::ranges::nth_element(near, near.begin() + std::ptrdiff_t(k - 1));
  near.resize(k);
  return farthest(block_[static_cast<std::size_t>(query)].number, *task.list, near);
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

// The squared distances of the survivors' codes.
void CodedScan::compute_squares(const Task& task) {
  const std::int64_t first = task.list->first_group * CodedVectors::kLanes;
  const std::int64_t rest = codes_->rest_bytes();
  const std::span survivors(survivors_.data(), static_cast<std::size_t>(survivor_count_));
  products_.assign(survivors.size(), 0);
  squares_.resize(survivors.size());
  if (rest > 0) {
    pairs_of_codes_.resize(survivors.size());
    for (std::size_t i = 0; i < survivors.size(); ++i)
      pairs_of_codes_[i] = {survivors[i].vector, survivors[i].query};
    kernels_.products(codes_->rest(first), rests_.data(), rest, pairs_of_codes_, products_.data());
  }
  for (std::size_t i = 0; i < survivors.size(); ++i) {
    const Survivor& s = survivors[i];
    const Query& query = block_[static_cast<std::size_t>(s.query)];
    // value = start + product of the prefixes - half the prefix's square.
    const std::int64_t prefix = query.prefix_offset - 2 * std::int64_t{s.value};
    const std::int64_t square =
        query.rest_offset - 2 * std::int64_t{products_[i]} + codes_->rest_square(first + s.vector);
    squares_[i] = double(prefix) + rest_share_ * double(square);
  }
}

// The second step: whole codes.
void CodedScan::check_survivors(const Task& task) {
  compute_squares(task);
  for (std::ptrdiff_t i = 0; i < survivor_count_; ++i) {
    const Survivor& s = survivors_[static_cast<std::size_t>(i)];
    const Query& query = block_[static_cast<std::size_t>(s.query)];
    if (squares_[static_cast<std::size_t>(i)] <= query.most) add_pair(task, query.number, s.vector);
  }
}

// The third step's pairs wait, so that their vectors are there when they are measured.
void CodedScan::add_pair(const Task& task, std::int32_t query, std::int64_t vector) {
  const VectorRows& rows = task.list->vectors;
  const auto element = static_cast<std::int64_t>(size_of(rows.type));
  const auto* bytes = static_cast<const char*>(rows.data) + vector * rows.stride * element;
  for (std::int64_t b = 0; b < rows.dim * element; b += 64) __builtin_prefetch(bytes + b);
  pair_query_[static_cast<std::size_t>(pairs_)] = query;
  pair_row_[static_cast<std::size_t>(pairs_)] = vector;
  if (++pairs_ == 2 * kPairs) measure_pairs(task);
}

// Measures the pairs that have waited longest.
void CodedScan::measure_pairs(const Task& task) {
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

void check(const CodeSpace& space, const CodedQueries& queries, std::span<const CodedList> lists,
           std::span<const TopK> results) {
  require(queries.codes != nullptr && queries.vectors.cols == space.axes().dim &&
              queries.codes->count() == queries.vectors.rows &&
              queries.codes->code_dim == space.code_dim(),
          "scan_coded: queries and codes do not fit");
  require(static_cast<std::int64_t>(results.size()) == queries.vectors.rows,
          "scan_coded: there must be one accumulator per query");
  require(std::ranges::all_of(results, [&](const TopK& r) { return r.k() == results[0].k(); }),
          "scan_coded: all accumulators must have the same k");
  for (const CodedList& list : lists) {
    check_rows(list.vectors, "scan_coded: vectors");
    list.ids.check(list.vectors.count);
    require(list.vectors.dim == space.axes().dim, "scan_coded: vectors of another dimension");
    require(
        list.codes != nullptr && list.first_group >= 0 &&
            list.first_group + CodedVectors::groups_of(list.vectors.count) <= list.codes->groups(),
        "scan_coded: vectors and codes do not fit");
    require(std::ranges::all_of(list.queries,
                                [&](std::int32_t q) { return q >= 0 && q < queries.vectors.rows; }),
            "scan_coded: a list names a query that does not exist");
  }
}

}  // namespace

void scan_coded(const CodeSpace& space, const CodedQueries& queries,
                std::span<const CodedList> lists, std::span<TopK> results) {
  check(space, queries, lists, results);
  const std::vector<Task> tasks = cut(lists);
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
