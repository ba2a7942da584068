// Scans within a radius: accumulators without a k whose bound never tightens.
#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "kernels/vector/coded_scan.h"
#include "kernels/vector/scan.h"
#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::accumulators_within;
using test::kInf;
using test::kNaN;
using test::lists;
using test::Matrix;
using Lists = std::vector<std::vector<Neighbor>>;

constexpr Metric kMetrics[] = {Metric::l2, Metric::inner_product, Metric::cosine};

Lists defined(const Matrix& queries, const Matrix& vectors, Metric metric, float limit) {
  auto results = accumulators_within(queries.rows, limit);
  reference::scan(queries.view(), vectors.view(), 5, metric, results);
  return lists(results);
}

Lists by_floats(const Matrix& queries, const Matrix& vectors, Metric metric, float limit) {
  auto results = accumulators_within(queries.rows, limit);
  scan(queries.view(), vectors.view(), 5, metric, results);
  return lists(results);
}

Lists by_codes(const Matrix& queries, const Matrix& vectors, Metric metric, float limit) {
  const CodeSpace space(CodeSpace::train(Matrix(300, vectors.cols, 9).view(), metric));
  std::vector<std::int8_t> codes(static_cast<std::size_t>(vectors.rows * space.code_dim()));
  const MatrixView<std::int8_t> rows(codes.data(), vectors.rows, space.code_dim());
  space.encode_vectors(vectors.view(), rows);
  const CodedVectors coded(rows, space);
  const QueryCodes query_codes = space.encode_queries(queries.view());
  std::vector<std::int32_t> all(static_cast<std::size_t>(queries.rows));
  std::iota(all.begin(), all.end(), 0);
  const CodedList list{&coded, 0, vectors.view(), 5, all};
  auto results = accumulators_within(queries.rows, limit);
  scan_coded(space, {queries.view(), &query_codes}, {&list, 1}, results);
  return lists(results);
}

void expect_defined(const Matrix& queries, const Matrix& vectors, Metric metric, float limit) {
  const Lists expected = defined(queries, vectors, metric, limit);
  const auto what = [&] {
    return ::testing::Message() << name_of(metric) << " d=" << vectors.cols << " n=" << vectors.rows
                                << " nq=" << queries.rows << " limit=" << limit;
  };
  ASSERT_EQ(by_floats(queries, vectors, metric, limit), expected) << what();
  ASSERT_EQ(by_codes(queries, vectors, metric, limit), expected) << what();
}

// The distance that about a share of all pairs are within, which is one pair's.
float quantile(const Matrix& queries, const Matrix& vectors, Metric metric, double share) {
  std::vector<float> all;
  for (const auto& list : defined(queries, vectors, metric, kInf))
    for (const Neighbor& n : list)
      if (n.distance < kInf) all.push_back(n.distance);
  const auto at = all.begin() + std::ptrdiff_t(share * double(all.size() - 1));
  std::nth_element(all.begin(), at, all.end());
  return *at;
}

TEST(RangeScan, ByHand) {
  Matrix queries(2, 2, 1), vectors(4, 2, 2);
  queries.values = {0, 0, 1, 1};
  vectors.values = {3, 4, 0, 0, 1, 0, 2, 1};
  const Lists l2 = {{{0, 6}, {1, 7}, {5, 8}}, {{1, 7}, {1, 8}, {2, 6}}};
  const Lists products = {{}, {{-7, 5}, {-3, 8}}};
  for (const auto scanned : {defined, by_floats, by_codes}) {
    EXPECT_EQ(scanned(queries, vectors, Metric::l2, 5), l2);
    EXPECT_EQ(scanned(queries, vectors, Metric::inner_product, -2), products);
    EXPECT_EQ(scanned(queries, vectors, Metric::l2, 0), (Lists{{{0, 6}}, {}}));
    EXPECT_EQ(scanned(queries, vectors, Metric::l2, -1), (Lists{{}, {}}));
  }
}

TEST(RangeScan, EqualsTheDefinitionAtAwkwardSizes) {
  for (const std::int64_t dim : {1, 31, 100})
    for (const std::int64_t count : {1, 49, 1000})
      for (const std::int64_t rows : {1, 13})
        for (const Metric metric : kMetrics) {
          const Matrix queries(rows, dim, 2), vectors(count, dim, 1);
          for (const double share : {0.0, 0.02, 1.0})
            expect_defined(queries, vectors, metric, quantile(queries, vectors, metric, share));
          expect_defined(queries, vectors, metric, kInf);
        }
}

TEST(RangeScan, EqualsTheDefinitionOverManyTasksAndThreads) {
  const Matrix queries(600, 12, 2), vectors(9000, 12, 1);
  const float limit = quantile(queries, vectors, Metric::l2, 0.003);
  const Lists expected = defined(queries, vectors, Metric::l2, limit);
  for (const int threads : {1, 2, 4}) {
    const test::Threads scope(threads);
    EXPECT_EQ(by_floats(queries, vectors, Metric::l2, limit), expected);
    EXPECT_EQ(by_codes(queries, vectors, Metric::l2, limit), expected);
  }
}

TEST(RangeScan, RadiusZeroFindsWhatIsTheSame) {
  const Matrix queries(40, 17, 1);
  Matrix vectors(500, 17, 2);
  for (std::int64_t i = 0; i < 40; ++i)
    for (const std::int64_t copy : {3 * i, 499 - 2 * i})
      std::copy_n(queries.view().row(i), 17, vectors.view().row(copy));
  expect_defined(queries, vectors, Metric::l2, 0);
  for (const auto& list : defined(queries, vectors, Metric::l2, 0)) EXPECT_EQ(list.size(), 2u);
}

TEST(RangeScan, NaNIsWithinNoRadius) {
  Matrix queries(10, 5, 2), vectors(300, 5, 1);
  for (std::int64_t i = 0; i < 300; i += 3) vectors.view()(i, i % 5) = kNaN;
  for (std::int64_t i = 1; i < 300; i += 3) vectors.view()(i, i % 5) = kInf;
  queries.view()(4, 2) = kNaN;
  queries.view()(6, 1) = -kInf;
  for (const Metric metric : kMetrics)
    for (const float limit : {0.5f, 3.0f, kInf}) {
      expect_defined(queries, vectors, metric, limit);
      EXPECT_TRUE(defined(queries, vectors, metric, limit)[4].empty());
    }
}

TEST(RangeScan, AKAndABoundKeepTheNearestWithinIt) {
  const Matrix queries(30, 24, 2), vectors(2000, 24, 1);
  const float limit = quantile(queries, vectors, Metric::l2, 0.01);
  std::vector<TopK> results(30, TopK(5));
  for (TopK& result : results) result.tighten(limit);
  scan(queries.view(), vectors.view(), 5, Metric::l2, results);
  Lists expected = defined(queries, vectors, Metric::l2, limit);
  for (auto& list : expected) list.resize(std::min<std::size_t>(5, list.size()));
  EXPECT_EQ(lists(results), expected);
}

}  // namespace
}  // namespace tutti
