#include "kernels/vector/scan.h"

#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/core/dtype.h"
#include "kernels/core/parallel.h"
#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::accumulators;
using test::kInf;
using test::kNaN;
using test::Matrix;
using test::sorted;

constexpr Metric kMetrics[] = {Metric::l2, Metric::inner_product, Metric::cosine};

std::vector<Neighbor> scanned(const Matrix& queries, const VectorRows& vectors,
                              const VectorIds& ids, Metric metric, std::int64_t k) {
  auto results = accumulators(queries.rows, k);
  scan(queries.view(), vectors, ids, metric, results);
  return sorted(results);
}

std::vector<Neighbor> scanned_packed(const Matrix& queries, const VectorRows& vectors,
                                     const VectorIds& ids, Metric metric, std::int64_t k) {
  auto results = accumulators(queries.rows, k);
  scan(queries.view(), PackedVectors(vectors), ids, metric, results);
  return sorted(results);
}

std::vector<Neighbor> defined(const Matrix& queries, const VectorRows& vectors,
                              const VectorIds& ids, Metric metric, std::int64_t k) {
  auto results = accumulators(queries.rows, k);
  reference::scan(queries.view(), vectors, ids, metric, results);
  return sorted(results);
}

void expect_defined(const Matrix& queries, const VectorRows& vectors, const VectorIds& ids,
                    std::int64_t k) {
  for (const Metric metric : kMetrics) {
    const auto expected = defined(queries, vectors, ids, metric, k);
    ASSERT_EQ(scanned(queries, vectors, ids, metric, k), expected)
        << name_of(metric) << " d=" << vectors.dim << " n=" << vectors.count
        << " nq=" << queries.rows << " k=" << k;
    ASSERT_EQ(scanned_packed(queries, vectors, ids, metric, k), expected);
  }
}

TEST(Scan, ByHand) {
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

TEST(Scan, EqualsTheDefinitionAtAwkwardSizes) {
  for (const std::int64_t dim : {1, 3, 17, 96, 100, 128, 384}) {
    for (const std::int64_t count : {0, 1, 15, 16, 17, 1000}) {
      const Matrix vectors(count, dim, 1);
      for (const std::int64_t rows : {1, 7, 13}) {
        const Matrix queries(rows, dim, 2);
        for (const std::int64_t k : {1, 10, 100, 1200}) {
          expect_defined(queries, vectors.view(), 0, k);
        }
      }
    }
  }
}

TEST(Scan, EqualsTheDefinitionOverManyQueriesAndPieces) {
  const Matrix vectors(9000, 12, 1);
  const Matrix queries(600, 12, 2);
  expect_defined(queries, vectors.view(), 5, 10);
}

// Far from the origin, the bound on rounding that the l2 filter uses is wide against the distances.
TEST(Scan, FilterIsExactFarFromTheOrigin) {
  for (const float offset : {100.0f, 1e4f, 1e10f, 1e18f, 1e30f}) {
    Matrix vectors(1000, 20, 1);
    Matrix queries(9, 20, 2);
    for (float& x : vectors.values) x += offset;
    for (float& x : queries.values) x += offset;
    expect_defined(queries, vectors.view(), 0, 5);
  }
}

TEST(Scan, FilterIsExactForTinyAndMixedNumbers) {
  Matrix vectors(1000, 20, 1);
  Matrix queries(9, 20, 2);
  for (std::size_t i = 0; i < vectors.values.size(); ++i) {
    vectors.values[i] *= std::ldexp(1.0f, -static_cast<int>(i / 20 % 140));
  }
  for (float& x : queries.values) x *= 0x1p-70f;
  expect_defined(queries, vectors.view(), 0, 20);
}

TEST(Scan, TiesGoToTheLowestId) {
  Matrix vectors(500, 8, 1);
  std::fill(vectors.values.begin(), vectors.values.end(), 0.5f);
  const Matrix queries(9, 8, 2);
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 500; ++i) ids.push_back((i * 7) % 500);
  expect_defined(queries, vectors.view(), ids, 10);
  const auto found = scanned(queries, vectors.view(), ids, Metric::l2, 10);
  for (std::int64_t i = 0; i < 90; ++i) EXPECT_EQ(found[std::size_t(i)].id, i % 10);
}

TEST(Scan, NaNNeverRanksAndInfinityRanksLast) {
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
    for (std::size_t i = 4 * 250; i < 5 * 250; ++i) EXPECT_EQ(found[i], Neighbor{});
  }
  const auto l2 = scanned(queries, vectors.view(), 0, Metric::l2, 250);
  EXPECT_EQ(l2[99].id % 3, 2);
  EXPECT_EQ(l2[199], (Neighbor{kInf, 298}));
  EXPECT_EQ(l2[200], Neighbor{});
}

TEST(Scan, SameBytesForAnyThreadsAndCut) {
  const Matrix vectors(9000, 24, 3);
  const Matrix queries(100, 24, 4);
  for (const Metric metric : kMetrics) {
    const auto expected = defined(queries, vectors.view(), 0, metric, 10);
    for (const int count : {1, 2, 3}) {
      const test::Threads threads(count);
      EXPECT_EQ(scanned(queries, vectors.view(), 0, metric, 10), expected);
      auto pieces = accumulators(100, 10);
      const VectorRows rows(vectors.view());
      for (std::int64_t begin = 0; begin < 9000; begin += 1700) {
        const std::int64_t size = std::min<std::int64_t>(1700, 9000 - begin);
        scan(queries.view(), rows.range(begin, size), begin, metric, pieces);
      }
      EXPECT_EQ(sorted(pieces), expected);
    }
  }
}

TEST(Scan, InsideAParallelLoop) {
  const Matrix vectors(500, 24, 3);
  const Matrix queries(20, 24, 4);
  const auto expected = defined(queries, vectors.view(), 0, Metric::l2, 10);
  const test::Threads threads(3);
  std::vector<std::vector<Neighbor>> found(6);
  parallel_for(6, [&](std::int64_t i) {
    found[std::size_t(i)] = scanned(queries, vectors.view(), 0, Metric::l2, 10);
  });
  for (const auto& one : found) EXPECT_EQ(one, expected);
}

TEST(Scan, EveryStorageTypeEqualsItsFloats) {
  const std::int64_t dim = 21;
  std::vector<bf16> b;
  std::vector<std::uint16_t> h;
  std::vector<std::uint8_t> u;
  std::vector<std::int8_t> s;
  for (std::uint64_t i = 0; i < 200 * 21; ++i) {
    const std::uint64_t bits = random_u64(9, 0, i);
    b.push_back(bf16(static_cast<float>(bits % 1000) / 500 - 1));
    h.push_back(f16_from_float(static_cast<float>(bits % 1000) / 500 - 1));
    u.push_back(static_cast<std::uint8_t>(bits));
    s.push_back(static_cast<std::int8_t>(bits));
  }
  const Matrix queries(9, dim, 5);
  expect_defined(queries, VectorRows(b.data(), DType::bf16, 200, dim, dim), 0, 7);
  expect_defined(queries, VectorRows(h.data(), DType::f16, 200, dim, dim), 0, 7);
  expect_defined(queries, VectorRows(u.data(), DType::u8, 200, dim, dim), 0, 7);
  expect_defined(queries, VectorRows(s.data(), DType::i8, 200, dim, dim), 0, 7);
}

TEST(ScanLists, EqualsTheDefinition) {
  const Matrix vectors(3000, 33, 6);
  const Matrix queries(50, 33, 7);
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 3000; ++i) ids.push_back(3 * ((i * 11) % 3000));
  std::vector<std::vector<std::int64_t>> probing(8);
  std::vector<ListScan> lists;
  const std::int64_t ends[] = {0, 1, 17, 400, 400, 1500, 2999, 3000};
  std::int64_t begin = 0;
  for (std::size_t l = 0; l < 8; ++l) {
    for (std::int64_t q = 0; q < 50; ++q) {
      if (random_u64(8, l, std::uint64_t(q)) % 3 == 0) probing[l].push_back(q);
    }
    const auto size = static_cast<std::size_t>(ends[l] - begin);
    const auto table = std::span<const std::int64_t>(ids).subspan(std::size_t(begin), size);
    lists.push_back({VectorRows(vectors.view()).range(begin, ends[l] - begin), table, probing[l]});
    begin = ends[l];
  }
  for (const Metric metric : kMetrics) {
    auto expected = accumulators(50, 12);
    reference::scan_lists(queries.view(), lists, metric, expected);
    for (const int count : {1, 2, 3}) {
      const test::Threads threads(count);
      auto found = accumulators(50, 12);
      scan_lists(queries.view(), lists, metric, found);
      EXPECT_EQ(sorted(found), sorted(expected));
    }
  }
}

TEST(Scan, Misuse) {
  const Matrix queries(3, 4, 1);
  const Matrix vectors(5, 4, 2);
  const Matrix narrow(5, 3, 2);
  auto results = accumulators(3, 2);
  const auto with = [&](const VectorRows& rows, const VectorIds& ids, std::span<TopK> into) {
    scan(queries.view(), rows, ids, Metric::l2, into);
  };
  const std::vector<std::int64_t> few{1, 2};
  const std::vector<std::int64_t> negative{1, 2, -3, 4, 5};
  EXPECT_THROW(with(narrow.view(), 0, results), std::invalid_argument);
  EXPECT_THROW(with(vectors.view(), few, results), std::invalid_argument);
  EXPECT_THROW(with(vectors.view(), std::span(few).first(0), results), std::invalid_argument);
  EXPECT_THROW(with(vectors.view(), negative, results), std::invalid_argument);
  EXPECT_THROW(with(vectors.view(), -1, results), std::invalid_argument);
  EXPECT_THROW(with(vectors.view(), 0, std::span(results).first(2)), std::invalid_argument);
  const std::vector<std::int64_t> outside{3};
  const ListScan list{vectors.view(), 0, outside};
  EXPECT_THROW(scan_lists(queries.view(), {&list, 1}, Metric::l2, results), std::invalid_argument);
  results[1] = TopK(3);
  EXPECT_THROW(with(vectors.view(), 0, results), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
