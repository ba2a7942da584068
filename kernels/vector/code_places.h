// Where vectors stand along the axes of a code space. Internal to kernels/vector.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/vector/code_space.h"
#include "kernels/vector/tile.h"

namespace tutti {

// Gives the places of some rows one after another, found eight at a time by the register tiles: a
// row's bytes depend on nothing but the row. One thread's.
class CodeSpace::Places {
 public:
  // `queries` tells what the additional dimension of the inner product is.
  Places(const CodeSpace& space, const VectorRows& rows, bool queries);

  struct Row {
    double square;       // of the row's length
    const float* place;  // code_dim floats, until the next call
  };
  Row next();

 private:
  void pack_rows();
  void find_places();

  const CodeSpace& space_;
  VectorRows rows_;
  bool queries_;
  std::int64_t width_, next_ = 0;
  AlignedBuffer<float> packed_, values_, places_;
  std::vector<float> row_;
  double squares_[kTileQueries] = {};
};

// How far the rows of `axes`, count of them of count elements, are from orthonormal: the Frobenius
// norm of their products with one another less the identity.
double skewness(const std::vector<float>& axes, std::int64_t count);

}  // namespace tutti
