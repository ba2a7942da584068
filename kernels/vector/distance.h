// How far apart two vectors are.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/core/tensor.h"

namespace tutti {

// Smaller is nearer in each of them:
//   l2             the squared Euclidean distance, sum (q_j - v_j)^2
//   inner_product  0 - q.v
//   cosine         1 - q.v, of vectors that normalise() has made unit length beforehand
enum class Metric : std::uint8_t { l2, inner_product, cosine };

// The name used in files and on the command line: "l2", "inner_product", "cosine".
std::string_view name_of(Metric metric);

// The metric called `name`. Throws std::invalid_argument for an unknown name.
Metric metric_from_name(std::string_view name);

// The square of a row's length, in eight interleaved sums and then one after the other: the order
// is fixed, whatever the vector unit.
double squared_length(const float* row, std::int64_t dim);

// Divides each row by its length, taken in double in a fixed order. A row of zeros stays as it is;
// one that holds a NaN or an infinity becomes NaN somewhere, and so never ranks.
void normalise(MatrixView<float> rows);

namespace reference {

// The definition of a distance, bit for bit: one chain of fused multiply-adds over the dimension in
// ascending order, s = fma(t, t, s) with t = q_j - v_j for l2 and s = fma(q_j, v_j, s) otherwise,
// starting from zero. Every variant of every scan returns exactly this number.
float distance(const float* query, const float* vector, std::int64_t dim, Metric metric);

}  // namespace reference
}  // namespace tutti
