#include "kernels/vector/coded_vectors.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/core/parallel.h"
#include "kernels/vector/code_space.h"

namespace tutti {
namespace {

std::int64_t up_to(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::int32_t square_of(const std::int8_t* code, std::int64_t count) {
  std::int32_t sum = 0;
  for (std::int64_t j = 0; j < count; ++j) sum += code[j] * code[j];
  return sum;
}

std::int64_t checked(std::int64_t groups) {
  if (groups > CodedVectors::kMostGroups)
    throw std::invalid_argument("CodedVectors: more groups than places can tell");
  return groups;
}

void copy_up(const std::int8_t* from, std::int64_t count, std::uint8_t* to) {
  for (std::int64_t j = 0; j < count; ++j) to[j] = static_cast<std::uint8_t>(from[j] + 128);
}

}  // namespace

CodedVectors::CodedVectors(std::int64_t groups, const CodeSpace& space, CodeParts parts)
    : parts_(parts),
      groups_(checked(groups)),
      code_dim_(space.code_dim()),
      prefix_dim_(space.prefix()),
      steps_((prefix_dim_ + 3) / 4),
      rest_bytes_(is_whole() ? rest_bytes_of(code_dim_ - prefix_dim_) : 0),
      rest_weight_(space.rest_weight()),
      prefix_(groups * steps_ * kLanes * 4),
      rest_(groups * kLanes * rest_bytes_),
      half_squares_(is_whole() ? groups * kLanes : 0),
      estimates_(groups * kLanes) {
  std::fill_n(half_squares_.data(), half_squares_.size(), kNever);
  std::fill_n(estimates_.data(), estimates_.size(), kNever);
}

CodedVectors::CodedVectors(ConstMatrixView<std::int8_t> codes, const CodeSpace& space)
    : CodedVectors(groups_of(codes.rows), space) {
  put(0, codes);
}

std::int64_t CodedVectors::prefix_bytes_of(std::int64_t prefix) {
  return up_to(prefix, kRestBytes);
}

std::int64_t CodedVectors::rest_bytes_of(std::int64_t rest_dim) {
  return rest_dim > 0 ? up_to(rest_dim + kSquareBytes, kRestBytes) : 0;
}

std::int64_t CodedVectors::bytes_per_vector(std::int64_t code_dim, std::int64_t prefix,
                                            CodeParts parts) {
  const std::int64_t least = (prefix + 3) / 4 * 4 + std::int64_t(sizeof(std::int32_t));
  if (parts == CodeParts::prefix) return least;
  return least + rest_bytes_of(code_dim - prefix) + std::int64_t(sizeof(std::int32_t));
}

std::int64_t CodedVectors::bytes() const {
  return prefix_.size() + rest_.size() +
         (half_squares_.size() + estimates_.size()) * std::int64_t(sizeof(std::int32_t));
}

void CodedVectors::put(std::int64_t first_group, ConstMatrixView<std::int8_t> codes) {
  if (codes.cols != code_dim_ || first_group < 0 || first_group + groups_of(codes.rows) > groups_) {
    throw std::invalid_argument("CodedVectors: codes do not fit");
  }
  parallel_for(groups_of(codes.rows), [&](std::int64_t g) {
    const std::int64_t first = (first_group + g) * kLanes;
    for (std::int64_t i = g * kLanes; i < std::min(codes.rows, (g + 1) * kLanes); ++i)
      put_vector(first + i - g * kLanes, codes.row(i));
    for (std::int64_t i = codes.rows; i < (g + 1) * kLanes; ++i) {
      if (is_whole()) half_squares_[first + i - g * kLanes] = kNever;
      estimates_[first + i - g * kLanes] = kNever;
    }
  });
}

void CodedVectors::put_vector(std::int64_t vector, const std::int8_t* code) {
  std::uint8_t* group = prefix_.data() + vector / kLanes * steps_ * kLanes * 4;
  for (std::int64_t j = 0; j < prefix_dim_; j += 4)
    copy_up(code + j, std::min<std::int64_t>(4, prefix_dim_ - j),
            group + j * kLanes + vector % kLanes * 4);
  const std::int64_t rest_dim = code_dim_ - prefix_dim_;
  const bool loose = code[0] == CodeSpace::kLoose;
  const std::int32_t rest_square = loose ? kAlways : square_of(code + prefix_dim_, rest_dim);
  const std::int32_t half_square = square_of(code, prefix_dim_) / 2;
  estimates_[vector] = loose ? kAlways : half_square + rest_part(rest_weight_, rest_square);
  if (!is_whole()) return;
  half_squares_[vector] = loose ? kAlways : half_square;
  if (rest_dim > 0) {
    std::uint8_t* rest = rest_.data() + vector * rest_bytes_;
    copy_up(code + prefix_dim_, rest_dim, rest);
    __builtin_memcpy(rest + rest_bytes_ - kSquareBytes, &rest_square, kSquareBytes);
  }
}

}  // namespace tutti
