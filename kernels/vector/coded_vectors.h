// Codes of vectors as a scan wants them: the first dimensions of sixteen vectors side by side, the
// others vector by vector, each with its squared length behind it.
#pragma once

#include <cstdint>

#include "kernels/core/arena.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/code_space.h"

namespace tutti {

// What is kept of each code: all, or the prefix and what distances are estimated by.
enum class CodeParts { whole, prefix };

// Groups of sixteen vectors. Codes are kept as unsigned bytes, 128 higher than they are.
class CodedVectors {
 public:
  static constexpr std::int64_t kLanes = 16;
  static constexpr std::int64_t kRestBytes = 64;  // what the rest of a code is filled up to
  static constexpr std::int64_t kMostGroups = (std::int64_t{1} << 31) / kLanes;  // places are int32

  CodedVectors() = default;
  // Room for `groups` groups of codes in `space`, all of them empty. Throws std::invalid_argument
  // for more than kMostGroups.
  CodedVectors(std::int64_t groups, const CodeSpace& space, CodeParts parts = CodeParts::whole);
  // All rows of `codes`, in groups 0, 1, ...
  CodedVectors(ConstMatrixView<std::int8_t> codes, const CodeSpace& space);

  static std::int64_t groups_of(std::int64_t vectors) { return (vectors + kLanes - 1) / kLanes; }
  // What the prefix of a query's code is filled up to.
  static std::int64_t prefix_bytes_of(std::int64_t prefix);
  // What the rest of a code takes with its square behind it.
  static std::int64_t rest_bytes_of(std::int64_t rest_dim);
  // Memory that a vector takes.
  static std::int64_t bytes_per_vector(std::int64_t code_dim, std::int64_t prefix,
                                       CodeParts parts = CodeParts::whole);

  // Fills groups from `first_group` on with the rows of `codes`. What is left of the last group is
  // empty: no vectors. Parallel outside of parallel loops.
  void put(std::int64_t first_group, ConstMatrixView<std::int8_t> codes);

  CodeParts parts() const { return parts_; }
  std::int64_t groups() const { return groups_; }
  // Memory that all groups take.
  std::int64_t bytes() const;
  std::int64_t prefix() const { return prefix_dim_; }
  std::int64_t steps() const { return steps_; }  // of four dimensions, of the prefix
  // A vector, its square among them; 0 where the prefix is all, or all that is kept.
  std::int64_t rest_bytes() const { return rest_bytes_; }
  // [steps][kLanes][4] bytes; dimensions behind the last are 0.
  const std::uint8_t* group(std::int64_t index) const {
    return prefix_.data() + index * steps_ * kLanes * 4;
  }
  // Of whole codes, per vector: half the squared length of the prefix, rounded down; what no
  // product outweighs where there is no vector, and what always does where a vector is loose.
  const std::int32_t* half_squares(std::int64_t group) const {
    return half_squares_.data() + group * kLanes;
  }
  // Per vector: half the prefix's part and the rest's of what a distance is estimated by, each
  // rounded down (see CodeSpace::rest_part); the same where there is no vector or it is loose.
  const std::int32_t* estimates(std::int64_t group) const {
    return estimates_.data() + group * kLanes;
  }
  // The codes of the rest and, where there is any, the square in the last four bytes.
  const std::uint8_t* rest(std::int64_t vector) const {
    return rest_.data() + vector * rest_bytes_;
  }
  // Squared length of the rest; a loose vector's is kAlways, where there is a rest.
  std::int32_t rest_square(std::int64_t vector) const {
    std::int32_t square = 0;
    if (rest_bytes_ > 0)
      __builtin_memcpy(&square, rest(vector) + rest_bytes_ - kSquareBytes, kSquareBytes);
    return square;
  }

  bool is_loose(std::int64_t vector) const { return estimates_[vector] == kAlways; }

  static constexpr std::int32_t kNever = std::int32_t{1} << 30;  // as a half square
  static constexpr std::int32_t kAlways = -kNever;

 private:
  static constexpr std::int64_t kSquareBytes = sizeof(std::int32_t);

  bool is_whole() const { return parts_ == CodeParts::whole; }
  void put_vector(std::int64_t vector, const std::int8_t* code);

  CodeParts parts_ = CodeParts::whole;
  std::int64_t groups_ = 0, code_dim_ = 0, prefix_dim_ = 0, steps_ = 0, rest_bytes_ = 0;
  double rest_weight_ = 0;
  AlignedBuffer<std::uint8_t> prefix_, rest_;
  AlignedBuffer<std::int32_t> half_squares_, estimates_;
};

}  // namespace tutti
