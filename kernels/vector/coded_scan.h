// Exact search by codes: what scan.h defines, found faster.
//
// A pair is looked at in three steps, each of which rules most of what it sees out: the codes'
// first dimensions, sixteen vectors by eight queries at a time; all of the codes, pair by pair; the
// vectors themselves. The first two compare integers, whose bounds (code_space.h) leave every pair
// through that may be wanted, so results are those of scan.h, bit for bit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/core/tensor.h"
#include "kernels/vector/code_space.h"
#include "kernels/vector/coded_vectors.h"
#include "kernels/vector/scan.h"
#include "kernels/vector/top_k.h"

namespace tutti {

// Queries and their codes in a space; both outlive it.
struct CodedQueries {
  ConstMatrixView<float> vectors;
  const QueryCodes* codes = nullptr;
};

// Those of a set of vectors that are loose, and their places, ascending.
struct LooseVectors {
  VectorRows rows;
  std::span<const std::int32_t> places;

  // The row of the one at a place.
  std::int64_t row_of(std::int64_t place) const {
    return std::ranges::lower_bound(places, place) - places.begin();
  }
};

// Vectors, their codes in groups [first_group, ...) of `codes`, and the queries to scan them for.
struct CodedList {
  const CodedVectors* codes = nullptr;
  std::int64_t first_group = 0;
  VectorRows vectors;
  VectorIds ids;
  std::span<const std::int32_t> queries;
  std::int64_t first_place = 0;  // of the first vector, for whoever gets candidates
  // Where this is given, these are the only vectors in memory, and `vectors` tells how many there
  // are: enough for candidates (ranked_scan.h), and for nothing else.
  const LooseVectors* loose = nullptr;
};

// Throws std::invalid_argument where queries and lists do not fit the space.
void check_coded(const CodeSpace& space, const CodedQueries& queries,
                 std::span<const CodedList> lists);

// As scan_lists: results[i] accumulates the neighbours of query i over all lists that name i.
// Parallel. Throws std::invalid_argument where shapes do not fit.
void scan_coded(const CodeSpace& space, const CodedQueries& queries,
                std::span<const CodedList> lists, std::span<TopK> results);

}  // namespace tutti
