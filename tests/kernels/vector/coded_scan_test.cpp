// Search by codes is search: every result is that of the definition, bit for bit.
#include "kernels/vector/coded_scan.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/core/dtype.h"
#include "kernels/vector/assign.h"
#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::accumulators;
using test::kInf;
using test::kNaN;
using test::Matrix;
using test::sorted;

constexpr Metric kMetrics[] = {Metric::l2, Metric::inner_product, Metric::cosine};

// Rows that vary less and less along their dimensions, so that a prefix tells much.
Matrix graded(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Matrix m(rows, cols, seed);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j)
      m.view()(i, j) = m.view()(i, j) / float(1 + j) + 0.3f * float(j % 3);
  return m;
}

std::vector<std::int32_t> everyone(std::int64_t count) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

// Searches one list for all queries, in a space trained on `sample`.
std::vector<Neighbor> scanned(const Matrix& queries, const VectorRows& vectors,
                              const VectorIds& ids, const CodeSpace& space, std::int64_t k) {
  std::vector<std::int8_t> codes(static_cast<std::size_t>(vectors.count * space.code_dim()));
  const MatrixView<std::int8_t> rows(codes.data(), vectors.count, space.code_dim());
  space.encode_vectors(vectors, rows);
  const CodedVectors coded(rows, space);
  const QueryCodes query_codes = space.encode_queries(queries.view());
  const auto all = everyone(queries.rows);
  const CodedList list{&coded, 0, vectors, ids, all};
  auto results = accumulators(queries.rows, k);
  scan_coded(space, {queries.view(), &query_codes}, {&list, 1}, results);
  return sorted(results);
}

std::vector<Neighbor> defined(const Matrix& queries, const VectorRows& vectors,
                              const VectorIds& ids, Metric metric, std::int64_t k) {
  auto results = accumulators(queries.rows, k);
  reference::scan(queries.view(), vectors, ids, metric, results);
  return sorted(results);
}

void expect_defined(const Matrix& queries, const VectorRows& vectors, std::int64_t k) {
  for (const Metric metric : kMetrics) {
    const CodeSpace space(CodeSpace::train(vectors, metric));
    ASSERT_EQ(scanned(queries, vectors, 5, space, k), defined(queries, vectors, 5, metric, k))
        << name_of(metric) << " d=" << vectors.dim << " n=" << vectors.count
        << " nq=" << queries.rows << " k=" << k << " prefix=" << space.prefix();
  }
}

TEST(CodedScan, EqualsTheDefinitionAtAwkwardSizes) {
  for (const std::int64_t dim : {1, 3, 31, 64, 100})
    for (const std::int64_t count : {1, 15, 16, 49, 1000})
      for (const std::int64_t rows : {1, 13})
        for (const std::int64_t k : {1, 10, 1200})
          expect_defined(Matrix(rows, dim, 2), Matrix(count, dim, 1).view(), k);
}

TEST(CodedScan, EqualsTheDefinitionWhereThePrefixTellsMuch) {
  const Matrix vectors = graded(6000, 96, 1), queries = graded(270, 96, 2);
  EXPECT_LT(CodeSpace(CodeSpace::train(vectors.view(), Metric::l2)).prefix(), 96);
  for (const std::int64_t k : {1, 10}) expect_defined(queries, vectors.view(), k);
}

TEST(CodedScan, AnyPrefixGivesTheSame) {
  const Matrix vectors = graded(500, 43, 1), queries = graded(9, 43, 2);
  const auto expected = defined(queries, vectors.view(), 5, Metric::l2, 6);
  CodeAxes axes = CodeSpace::train(vectors.view(), Metric::l2);
  for (const std::int64_t prefix : {4, 12, 40, 43}) {
    axes.prefix = prefix;
    axes.prefix_cap = axes.cap = 1;  // of steps that do not suit them
    EXPECT_EQ(scanned(queries, vectors.view(), 5, CodeSpace(axes), 6), expected) << prefix;
  }
}

TEST(CodedScan, WhatTheSampleDidNotLeadToExpectIsStillFound) {
  const Matrix sample = graded(200, 24, 1), queries = graded(20, 24, 3);
  Matrix vectors = graded(400, 24, 2);
  for (std::int64_t j = 0; j < 24; ++j) {
    vectors.view()(7, j) *= 50;
    vectors.view()(8, j) = queries.view()(3, j) + 1e-3f;
    vectors.view()(9, j) *= 1e30f;
  }
  Matrix far = queries;
  for (std::int64_t j = 0; j < 24; ++j) far.view()(0, j) *= 60;
  for (const Metric metric : kMetrics) {
    const CodeSpace space(CodeSpace::train(sample.view(), metric));
    EXPECT_EQ(scanned(far, vectors.view(), 0, space, 5), defined(far, vectors.view(), 0, metric, 5))
        << name_of(metric);
  }
}

TEST(CodedScan, FarFromTheOriginTinyAndAllTheSame) {
  for (const float offset : {0.0f, 1000.0f})
    for (const float scale : {1.0f, 1e-12f, 1e-25f, 0.0f}) {
      Matrix vectors = graded(300, 20, 1), queries = graded(10, 20, 2);
      for (Matrix* m : {&vectors, &queries})
        for (float& x : m->values) x = x * scale + offset;
      expect_defined(queries, vectors.view(), 4);
    }
}

TEST(CodedScan, ASampleOfHugeAndInfiniteNumbers) {
  Matrix vectors = graded(60, 8, 1), queries = graded(5, 8, 2);
  for (std::int64_t j = 0; j < 8; ++j) vectors.view()(3, j) = 3e38f;
  for (const bool infinite : {false, true}) {
    if (infinite) vectors.view()(4, 2) = kInf;
    for (const std::int64_t k : {1, 70}) expect_defined(queries, vectors.view(), k);
  }
}

TEST(CodedScan, NaNNeverRanksAndInfinityRanksLast) {
  Matrix vectors = graded(60, 8, 1), queries = graded(5, 8, 2);
  vectors.view()(3, 1) = kNaN;
  vectors.view()(4, 2) = kInf;
  queries.view()(2, 0) = kNaN;
  const Matrix sample = graded(100, 8, 3);
  for (const Metric metric : kMetrics) {
    const CodeSpace space(CodeSpace::train(sample.view(), metric));
    for (const std::int64_t k : {1, 3, 70})
      EXPECT_EQ(scanned(queries, vectors.view(), 0, space, k),
                defined(queries, vectors.view(), 0, metric, k))
          << name_of(metric) << " " << k;
  }
}

TEST(CodedScan, EveryStorageTypeEqualsItsFloats) {
  const std::int64_t count = 200, dim = 33;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count * dim));
  std::vector<bf16> halves(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(random_u64(1, 0, i));
    halves[i] = bf16(float(bytes[i]) / 100);
  }
  const Matrix queries = graded(9, dim, 2);
  expect_defined(queries, VectorRows(bytes.data(), DType::u8, count, dim, dim), 5);
  expect_defined(queries, VectorRows(halves.data(), DType::bf16, count, dim, dim), 5);
}

TEST(CodedScan, SameBytesForAnyThreads) {
  const Matrix vectors = graded(10000, 24, 1), queries = graded(600, 24, 2);
  const CodeAxes axes = CodeSpace::train(vectors.view(), Metric::l2);
  const CodeSpace space(axes);
  const auto expected = defined(queries, vectors.view(), 0, Metric::l2, 7);
  for (const int threads : {1, 2, 4}) {
    const test::Threads set(threads);
    EXPECT_EQ(CodeSpace::train(vectors.view(), Metric::l2).axes, axes.axes);
    EXPECT_EQ(scanned(queries, vectors.view(), 0, space, 7), expected) << threads;
  }
}

TEST(CodedScan, ListsAndTheirQueries) {
  const Matrix vectors = graded(300, 12, 1), queries = graded(30, 12, 2);
  const CodeSpace space(CodeSpace::train(vectors.view(), Metric::l2));
  std::vector<std::int8_t> codes(static_cast<std::size_t>(300 * space.code_dim()));
  space.encode_vectors(vectors.view(), {codes.data(), 300, space.code_dim()});
  const std::int64_t sizes[] = {100, 0, 37, 163};
  CodedVectors coded(7 + 0 + 3 + 11, space);
  std::vector<std::vector<std::int64_t>> members = {{0, 5, 29}, {1}, {5, 6}, {0, 29, 3, 4, 28}};
  std::vector<std::vector<std::int32_t>> small;
  for (const auto& m : members) small.emplace_back(m.begin(), m.end());
  std::vector<CodedList> lists;
  std::vector<ListScan> plain;
  std::int64_t begin = 0, group = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const VectorRows rows = VectorRows(vectors.view()).range(begin, sizes[i]);
    coded.put(group, {codes.data() + begin * space.code_dim(), sizes[i], space.code_dim()});
    lists.push_back({&coded, group, rows, VectorIds(begin), small[i]});
    plain.push_back({rows, VectorIds(begin), members[i]});
    begin += sizes[i];
    group += CodedVectors::groups_of(sizes[i]);
  }
  const QueryCodes query_codes = space.encode_queries(queries.view());
  auto found = accumulators(30, 4), expected = accumulators(30, 4);
  scan_coded(space, {queries.view(), &query_codes}, lists, found);
  reference::scan_lists(queries.view(), plain, Metric::l2, expected);
  EXPECT_EQ(sorted(found), sorted(expected));
}

TEST(CodedCentroids, TheNearestIsThatOfTheDefinitionWhateverTheGuess) {
  for (const Metric metric : kMetrics) {
    const Matrix vectors = graded(700, 40, 1), centroids = graded(90, 40, 2);
    const CodeSpace space(CodeSpace::train(vectors.view(), metric));
    const QueryCodes codes = space.encode_queries(vectors.view());
    std::vector<Neighbor> expected(700);
    reference::assign_probes(vectors.view(), centroids.view(), metric, {expected.data(), 700, 1});
    for (const int guess : {0, 1, 2}) {
      std::vector<Neighbor> nearest(700);
      for (std::size_t i = 0; i < nearest.size(); ++i)
        nearest[i].id = guess == 0 ? -1 : guess == 1 ? expected[i].id : std::int64_t(i % 90);
      CodedCentroids(space, centroids.view()).assign_nearest({vectors.view(), &codes}, nearest);
      EXPECT_EQ(nearest, expected) << name_of(metric) << " " << guess;
    }
  }
}

TEST(CodedCentroids, TheProbesAreTheNearestByTheirCodes) {
  const Matrix queries = graded(21, 10, 1), centroids = graded(130, 10, 2);
  const CodeSpace space(CodeSpace::train(centroids.view(), Metric::l2, true));
  std::vector<std::int8_t> codes(1300);
  space.encode_vectors(centroids.view(), {codes.data(), 130, 10});
  const QueryCodes query_codes = space.encode_queries(queries.view());
  for (const std::int64_t wanted : {1, 9, 130}) {
    std::vector<std::int32_t> probes(static_cast<std::size_t>(21 * wanted));
    std::vector<ProbeDistances> near(21);
    CodedCentroids(space, centroids.view())
        .find_probes({queries.view(), &query_codes}, {probes.data(), 21, wanted}, 4, near);
    for (std::int64_t q = 0; q < 21; ++q) {
      if (query_codes.queries[std::size_t(q)].radius > space.axes().cap) continue;
      std::vector<std::pair<int, std::int32_t>> order;
      for (std::int32_t c = 0; c < 130; ++c) {
        int product = 0, square = 0;
        for (std::int64_t j = 0; j < 10; ++j) {
          const int v = codes[std::size_t(c * 10 + j)];
          product += v * query_codes.code(q)[std::size_t(j)];
          square += v * v;
        }
        order.emplace_back(square / 2 - product, c);
      }
      std::sort(order.begin(), order.end());
      std::vector<std::int32_t> expected,
          found(probes.begin() + q * wanted, probes.begin() + (q + 1) * wanted);
      for (std::int64_t p = 0; p < wanted; ++p) expected.push_back(order[std::size_t(p)].second);
      for (std::int64_t p = 0; p < std::min<std::int64_t>(wanted, 4); ++p)
        ASSERT_EQ(found[std::size_t(p)], expected[std::size_t(p)]);
      const double own = query_codes.queries[std::size_t(q)].code_square;
      ASSERT_NEAR(near[std::size_t(q)].first, own + 2 * order[0].first, 2);
      double sum = 0;
      for (std::int64_t p = 0; p < wanted; ++p) sum += order[std::size_t(p)].first;
      ASSERT_NEAR(near[std::size_t(q)].all, own + 2 * sum / double(wanted), 2);
      std::ranges::sort(found);
      std::ranges::sort(expected);
      ASSERT_EQ(found, expected);
    }
  }
}

TEST(CodeSpace, KeepsItsPromise) {
  const Matrix vectors = graded(400, 30, 1), queries = graded(40, 30, 2);
  for (const Metric metric : kMetrics) {
    const CodeSpace space(CodeSpace::train(vectors.view(), metric));
    const CodeAxes& axes = space.axes();
    std::vector<std::int8_t> codes(static_cast<std::size_t>(400 * space.code_dim()));
    space.encode_vectors(vectors.view(), {codes.data(), 400, space.code_dim()});
    const QueryCodes query_codes = space.encode_queries(queries.view());
    for (std::int64_t q = 0; q < 40; ++q)
      for (std::int64_t v = 0; v < 400; ++v) {
        const float limit =
            reference::distance(queries.view().row(q), vectors.view().row(v), 30, metric);
        const std::int8_t* code = codes.data() + v * space.code_dim();
        ASSERT_NE(code[0], CodeSpace::kLoose);
        double square = 0;
        for (std::int64_t j = 0; j < space.code_dim(); ++j) {
          const double off = (query_codes.code(q)[std::size_t(j)] - code[j]) *
                             double(j < axes.prefix ? axes.step : axes.rest_step);
          square += off * off;
        }
        const QueryCodes::Query& query = query_codes.queries[std::size_t(q)];
        ASSERT_LE(std::sqrt(square),
                  space.reach(query.square, limit) + double(query.radius) + double(axes.cap));
      }
  }
}

TEST(CodedScan, Misuse) {
  const Matrix vectors = graded(20, 6, 1);
  EXPECT_THROW(CodeSpace::train(Matrix(0, 6, 1).view(), Metric::l2), std::invalid_argument);
  CodeAxes axes = CodeSpace::train(vectors.view(), Metric::l2);
  const CodeSpace space(axes);
  EXPECT_THROW(space.encode_queries(Matrix(3, 5, 1).view()), std::invalid_argument);
  axes.axes.pop_back();
  EXPECT_THROW(CodeSpace{axes}, std::invalid_argument);
  const QueryCodes codes = space.encode_queries(vectors.view());
  auto results = accumulators(19, 3);
  EXPECT_THROW(scan_coded(space, {vectors.view(), &codes}, {}, results), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
