#include "kernels/vector/code_space.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "kernels/core/clones.h"
#include "kernels/core/parallel.h"
#include "kernels/vector/code_places.h"
#include "kernels/vector/coded_vectors.h"

namespace tutti {
namespace {

constexpr std::int64_t kBlock = 256;  // rows that a thread encodes at a time

// Rounds places to steps; adds up the squares of what that takes off, in 16 chains.
TUTTI_CLONES void round_to_steps(const float* __restrict places, std::int64_t count, float step,
                                 std::int8_t* __restrict codes, float* __restrict squares) {
  constexpr float kToInteger = 12582912;  // 1.5 * 2^23: what is added to it loses its fraction
  const float inverse = 1 / step;
  const auto round = [&](std::int64_t j) __attribute__((always_inline)) {
    const float scaled = std::min(127.0f, std::max(-127.0f, places[j] * inverse));
    const float whole = (scaled + kToInteger) - kToInteger;
    codes[j] = static_cast<std::int8_t>(static_cast<int>(whole));
    const float off = places[j] - whole * step;
    return off * off;
  };
  std::int64_t j = 0;
  for (; j + 16 <= count; j += 16)
    for (int lane = 0; lane < 16; ++lane) squares[lane] += round(j + lane);
  for (int lane = 0; j < count; ++j, ++lane) squares[lane] += round(j);
}

// Room for the rounding of the sum itself.
float length_above(const float (&squares)[16]) {
  double sum = 0;
  for (const float s : squares) sum += s;
  return static_cast<float>(std::sqrt(sum) * (1 + 1e-3));
}

TUTTI_CLONES void add_up(const std::int8_t* __restrict code, std::int64_t count, std::int32_t& sum,
                         std::int32_t& square) {
  std::int32_t all = 0, squares = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    all += code[j];
    squares += code[j] * code[j];
  }
  sum += all;
  square += squares;
}

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

}  // namespace

CodeSpace::CodeSpace(CodeAxes axes) : axes_(std::move(axes)) {
  const CodeAxes& a = axes_;
  const std::int64_t extra = a.metric == Metric::inner_product;
  require(a.dim >= 1 && a.code_dim == a.dim + extra, "CodeSpace: dimensions do not fit");
  require(std::int64_t(a.axes.size()) == a.code_dim * a.code_dim &&
              std::int64_t(a.origin.size()) == a.code_dim,
          "CodeSpace: the axes do not fit the dimension");
  require(a.prefix > 0 && a.prefix <= std::min(a.code_dim, kLongestPrefix) &&
              (a.prefix == a.code_dim || a.prefix % 4 == 0),
          "CodeSpace: no such prefix");
  require(a.step > 0 && std::isfinite(a.step) && a.rest_step > 0 && std::isfinite(a.rest_step),
          "CodeSpace: no such step");
  require(a.rest_share >= 0 && a.rest_share <= 1, "CodeSpace: no such share of the rest");
  packed_.pack(ConstMatrixView<float>(a.axes.data(), a.code_dim, a.code_dim));
  padded_.assign(std::size_t(packed_.groups() * kTileLanes), 0);
  std::ranges::copy(a.origin, padded_.begin());
  origin_length_ = std::sqrt(squared_length(a.origin.data(), a.code_dim));
  stretch_ = 1 + skewness(a.axes, a.code_dim);
  const double steps = double(a.rest_step) / double(a.step);
  rest_weight_ = double(a.rest_share) * steps * steps;
  const auto d = double(a.code_dim);
  rounding_ = 0x1p-24 * 1.01 * ((d + 8) * std::sqrt(d) + 16) * stretch_;
}

double CodeSpace::reach(double query_square, float limit) const {
  const double slack = rounding_slack(axes_.dim);
  double square = 0;
  if (axes_.metric == Metric::l2) {
    square = (double(limit) + underflow_slack(axes_.dim)) * (1 + slack);
  } else {
    const double lengths = query_square + double(axes_.longest_square);
    const double base = axes_.metric == Metric::cosine ? 1 : 0;
    square = lengths + 2 * (double(limit) - base) + slack * (lengths + 2);
  }
  return std::sqrt(std::max(square, 0.0)) * stretch_;
}

CodeSpace::Rounded CodeSpace::round(const float* places, double square, std::int8_t* code) const {
  const std::int64_t prefix = axes_.prefix;
  const double extra = axes_.code_dim > axes_.dim ? std::sqrt(double(axes_.longest_square)) : 0;
  const double off = rounding_ * (std::sqrt(square) + origin_length_ + extra);
  float sums[16] = {};
  round_to_steps(places, prefix, axes_.step, code, sums);
  const auto part = static_cast<float>(length_above(sums) + off);
  round_to_steps(places + prefix, axes_.code_dim - prefix, axes_.rest_step, code + prefix, sums);
  return {static_cast<float>(length_above(sums) + off), part};
}

void CodeSpace::encode_vectors(const VectorRows& rows, MatrixView<std::int8_t> codes) const {
  check_rows(rows, "CodeSpace: vectors");
  require(rows.dim == axes_.dim && codes.rows == rows.count && codes.cols == axes_.code_dim,
          "CodeSpace: vectors and codes do not fit");
  parallel_for((rows.count + kBlock - 1) / kBlock, [&](std::int64_t block) {
    const std::int64_t begin = block * kBlock, size = std::min(kBlock, rows.count - begin);
    Places places(*this, rows.range(begin, size), false);
    for (std::int64_t i = 0; i < size; ++i) {
      std::int8_t* code = codes.row(begin + i);
      const auto [square, place] = places.next();
      const Rounded off = round(place, square, code);
      if (!(off.prefix_radius <= axes_.prefix_cap && off.radius <= axes_.cap &&
            square <= double(axes_.longest_square)))
        code[0] = kLoose;
    }
  });
}

QueryCodes CodeSpace::encode_queries(const VectorRows& queries) const {
  check_rows(queries, "CodeSpace: queries");
  require(queries.dim == axes_.dim, "CodeSpace: queries of another dimension");
  const auto count = static_cast<std::size_t>(queries.count);
  const std::int64_t rest = axes_.code_dim - axes_.prefix;
  QueryCodes codes{axes_.code_dim,
                   axes_.prefix,
                   CodedVectors::prefix_bytes_of(axes_.prefix),
                   CodedVectors::rest_bytes_of(rest),
                   {},
                   std::vector<QueryCodes::Query>(count)};
  codes.values.resize(count * std::size_t(codes.row_bytes()));
  parallel_for((queries.count + kBlock - 1) / kBlock, [&](std::int64_t block) {
    const std::int64_t begin = block * kBlock, size = std::min(kBlock, queries.count - begin);
    Places places(*this, queries.range(begin, size), true);
    std::vector<std::int8_t> scratch(static_cast<std::size_t>(axes_.code_dim));
    for (std::int64_t i = begin; i < begin + size; ++i) {
      const auto [square, place] = places.next();
      std::int8_t* code = scratch.data();
      const Rounded off = round(place, square, code);
      QueryCodes::Query& query = codes.queries[static_cast<std::size_t>(i)];
      query = {square, off.radius, off.prefix_radius};
      add_up(code, axes_.prefix, query.prefix_sum, query.prefix_square);
      query.sum = query.prefix_sum;
      query.code_square = query.prefix_square;
      add_up(code + axes_.prefix, rest, query.sum, query.code_square);
      std::int8_t* row = codes.values.data() + i * codes.row_bytes();
      std::copy_n(code, axes_.prefix, row);
      std::copy_n(code + axes_.prefix, rest, row + codes.prefix_bytes);
    }
  });
  return codes;
}

std::int64_t QueryCodes::most_bytes(std::int64_t dim) {
  // Both parts are filled up, however they share the dimensions.
  return CodedVectors::prefix_bytes_of(dim + 1) + CodedVectors::rest_bytes_of(1) +
         std::int64_t(sizeof(Query));
}

std::vector<std::int8_t> QueryCodes::code(std::int64_t index) const {
  std::vector<std::int8_t> code(prefix(index), prefix(index) + prefix_dim);
  code.insert(code.end(), rest(index), rest(index) + (code_dim - prefix_dim));
  return code;
}

QueryCodes QueryCodes::of(std::span<const std::int32_t> numbers) const {
  QueryCodes some{code_dim, prefix_dim, prefix_bytes, rest_bytes, {}, {}};
  for (const std::int32_t number : numbers) {
    some.values.insert(some.values.end(), prefix(number), prefix(number) + row_bytes());
    some.queries.push_back(queries[static_cast<std::size_t>(number)]);
  }
  return some;
}

}  // namespace tutti
