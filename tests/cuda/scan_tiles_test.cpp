// What comes out of the tensor cores, before it is measured.
#include <algorithm>
#include <cmath>

#include "kernels/core/random.h"
#include "kernels/vector/device_rows_cuda.h"
#include "kernels/vector/scan.h"
#include "tests/cuda/support.h"

namespace tutti {
namespace {

using cuda::DeviceBuffer;

constexpr std::int64_t kVectors = 700, kQueries = 150;
constexpr std::int32_t kRoom = 128;

std::vector<float> numbers(std::int64_t count, std::uint64_t seed, float offset) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(offset +
                     static_cast<float>(2 * random_uniform(seed, 0, std::uint64_t(i)) - 1));
  return values;
}

// Per query the rows that pass its limit, of vectors whose distances are `measured`.
std::vector<std::vector<std::int32_t>> passing(const VectorRows& queries, const VectorRows& vectors,
                                               Metric metric, const std::vector<float>& limits) {
  cuda::DeviceRows asked;
  asked.reserve(DType::f32, queries.count, queries.dim, 64);
  asked.copy(queries, 0, test::stream());
  asked.prepare(queries.count, test::stream());
  cuda::DeviceVectors searched;
  searched.reserve(vectors.type, vectors.count, vectors.dim);
  searched.copy(vectors, 0, test::stream());
  const std::vector<std::int64_t> ids(static_cast<std::size_t>(vectors.count));
  searched.prepare(ids, metric, test::stream());
  const auto limits_there = test::on_device(limits);
  DeviceBuffer<float> thresholds(queries.count);
  cuda::make_thresholds(asked.view(), searched.bounds(), limits_there.data(), thresholds.data(),
                        test::stream());
  // Two runs of vectors, two of queries, which stand in the table the other way round.
  std::vector<std::int32_t> members;
  for (std::int64_t q = queries.count; q-- > 0;) members.push_back(std::int32_t(q));
  std::vector<cuda::TileTask> tasks;
  for (const std::int32_t row : {0, 300})
    for (const std::int32_t member : {0, 128})
      tasks.push_back({row, row == 0 ? 300 : std::int32_t(vectors.count) - 300, member,
                       member == 0 ? 128 : std::int32_t(queries.count) - 128});
  const auto members_there = test::on_device(members);
  const auto tasks_there = test::on_device(tasks);
  auto counts = test::on_device(std::vector<std::int32_t>(std::size_t(queries.count)));
  DeviceBuffer<std::int32_t> survivors(queries.count * kRoom);
  cuda::TileArguments arguments;
  arguments.vectors = searched.rows().rounded;
  arguments.starts = searched.starts();
  arguments.queries = asked.view().rounded;
  arguments.thresholds = thresholds.data();
  arguments.tasks = tasks_there.data();
  arguments.members = members_there.data();
  arguments.slices = int(searched.rows().rounded_stride / cuda::kScanSlice);
  arguments.room = kRoom;
  arguments.counts = counts.data();
  arguments.survivors = survivors.data();
  cuda::scan_tiles(arguments, std::ssize(tasks), test::stream());
  const auto found = test::on_host(counts), rows = test::on_host(survivors);
  std::vector<std::vector<std::int32_t>> all;
  for (std::int64_t q = 0; q < queries.count; ++q) {
    EXPECT_LE(found[std::size_t(q)], kRoom) << "hardly anything is ruled out";
    const auto begin = rows.begin() + q * kRoom;
    all.emplace_back(begin, begin + std::min(found[std::size_t(q)], kRoom));
    std::ranges::sort(all.back());
  }
  return all;
}

// All within the limit pass, and few others do.
void expect_bound(std::int64_t dim, float offset, Metric metric) {
  const auto v = numbers(kVectors * dim, 1, offset), q = numbers(kQueries * dim, 2, offset);
  const ConstMatrixView<float> vectors(v.data(), kVectors, dim), queries(q.data(), kQueries, dim);
  std::vector<TopK> nearest(static_cast<std::size_t>(kQueries), TopK(10));
  scan(queries, VectorRows(vectors), 0, metric, nearest);
  std::vector<float> limits;
  for (const TopK& one : nearest) limits.push_back(one.sorted().back().distance);
  const auto passed = passing(VectorRows(queries), VectorRows(vectors), metric, limits);
  for (std::size_t i = 0; i < passed.size(); ++i)
    for (const Neighbor& n : nearest[i].sorted())
      EXPECT_TRUE(std::ranges::binary_search(passed[i], std::int32_t(n.id)))
          << name_of(metric) << " d=" << dim << " query " << i << " misses " << n.id;
}

TEST(ScanTiles, WhatIsNearEnoughPassesAndLittleElse) {
  for (const Metric metric : {Metric::l2, Metric::inner_product, Metric::cosine})
    for (const std::int64_t dim : {8, 100, 256, 260}) {
      expect_bound(dim, 0, metric);
      expect_bound(dim, 0.25f, metric);
    }
}

}  // namespace
}  // namespace tutti
