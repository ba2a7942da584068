// Byte codes of vectors: where the data vary most comes first, so that a part of a code already
// tells most vectors apart.
//
// A vector is moved into a space of Euclidean distance, where it stands along the principal axes of
// a sample, and rounded to whole steps of -127 to 127. Dimensions of the prefix have one step, the
// others, along which vectors differ less, a smaller one. All that is lost on the way is bounded:
// with r(v) the rounded place of v, for all q and v that are not loose,
//   |r(q) - r(v)| <= reach(limit) + radius(q) + cap   if distance(q, v) <= limit,
// for distances as reference::distance measures them. A vector is loose where the sample did not
// lead to expect it, or where it is not finite. The same holds for the first prefix()
// dimensions alone, with the radius and the cap of these. A scan may therefore leave out all pairs
// whose codes are farther apart (coded_scan.h).
//
// For l2 and cosine the space is that of the vectors. For the inner product it has one more
// dimension, in which a vector has what it lacks of the longest one's length and a query nothing:
// the squared distance is then |q|^2 + longest^2 - 2 q.v (Bachrach et al., RecSys 2014).
//
// Where not all pairs must be told, a pair's distance may be estimated from the prefixes and the
// lengths of the rests p and w alone: of the rests' distance, |p|^2 + |w|^2 - 2 p.w, near pairs
// have nearly all at least the share `rest_share` of |p|^2 + |w|^2, as the sample shows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/tensor.h"
#include "kernels/vector/distance.h"
#include "kernels/vector/packed_vectors.h"

namespace tutti {

// What a code space is made of, to be stored and made again.
struct CodeAxes {
  Metric metric = Metric::l2;
  std::int64_t dim = 0;       // of the vectors
  std::int64_t code_dim = 0;  // of the codes: dim, and one more for the inner product
  std::int64_t prefix = 0;    // dimensions that are looked at first, a multiple of 4, or code_dim
  std::vector<float> axes;    // [code_dim][code_dim], a row an axis
  std::vector<float> origin;  // [code_dim], along the axes
  float step = 1, rest_step = 1;  // of the prefix, and of the other dimensions
  float cap = 0, prefix_cap = 0;  // what rounding may take off a vector that is not loose
  float longest_square = 0;       // of a vector that is not loose
  float rest_share = 0;           // of the rests' squared lengths that near pairs are apart
};

// Codes of queries, and what a scan wants to know of each.
struct QueryCodes {
  struct Query {
    double square = 0;                                // of the query's length
    float radius = 0, prefix_radius = 0;              // what rounding took off it
    std::int32_t sum = 0, prefix_sum = 0;             // of the code's elements
    std::int32_t code_square = 0, prefix_square = 0;  // of the code's length
  };

  std::int64_t code_dim = 0, prefix_dim = 0;
  std::int64_t prefix_bytes = 0;    // of a row: the prefix, and zeros
  std::int64_t rest_bytes = 0;      // and the rest as CodedVectors has it, with zeros behind
  std::vector<std::int8_t> values;  // [queries][row_bytes()]
  std::vector<Query> queries;

  std::int64_t count() const { return static_cast<std::int64_t>(queries.size()); }
  std::int64_t row_bytes() const { return prefix_bytes + rest_bytes; }
  const std::int8_t* prefix(std::int64_t index) const {
    return values.data() + index * row_bytes();
  }
  const std::int8_t* rest(std::int64_t index) const { return prefix(index) + prefix_bytes; }
  // A code in one piece.
  std::vector<std::int8_t> code(std::int64_t index) const;

  // What a query of that dimension takes, at most.
  static std::int64_t most_bytes(std::int64_t dim);

  // Those of some of the queries.
  QueryCodes of(std::span<const std::int32_t> numbers) const;
};

// Immutable; threads may share one.
class CodeSpace {
 public:
  // The first byte of a loose vector's code; no other code has it.
  static constexpr std::int8_t kLoose = -128;
  // What a scan's integers have room for.
  static constexpr std::int64_t kLongestPrefix = 4096;

  // The space that suits a sample of finite vectors (the axes are as they are beyond 2048
  // dimensions, whose principal ones take minutes); the more, the better: some thousands are
  // enough, and dim at least. The same bytes for the same sample, whatever the threads. Throws
  // std::invalid_argument as check_rows does, or where there are no rows.
  // `whole`: the prefix is to be all of a code.
  static CodeAxes train(const VectorRows& sample, Metric metric, bool whole = false);

  // Throws std::invalid_argument where the parts do not fit one another.
  explicit CodeSpace(CodeAxes axes);

  const CodeAxes& axes() const { return axes_; }
  std::int64_t code_dim() const { return axes_.code_dim; }
  std::int64_t prefix() const { return axes_.prefix; }

  // Codes of vectors that are to be found; a loose one's first byte is kLoose. Parallel outside of
  // parallel loops; a row's bytes depend on nothing but the row.
  void encode_vectors(const VectorRows& rows, MatrixView<std::int8_t> codes) const;
  // Codes of queries, none of which is loose: the radius of one far outside is just as large, and
  // that of one that is not finite no number.
  QueryCodes encode_queries(const VectorRows& queries) const;

  // The distance in this space of a query of that squared length to anything at most `limit` away
  // in the metric, or more. Infinity or NaN where nothing is known.
  double reach(double query_square, float limit) const;

  // What the square of a rest's code counts for in an estimate, in squared steps of the prefix.
  double rest_weight() const { return rest_weight_; }

 private:
  class Places;
  struct Rounded {
    float radius, prefix_radius;
  };
  Rounded round(const float* places, double square, std::int8_t* code) const;
  static void choose_steps(CodeAxes& axes, const VectorRows& sample);
  static void choose_prefix(CodeAxes& axes, const VectorRows& sample);
  static void choose_caps(CodeAxes& axes, const VectorRows& sample);
  static void choose_rest_share(CodeAxes& axes, const VectorRows& sample);

  CodeAxes axes_;
  PackedVectors packed_;       // the axes
  std::vector<float> padded_;  // the origin, padded to whole groups
  double stretch_ = 1;         // of a distance, by axes that are not quite orthonormal
  double rounding_ = 0;        // of a place along the axes, relative to lengths
  double origin_length_ = 0;
  double rest_weight_ = 0;
};

// Half of what the square of a rest's code counts for, rounded down.
inline std::int32_t rest_part(double rest_weight, std::int32_t rest_square) {
  return static_cast<std::int32_t>(rest_weight * double(rest_square) / 2);
}

}  // namespace tutti
