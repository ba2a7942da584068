#include "kernels/vector/scan.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/vector/scan_tasks.h"

namespace tutti {
namespace {

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

void check_queries(const VectorRows& queries, std::span<const TopK> results) {
  check_rows(queries, "scan: queries");
  require(static_cast<std::int64_t>(results.size()) == queries.count,
          "scan: there must be one accumulator per query");
  const bool same = std::all_of(results.begin(), results.end(),
                                [&](const TopK& r) { return r.k() == results[0].k(); });
  require(same, "scan: all accumulators must have the same k");
}

std::vector<std::int64_t> all_rows(std::int64_t count) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

}  // namespace

void VectorIds::check(std::int64_t count) const {
  require(first_ >= 0, "scan: ids must not be negative");
  require(consecutive_ || static_cast<std::int64_t>(table_.size()) == count,
          "scan: there must be one id per vector");
  require(std::all_of(table_.begin(), table_.end(), [](std::int64_t id) { return id >= 0; }),
          "scan: ids must not be negative");
}

VectorIds VectorIds::range(std::int64_t begin, std::int64_t count) const {
  if (consecutive_) return first_ + begin;
  return table_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
}

void scan(ConstMatrixView<float> queries, const VectorRows& vectors, const VectorIds& ids,
          Metric metric, std::span<TopK> results) {
  const auto rows = all_rows(queries.rows);
  const ListScan whole{vectors, ids, rows};
  scan_lists(queries, {&whole, 1}, metric, results);
}

void scan(ConstMatrixView<float> queries, const PackedVectors& vectors, const VectorIds& ids,
          Metric metric, std::span<TopK> results) {
  check_queries(queries, results);
  ids.check(vectors.count());
  if (vectors.count() == 0) return;
  require(vectors.dim() == queries.cols, "scan: vectors and queries differ in dimension");
  const auto rows = all_rows(queries.rows);
  const detail::ScanTarget target{{}, &vectors, ids, rows};
  detail::scan_cpu(queries, {&target, 1}, metric, results);
}

void detail::check_scan(const VectorRows& queries, std::span<const ListScan> lists,
                        std::span<const TopK> results) {
  check_queries(queries, results);
  for (const ListScan& list : lists) {
    check_rows(list.vectors, "scan: vectors");
    list.ids.check(list.vectors.count);
    require(list.vectors.dim == queries.dim, "scan: vectors and queries differ in dimension");
    const bool inside = std::all_of(list.queries.begin(), list.queries.end(),
                                    [&](std::int64_t q) { return q >= 0 && q < queries.count; });
    require(inside, "scan: a list names a query that does not exist");
  }
}

void scan_lists(ConstMatrixView<float> queries, std::span<const ListScan> lists, Metric metric,
                std::span<TopK> results) {
  detail::check_scan(queries, lists, results);
  std::vector<detail::ScanTarget> targets;
  targets.reserve(lists.size());
  for (const ListScan& list : lists)
    targets.push_back({list.vectors, nullptr, list.ids, list.queries});
  detail::scan_cpu(queries, targets, metric, results);
}

}  // namespace tutti
