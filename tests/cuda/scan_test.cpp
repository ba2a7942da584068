// What tests/kernels/vector/scan_test.cpp asks of the CPU's scan, of a device's.
#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/core/dtype.h"
#include "kernels/vector/assign.h"
#include "kernels/vector/device_scan.h"
#include "tests/cuda/support.h"
#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::accumulators;
using test::kInf;
using test::kNaN;
using test::Matrix;
using test::sorted;

constexpr Metric kMetrics[] = {Metric::l2, Metric::inner_product, Metric::cosine};

DeviceScan& device() {
  // Never destroyed: the device's library may end before.
  static DeviceScan* const instance = test::session().make_scan().release();
  return *instance;
}

std::vector<Neighbor> scanned(const Matrix& queries, const VectorRows& vectors,
                              const VectorIds& ids, Metric metric, std::int64_t k) {
  auto results = accumulators(queries.rows, k);
  scan(device(), queries.view(), vectors, ids, metric, results);
  return sorted(results);
}

std::vector<Neighbor> defined(const Matrix& queries, const VectorRows& vectors,
                              const VectorIds& ids, Metric metric, std::int64_t k) {
  auto results = accumulators(queries.rows, k);
  scan(queries.view(), vectors, ids, metric, results);
  return sorted(results);
}

void expect_defined(const Matrix& queries, const VectorRows& vectors, const VectorIds& ids,
                    std::int64_t k) {
  for (const Metric metric : kMetrics)
    ASSERT_EQ(scanned(queries, vectors, ids, metric, k), defined(queries, vectors, ids, metric, k))
        << name_of(metric) << " d=" << vectors.dim << " n=" << vectors.count
        << " nq=" << queries.rows << " k=" << k;
}

TEST(DeviceScan, ByHand) {
  Matrix queries(1, 2, 0);
  queries.values = {0, 0};
  Matrix vectors(4, 2, 0);
  vectors.values = {3, 4, 1, 0, 0, 2, 1, 0};
  EXPECT_EQ(scanned(queries, vectors.view(), 10, Metric::l2, 3),
            (std::vector<Neighbor>{{1, 11}, {1, 13}, {4, 12}}));
  queries.values = {1, 1};
  EXPECT_EQ(scanned(queries, vectors.view(), 0, Metric::inner_product, 5),
            (std::vector<Neighbor>{{-7, 0}, {-2, 2}, {-1, 1}, {-1, 3}, {kInf, -1}}));
}

TEST(DeviceScan, EqualsTheCpuAtAwkwardSizes) {
  for (const std::int64_t dim : {1, 100, 128, 300}) {
    for (const std::int64_t count : {0, 1, 129, 1000}) {
      const Matrix vectors(count, dim, 1);
      for (const std::int64_t rows : {1, 13}) {
        const Matrix queries(rows, dim, 2);
        for (const std::int64_t k : {1, 10, 1000}) expect_defined(queries, vectors.view(), 0, k);
      }
    }
  }
}

TEST(DeviceScan, EqualsTheCpuOverManyQueriesAndTasks) {
  const Matrix vectors(9000, 12, 1);
  const Matrix queries(300, 12, 2);
  expect_defined(queries, vectors.view(), 5, 10);
}

// Far from the origin, the bound on rounding is wide against the distances.
TEST(DeviceScan, IsExactFarFromTheOrigin) {
  for (const float offset : {100.0f, 1e18f, 1e30f}) {
    Matrix vectors(1000, 20, 1);
    Matrix queries(9, 20, 2);
    for (float& x : vectors.values) x += offset;
    for (float& x : queries.values) x += offset;
    expect_defined(queries, vectors.view(), 0, 5);
  }
}

TEST(DeviceScan, IsExactForTinyAndMixedNumbers) {
  Matrix vectors(1000, 20, 1);
  Matrix queries(9, 20, 2);
  for (std::size_t i = 0; i < vectors.values.size(); ++i)
    vectors.values[i] *= std::ldexp(1.0f, -static_cast<int>(i / 20 % 140));
  for (float& x : queries.values) x *= 0x1p-70f;
  expect_defined(queries, vectors.view(), 0, 20);
}

// More than there is room for pass the bound of a query, which all are equally far from.
TEST(DeviceScan, TiesGoToTheLowestId) {
  constexpr std::int64_t kCount = 5000;
  Matrix vectors(kCount, 8, 1);
  std::fill(vectors.values.begin(), vectors.values.end(), 0.5f);
  const Matrix queries(9, 8, 2);
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < kCount; ++i) ids.push_back((i * 7) % kCount);
  expect_defined(queries, vectors.view(), ids, 10);
}

// So that what comes later is always nearer.
TEST(DeviceScan, IsExactWhereTheNearestComeLast) {
  Matrix vectors(6000, 4, 1);
  for (std::int64_t i = 0; i < vectors.rows; ++i)
    for (std::int64_t j = 0; j < 4; ++j) vectors.view()(i, j) += float(vectors.rows - i);
  const Matrix queries(3, 4, 2);
  expect_defined(queries, vectors.view(), 0, 10);
}

TEST(DeviceScan, NaNNeverRanksAndInfinityRanksLast) {
  Matrix vectors(300, 5, 1);
  for (std::int64_t i = 0; i < 300; i += 3) vectors.view()(i, i % 5) = kNaN;
  for (std::int64_t i = 1; i < 300; i += 3) vectors.view()(i, i % 5) = kInf;
  Matrix queries(10, 5, 2);
  queries.view()(4, 2) = kNaN;
  queries.view()(6, 1) = -kInf;
  for (const Metric metric : kMetrics) {
    const auto found = scanned(queries, vectors.view(), 0, metric, 250);
    EXPECT_EQ(found, defined(queries, vectors.view(), 0, metric, 250));
    for (const Neighbor& n : found) EXPECT_FALSE(std::isnan(n.distance));
  }
}

TEST(DeviceScan, SameBytesForAnyCut) {
  const Matrix vectors(3000, 24, 3);
  const Matrix queries(20, 24, 4);
  for (const Metric metric : kMetrics) {
    auto pieces = accumulators(20, 10);
    const VectorRows rows(vectors.view());
    for (std::int64_t begin = 0; begin < 3000; begin += 1700) {
      const std::int64_t size = std::min<std::int64_t>(1700, 3000 - begin);
      scan(device(), queries.view(), rows.range(begin, size), begin, metric, pieces);
    }
    EXPECT_EQ(sorted(pieces), defined(queries, vectors.view(), 0, metric, 10));
  }
}

TEST(DeviceScan, EveryStorageTypeEqualsItsFloats) {
  const std::int64_t dim = 21;
  std::vector<bf16> b;
  std::vector<std::uint16_t> h;
  std::vector<std::uint8_t> u;
  std::vector<std::int8_t> s;
  for (std::uint64_t i = 0; i < 200 * 21; ++i) {
    const std::uint64_t bits = random_u64(9, 0, i);
    b.push_back(bf16(static_cast<float>(bits % 1000) / 500 - 1));
    h.push_back(f16_from_float(i % 50 == 0 ? 0x1p-20f : static_cast<float>(bits % 1000) / 500 - 1));
    u.push_back(static_cast<std::uint8_t>(bits));
    s.push_back(static_cast<std::int8_t>(bits));
  }
  h[5] = 0x7c00, h[30] = 0xfc00, h[60] = 0x7e00;  // infinities, and what is no number
  const Matrix queries(9, dim, 5);
  expect_defined(queries, VectorRows(b.data(), DType::bf16, 200, dim, dim), 0, 7);
  expect_defined(queries, VectorRows(h.data(), DType::f16, 200, dim, dim), 0, 7);
  expect_defined(queries, VectorRows(u.data(), DType::u8, 200, dim, dim), 0, 7);
  expect_defined(queries, VectorRows(s.data(), DType::i8, 200, dim, dim), 0, 7);
}

TEST(DeviceScan, RowsMayStandApart) {
  const Matrix vectors(500, 40, 3), queries(9, 40, 4);
  const ConstMatrixView<float> part(vectors.values.data() + 3, 500, 32, 40),
      asked(queries.values.data(), 9, 32, 40);
  auto expected = accumulators(9, 4), found = accumulators(9, 4);
  scan(asked, VectorRows(part), 0, Metric::l2, expected);
  scan(device(), asked, VectorRows(part), 0, Metric::l2, found);
  EXPECT_EQ(sorted(found), sorted(expected));
}

// Lists in one matrix, and who probes them.
struct Lists {
  Matrix vectors{3000, 33, 6};
  Matrix queries{50, 33, 7};
  std::vector<std::int64_t> ids;
  std::vector<std::vector<std::int64_t>> probing{8};
  std::vector<ListScan> lists;

  Lists() {
    for (std::int64_t i = 0; i < 3000; ++i) ids.push_back(3 * ((i * 11) % 3000));
    const std::int64_t ends[] = {0, 1, 17, 400, 400, 1500, 2999, 3000};
    std::int64_t begin = 0;
    for (std::size_t l = 0; l < 8; ++l) {
      for (std::int64_t q = 0; q < 50; ++q)
        if (random_u64(8, l, std::uint64_t(q)) % 3 == 0) probing[l].push_back(q);
      const auto size = static_cast<std::size_t>(ends[l] - begin);
      const auto table = std::span<const std::int64_t>(ids).subspan(std::size_t(begin), size);
      lists.push_back(
          {VectorRows(vectors.view()).range(begin, ends[l] - begin), table, probing[l]});
      begin = ends[l];
    }
  }
  std::vector<Neighbor> defined(Metric metric, std::int64_t k) const {
    auto expected = accumulators(50, k);
    scan_lists(queries.view(), lists, metric, expected);
    return sorted(expected);
  }
  std::vector<Neighbor> found(Metric metric, std::int64_t k) const {
    auto results = accumulators(50, k);
    device().scan_lists(queries.view(), lists, metric, results);
    return sorted(results);
  }
};

TEST(DeviceScanLists, EqualsTheCpu) {
  const Lists data;
  for (const Metric metric : kMetrics) EXPECT_EQ(data.found(metric, 12), data.defined(metric, 12));
}

TEST(DeviceScanLists, EqualsTheCpuOverVectorsThatAreHeld) {
  const Lists data;
  for (const Metric metric : kMetrics) {
    ASSERT_TRUE(device().hold(VectorRows(data.vectors.view()), data.ids, metric));
    EXPECT_EQ(data.found(metric, 12), data.defined(metric, 12));
  }
  // In another metric they are copied; so they are where only some of the lists are held.
  EXPECT_EQ(data.found(Metric::l2, 5), data.defined(Metric::l2, 5));
  ASSERT_TRUE(device().hold(VectorRows(data.vectors.view()).range(0, 1000),
                            std::span(data.ids).first(1000), Metric::l2));
  EXPECT_EQ(data.found(Metric::l2, 5), data.defined(Metric::l2, 5));
  ASSERT_TRUE(device().hold(VectorRows(data.vectors.view()).range(0, 0), 0, Metric::l2));
}

TEST(DeviceScanLists, GoesOnFromWhatIsKnown) {
  const Lists data;
  auto expected = accumulators(50, 12), found = expected;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const float bound = i % 3 == 0 ? 0.0f : 20.0f;
    for (auto* results : {&expected, &found}) {
      (*results)[i].tighten(bound);
      (*results)[i].push({0, 1});
    }
  }
  scan_lists(data.queries.view(), data.lists, Metric::l2, expected);
  device().scan_lists(data.queries.view(), data.lists, Metric::l2, found);
  EXPECT_EQ(sorted(found), sorted(expected));
}

TEST(DeviceScanLists, ManyListsOfOneVectorThatIsTheSame) {
  Matrix vectors(1100, 3, 1);
  std::fill(vectors.values.begin(), vectors.values.end(), 0.5f);
  const Matrix queries(2, 3, 2);
  const std::vector<std::int64_t> both{0, 1};
  std::vector<ListScan> lists;
  for (std::int64_t i = 0; i < vectors.rows; ++i)
    lists.push_back({VectorRows(vectors.view()).range(i, 1), (i * 7) % vectors.rows, both});
  auto expected = accumulators(2, 3), found = expected;
  scan_lists(queries.view(), lists, Metric::l2, expected);
  for (auto& result : found) result.tighten(expected[0].threshold() + 1);  // in one go
  device().scan_lists(queries.view(), lists, Metric::l2, found);
  EXPECT_EQ(sorted(found), sorted(expected));
}

// Lists by their nearest centroid, so to speak: any will do, as long as both look into the same.
TEST(DeviceScanProbed, EqualsTheCpu) {
  const Lists data;
  const std::vector<std::int64_t> starts{0, 0, 1, 17, 400, 400, 1500, 2999, 3000};
  for (const std::int64_t columns : {1, 9}) {
    std::vector<std::int32_t> probes;
    std::vector<std::vector<std::int64_t>> members(8);
    for (std::int64_t q = 0; q < 50; ++q) {
      std::vector<std::int32_t> order{0, 1, 2, 3, 4, 5, 6, 7};
      for (std::size_t i = 8; i-- > 1;)
        std::swap(order[i], order[random_u64(5, std::uint64_t(q), i) % (i + 1)]);
      order.push_back(-1);
      for (std::int64_t p = 0; p < columns; ++p) {
        probes.push_back(order[std::size_t(p)]);
        if (order[std::size_t(p)] >= 0) members[std::size_t(order[std::size_t(p)])].push_back(q);
      }
    }
    std::vector<ListScan> lists;
    for (std::size_t l = 0; l < 8; ++l)
      lists.push_back({data.lists[l].vectors, data.lists[l].ids, members[l]});
    for (const Metric metric : kMetrics)
      for (const std::int64_t k : {1, 200}) {
        ASSERT_TRUE(device().hold(VectorRows(data.vectors.view()), data.ids, metric));
        device().hold_lists(starts);
        auto expected = accumulators(50, k), found = expected;
        scan_lists(data.queries.view(), lists, metric, expected);
        device().scan_probed(data.queries.view(), {probes.data(), 50, columns}, found);
        ASSERT_EQ(sorted(found), sorted(expected)) << name_of(metric) << " k=" << k;
      }
  }
}

// More than there is room for pass, in lists that are the same all through.
TEST(DeviceScanProbed, TiesGoToTheLowestId) {
  Matrix vectors(4000, 3, 1);
  std::fill(vectors.values.begin(), vectors.values.end(), 0.5f);
  const Matrix queries(3, 3, 2);
  ASSERT_TRUE(device().hold(VectorRows(vectors.view()), 7, Metric::l2));
  device().hold_lists(std::vector<std::int64_t>{0, 2000, 4000});
  const std::vector<std::int32_t> probes{1, 0, 0, 1, 1, -1};
  auto expected = accumulators(3, 5), found = expected;
  const std::vector<std::int64_t> first{0, 1}, second{0, 1, 2};
  const VectorRows rows(vectors.view());
  const ListScan lists[] = {{rows.range(0, 2000), 7, first},
                            {rows.range(2000, 2000), 2007, second}};
  scan_lists(queries.view(), lists, Metric::l2, expected);
  device().scan_probed(queries.view(), {probes.data(), 3, 2}, found);
  EXPECT_EQ(sorted(found), sorted(expected));
}

TEST(DeviceAssign, EqualsTheCpu) {
  const Matrix vectors(300, 20, 1), centroids(700, 20, 2);
  for (const Metric metric : kMetrics)
    for (const std::int64_t probes : {1, 20}) {
      std::vector<Neighbor> expected(std::size_t(300 * probes)), found = expected;
      assign_probes(VectorRows(vectors.view()), PackedVectors(VectorRows(centroids.view())), metric,
                    {expected.data(), 300, probes});
      device().assign_probes(vectors.view(), centroids.view(), metric, {found.data(), 300, probes});
      EXPECT_EQ(found, expected);
    }
}

TEST(DeviceScan, Misuse) {
  const Matrix queries(3, 4, 1), vectors(5, 4, 2), narrow(5, 3, 2);
  auto results = accumulators(3, 2);
  const auto with = [&](const VectorRows& rows, const VectorIds& ids, std::span<TopK> into) {
    scan(device(), queries.view(), rows, ids, Metric::l2, into);
  };
  const std::vector<std::int64_t> few{1, 2};
  EXPECT_THROW(with(narrow.view(), 0, results), std::invalid_argument);
  EXPECT_THROW(with(vectors.view(), few, results), std::invalid_argument);
  EXPECT_THROW(with(vectors.view(), -1, results), std::invalid_argument);
  EXPECT_THROW(with(vectors.view(), 0, std::span(results).first(2)), std::invalid_argument);
  auto many = accumulators(3, DeviceScan::kMostNeighbors + 1);
  EXPECT_THROW(with(vectors.view(), 0, many), std::invalid_argument);
  ASSERT_TRUE(device().hold(VectorRows(vectors.view()), 0, Metric::l2));
  EXPECT_THROW(device().hold_lists(std::vector<std::int64_t>{0, 6}), std::invalid_argument);
  const std::vector<std::int32_t> probes{0, 0, 1};
  EXPECT_THROW(device().scan_probed(queries.view(), {probes.data(), 3, 1}, results),
               std::invalid_argument);
  device().hold_lists(std::vector<std::int64_t>{0, 5});
  EXPECT_THROW(device().scan_probed(queries.view(), {probes.data(), 3, 1}, results),
               std::invalid_argument);
}

}  // namespace
}  // namespace tutti
