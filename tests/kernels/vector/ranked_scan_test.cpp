// A ranked scan keeps what plain loops over the codes keep, whatever the lists and the threads.
#include "kernels/vector/ranked_scan.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::kInf;
using test::Matrix;
using test::Threads;

constexpr Metric kMetrics[] = {Metric::l2, Metric::inner_product, Metric::cosine};

// Rows that vary less and less along their dimensions, so that there is a prefix.
Matrix graded(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Matrix m(rows, cols, seed);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) m.view()(i, j) = m.view()(i, j) / float(1 + j) + 0.2f;
  return m;
}

// Vectors in lists of consecutive rows, and their codes.
struct Lists {
  VectorRows rows;
  std::vector<std::int64_t> ids, begins;  // of the lists, and the end of the last
  std::vector<std::int8_t> codes;
  CodedVectors coded;
  std::vector<std::int64_t> groups{0};

  Lists(const CodeSpace& space, const VectorRows& vectors, std::vector<std::int64_t> begins_,
        CodeParts parts = CodeParts::whole)
      : rows(vectors), begins(std::move(begins_)) {
    for (std::int64_t i = 0; i < rows.count; ++i) ids.push_back(10 * rows.count - 7 * i);
    codes.resize(std::size_t(rows.count * space.code_dim()));
    space.encode_vectors(rows, {codes.data(), rows.count, space.code_dim()});
    for (std::size_t i = 0; i + 1 < begins.size(); ++i)
      groups.push_back(groups.back() + CodedVectors::groups_of(begins[i + 1] - begins[i]));
    coded = CodedVectors(groups.back(), space, parts);
    for (std::size_t i = 0; i + 1 < begins.size(); ++i)
      coded.put(groups[i], {codes.data() + begins[i] * space.code_dim(), begins[i + 1] - begins[i],
                            space.code_dim()});
  }

  std::vector<CodedList> all(std::span<const std::int32_t> queries) const {
    std::vector<CodedList> lists;
    for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
      const std::int64_t count = begins[i + 1] - begins[i];
      lists.push_back({&coded, groups[i], rows.range(begins[i], count),
                       VectorIds(std::span(ids)).range(begins[i], count), queries, begins[i]});
    }
    return lists;
  }
};

// The key of a vector's code, as ranked_scan.h and code_space.h define it.
float key_of(const CodeSpace& space, CodeParts parts, const std::int8_t* vector,
             const std::int8_t* query) {
  std::int32_t prefix[3] = {}, rest[3] = {};  // squares of vector and query, and product
  for (std::int64_t j = 0; j < space.code_dim(); ++j) {
    std::int32_t* sums = j < space.prefix() ? prefix : rest;
    sums[0] += vector[j] * vector[j];
    sums[1] += query[j] * query[j];
    sums[2] += vector[j] * query[j];
  }
  const double weight = space.rest_weight();
  const double steps = double(space.axes().rest_step) / double(space.axes().step);
  const double near = prefix[1] + 2 * (prefix[0] / 2) - 2 * prefix[2];
  const double estimate = near + 2 * (rest_part(weight, rest[0]) + rest_part(weight, rest[1]));
  const double square = near + steps * steps * (rest[0] + rest[1] - 2 * rest[2]);
  return static_cast<float>(
      std::max({estimate, parts == CodeParts::whole ? square : estimate, 0.0}));
}

std::vector<RankedNeighbor> defined(const CodeSpace& space, const Lists& lists,
                                    ConstMatrixView<float> queries, const QueryCodes& codes,
                                    std::int64_t query, std::int64_t depth,
                                    CodeParts parts = CodeParts::whole) {
  std::vector<RankedNeighbor> all;
  std::vector<float> row(std::size_t(queries.cols));
  for (std::int64_t i = 0; i < lists.rows.count; ++i) {
    copy_row(lists.rows, i, row.data());
    const std::int8_t* code = lists.codes.data() + i * space.code_dim();
    const float distance =
        reference::distance(queries.row(query), row.data(), queries.cols, space.axes().metric);
    float key = key_of(space, parts, code, codes.code(query).data());
    if (code[0] == CodeSpace::kLoose) {
      const double reach = space.reach(codes.queries[std::size_t(query)].square, distance) /
                           double(space.axes().step);
      key = static_cast<float>(reach * reach);
    }
    all.push_back({key, distance, lists.ids[std::size_t(i)]});
  }
  std::ranges::sort(all, ranks_before);
  all.resize(std::min(all.size(), std::size_t(depth)));
  return all;
}

void expect_equal(std::vector<RankedNeighbor> found, std::span<const RankedNeighbor> expected,
                  std::int64_t query) {
  std::ranges::sort(found, ranks_before);
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(found[i].id, expected[i].id) << "query " << query << " place " << i;
    ASSERT_EQ(found[i].key, expected[i].key);
    ASSERT_EQ(found[i].distance, expected[i].distance);
  }
}

void expect_defined(const CodeSpace& space, const Lists& lists, const Matrix& queries,
                    std::int64_t depth, CodeParts parts = CodeParts::whole) {
  std::vector<std::int32_t> everyone(std::size_t(queries.rows));
  std::iota(everyone.begin(), everyone.end(), 0);
  const QueryCodes codes = space.encode_queries(queries.view());
  Candidates candidates(queries.rows, depth, {lists.rows, VectorIds(lists.ids)});
  scan_ranked(space, {queries.view(), &codes}, parts, lists.all(everyone), candidates);
  std::vector<std::vector<RankedNeighbor>> found(everyone.size());
  candidates.measure(queries.view(), space.axes().metric, found);
  for (std::int64_t q = 0; q < queries.rows; ++q)
    expect_equal(found[std::size_t(q)],
                 defined(space, lists, queries.view(), codes, q, depth, parts), q);
}

TEST(RankedScan, KeepsTheLeastKeysAtAwkwardSizes) {
  for (const Metric metric : kMetrics)
    for (const std::int64_t dim : {1, 7, 40, 96})
      for (const std::int64_t count : {1, 17, 1500})
        for (const std::int64_t rows : {1, 13}) {
          const Matrix vectors = graded(count, dim, 1), queries = graded(rows, dim, 2);
          const CodeSpace space(CodeSpace::train(vectors.view(), metric));
          const Lists lists(space, vectors.view(), {0, count / 3, count / 3, count});
          for (const std::int64_t depth : {1, 16, 2000})
            expect_defined(space, lists, queries, depth);
        }
}

TEST(RankedScan, APrefixLeavesTheSame) {
  const Matrix vectors = graded(5000, 96, 1), queries = graded(70, 96, 2);
  for (const Metric metric : kMetrics) {
    const CodeSpace space(CodeSpace::train(vectors.view(), metric));
    EXPECT_LT(space.prefix(), 96);
    EXPECT_GT(space.axes().rest_share, 0);
    for (const int threads : {1, 2, 4}) {
      const Threads scope(threads);
      expect_defined(space, Lists(space, vectors.view(), {0, 4700, 5000}), queries, 16);
    }
  }
}

TEST(RankedScan, ByThePrefixOfWholeCodesAndOfWhatIsLeftOfThem) {
  const Matrix vectors = graded(3000, 96, 1), queries = graded(30, 96, 2);
  for (const Metric metric : kMetrics) {
    const CodeSpace space(CodeSpace::train(vectors.view(), metric));
    ASSERT_LT(space.prefix(), 96);
    const std::vector<std::int64_t> begins = {0, 2100, 3000};
    const Lists whole(space, vectors.view(), begins),
        prefix(space, vectors.view(), begins, CodeParts::prefix);
    EXPECT_LT(prefix.coded.bytes(), whole.coded.bytes() / 2);
    for (const Lists* lists : {&whole, &prefix})
      expect_defined(space, *lists, queries, 40, CodeParts::prefix);
  }
}

TEST(RankedScan, OfEqualKeysThoseOfTheLeastIds) {
  Matrix vectors = graded(600, 24, 1);
  for (std::int64_t i = 0; i < vectors.rows; ++i)
    std::copy_n(vectors.view().row(i % 5), 24, vectors.view().row(i));
  const CodeSpace space(CodeSpace::train(vectors.view(), Metric::l2));
  expect_defined(space, Lists(space, vectors.view(), {0, 1, 250, 600}), graded(9, 24, 2), 20);
}

TEST(RankedScan, LooseVectorsRankByTheirDistance) {
  const Matrix sample = graded(300, 24, 1), queries = graded(9, 24, 3);
  Matrix vectors = graded(400, 24, 2);
  for (std::int64_t j = 0; j < 24; ++j) {
    vectors.view()(7, j) *= 50;
    vectors.view()(8, j) = queries.view()(3, j) + (j == 1 ? 4.0f : 0.0f);
  }
  for (const Metric metric : kMetrics) {
    const CodeSpace space(CodeSpace::train(sample.view(), metric));
    const Lists lists(space, vectors.view(), {0, 400});
    ASSERT_EQ(lists.codes[std::size_t(7 * space.code_dim())], CodeSpace::kLoose);
    expect_defined(space, lists, queries, 5);
    expect_defined(space, lists, queries, 390);
  }
}

TEST(RankedScan, TheSameWithLooseVectorsAloneInMemory) {
  const Matrix sample = graded(300, 96, 1), queries = graded(40, 96, 3);
  Matrix vectors = graded(3000, 96, 2);
  for (std::int64_t i = 5; i < vectors.rows; i += 100)
    for (std::int64_t j = 0; j < 96; ++j)
      vectors.view()(i, j) = queries.view()(i / 100, j) + (j == 1 ? 4.0f : 0.0f);
  const CodeSpace space(CodeSpace::train(sample.view(), Metric::l2));
  const Lists lists(space, vectors.view(), {0, 1, 1300, 3000});
  std::vector<std::int32_t> loose_places;
  std::vector<float> loose;
  for (std::int64_t i = 0; i < vectors.rows; ++i)
    if (lists.codes[std::size_t(i * space.code_dim())] == CodeSpace::kLoose) {
      loose_places.push_back(std::int32_t(i));
      loose.insert(loose.end(), vectors.view().row(i), vectors.view().row(i) + 96);
    }
  ASSERT_GT(loose_places.size(), 20u);
  const LooseVectors alone{{loose.data(), DType::f32, std::ssize(loose_places), 96, 96},
                           loose_places};
  std::vector<std::int32_t> everyone(std::size_t(queries.rows));
  std::iota(everyone.begin(), everyone.end(), 0);
  std::vector<CodedList> coded = lists.all(everyone);
  for (CodedList& list : coded) {
    list.vectors = {nullptr, DType::f32, list.vectors.count, 96, 96};
    list.loose = &alone;
  }
  const QueryCodes codes = space.encode_queries(queries.view());
  Candidates candidates(queries.rows, 16, {{}, VectorIds(lists.ids)});
  scan_ranked(space, {queries.view(), &codes}, CodeParts::whole, coded, candidates);
  std::vector<std::vector<RankedNeighbor>> found(everyone.size());
  std::vector<ListedCandidate> listed = candidates.list(0, 25, found);
  EXPECT_TRUE(std::ranges::is_sorted(listed, {}, &ListedCandidate::place));
  EXPECT_TRUE(found[25].empty());
  std::ranges::copy(candidates.list(25, queries.rows, found), std::back_inserter(listed));
  std::vector<std::int64_t> rows;
  for (const ListedCandidate& c : listed) rows.push_back(c.place);
  measure_listed(queries.view(), Metric::l2, vectors.view(), listed, rows, found);
  for (std::int64_t q = 0; q < queries.rows; ++q)
    expect_equal(found[std::size_t(q)], defined(space, lists, queries.view(), codes, q, 16), q);
  std::vector<TopK> exact(everyone.size(), TopK(3));
  EXPECT_THROW(scan_coded(space, {queries.view(), &codes}, coded, exact), std::invalid_argument);
}

TEST(RankedScan, WhatLiesBeyondALimitIsNotKept) {
  const Matrix vectors = graded(500, 16, 1), queries = graded(2, 16, 2);
  const CodeSpace space(CodeSpace::train(vectors.view(), Metric::l2));
  const Lists lists(space, vectors.view(), {0, 500});
  const QueryCodes codes = space.encode_queries(queries.view());
  const auto all = defined(space, lists, queries.view(), codes, 1, 10);
  Candidates candidates(2, 10, {lists.rows, VectorIds(lists.ids)});
  const std::vector<std::int32_t> both = {0, 1};
  scan_ranked(space, {queries.view(), &codes}, CodeParts::whole, lists.all(both), candidates);
  candidates.lower(1, all[3].key);
  std::vector<std::vector<RankedNeighbor>> found(2);
  candidates.measure(queries.view(), Metric::l2, found);
  EXPECT_EQ(found[0].size(), 10u);
  EXPECT_EQ(found[1].size(), 4u);
}

TEST(RankedScan, NearestOfTheFirst) {
  std::vector<RankedNeighbor> candidates = {
      {3, 1, 30}, {1, 5, 10}, {2, 5, 9}, {4, 0, 40}, {2, std::nanf(""), 8}};
  std::vector<Neighbor> out(3);
  nearest_of(candidates, 4, out);
  EXPECT_EQ(out, (std::vector<Neighbor>{{1, 30}, {5, 9}, {5, 10}}));
  nearest_of({}, 4, out);
  EXPECT_EQ(out, (std::vector<Neighbor>(3)));
}

TEST(Candidates, KeysOfWhatIsKept) {
  const Matrix vectors = graded(9, 3, 1);
  Candidates candidates(2, 3, {vectors.view(), VectorIds()});
  candidates.add(0, std::vector<Candidate>{{4, 0}, {1, 1}, {3, 2}, {2, 3}});
  candidates.add(1, std::vector<Candidate>{{0, 5}});
  candidates.settle();
  std::vector<float> keys(3);
  candidates.write_keys(0, keys);
  std::ranges::sort(keys);
  EXPECT_EQ(keys, (std::vector<float>{1, 2, 3}));
  candidates.write_keys(1, keys);
  EXPECT_EQ(keys, (std::vector<float>{0, HUGE_VALF, HUGE_VALF}));
}

TEST(RankedScan, RefusesWhatDoesNotFit) {
  const Matrix vectors = graded(50, 8, 1), queries = graded(2, 8, 2);
  const CodeSpace space(CodeSpace::train(vectors.view(), Metric::l2));
  const QueryCodes codes = space.encode_queries(queries.view());
  EXPECT_THROW(Candidates(1, 0, {}), std::invalid_argument);
  Candidates one(1, 3, {vectors.view(), VectorIds()});
  EXPECT_THROW(scan_ranked(space, {queries.view(), &codes}, CodeParts::whole, {}, one),
               std::invalid_argument);
}

}  // namespace
}  // namespace tutti
