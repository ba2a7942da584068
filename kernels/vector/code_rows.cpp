#include "kernels/vector/code_rows.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "kernels/core/clones.h"
#include "kernels/core/parallel.h"

namespace tutti {
namespace {

constexpr std::int64_t kBlock = CodeRows::kBlock;
constexpr std::int64_t kPiece = 256;  // vectors that a thread encodes at a time

std::int64_t whole_blocks(std::int64_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

TUTTI_INLINE std::int32_t squared_distance(const std::int8_t* __restrict a,
                                           const std::int8_t* __restrict b, std::int64_t blocks) {
  std::int32_t sum = 0;
  for (std::int64_t j = 0; j < blocks * kBlock; ++j) {
    const auto off = static_cast<std::int16_t>(std::int16_t(a[j]) - std::int16_t(b[j]));
    sum += std::int32_t(off) * std::int32_t(off);
  }
  return sum;
}

struct RowShape {
  std::int64_t prefix_blocks, rest_blocks;
  double rest_square;
};

TUTTI_CLONES void measure_rows(const std::int8_t* __restrict code,
                               const std::int8_t* __restrict all,
                               const std::int32_t* __restrict rows, std::int64_t count,
                               const RowShape& shape, float* __restrict out) {
  const std::int64_t behind = shape.prefix_blocks * kBlock,
                     stride = behind + shape.rest_blocks * kBlock;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int8_t* row = all + rows[i] * stride;
    const std::int32_t prefix = squared_distance(code, row, shape.prefix_blocks),
                       rest = squared_distance(code + behind, row + behind, shape.rest_blocks);
    out[i] = static_cast<float>(double(prefix) + shape.rest_square * double(rest));
  }
}

}  // namespace

CodeRows::CodeRows(const CodeSpace& space, std::int64_t count)
    : space_(space),
      count_(count),
      prefix_bytes_(whole_blocks(space.prefix())),
      rest_bytes_(whole_blocks(space.code_dim() - space.prefix())),
      rest_square_(double(space.axes().rest_step) / double(space.axes().step)),
      data_(count * (prefix_bytes_ + rest_bytes_)) {
  rest_square_ *= rest_square_;
}

std::int64_t CodeRows::bytes_per_row(const CodeSpace& space) {
  return whole_blocks(space.prefix()) + whole_blocks(space.code_dim() - space.prefix());
}

void CodeRows::lay_out(const std::int8_t* prefix, const std::int8_t* rest, std::int8_t* row) const {
  std::copy_n(prefix, space_.prefix(), row);
  std::copy_n(rest, space_.code_dim() - space_.prefix(), row + prefix_bytes_);
}

void CodeRows::lay_out(const QueryCodes& queries, std::int64_t index, std::int8_t* row) const {
  std::fill_n(row, row_bytes(), std::int8_t(0));
  lay_out(queries.prefix(index), queries.rest(index), row);
}

void CodeRows::put(std::int64_t first, const VectorRows& vectors) {
  if (first < 0 || first + vectors.count > count_)
    throw std::invalid_argument("CodeRows: no such rows");
  const std::int64_t dim = space_.code_dim();
  parallel_for((vectors.count + kPiece - 1) / kPiece, [&](std::int64_t piece) {
    const std::int64_t begin = piece * kPiece, size = std::min(kPiece, vectors.count - begin);
    std::vector<std::int8_t> codes(static_cast<std::size_t>(size * dim));
    space_.encode_vectors(vectors.range(begin, size), {codes.data(), size, dim});
    for (std::int64_t i = 0; i < size; ++i) {
      std::int8_t* row = data_.data() + (first + begin + i) * row_bytes();
      const std::int8_t* code = codes.data() + i * dim;
      if (code[0] == CodeSpace::kLoose)
        lay_out(space_.encode_queries(vectors.range(begin + i, 1)), 0, row);
      else
        lay_out(code, code + space_.prefix(), row);
    }
  });
}

void CodeRows::measure(const std::int8_t* code, const std::int32_t* rows, std::int64_t count,
                       float* out) const {
  measure_rows(code, data_.data(), rows, count,
               {prefix_bytes_ / kBlock, rest_bytes_ / kBlock, rest_square_}, out);
}

}  // namespace tutti
