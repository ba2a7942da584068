#include "kernels/vector/distance.h"

#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/core/clones.h"
#include "kernels/core/parallel.h"

namespace tutti {
namespace {

constexpr std::array<std::pair<Metric, std::string_view>, 3> kNames{{
    {Metric::l2, "l2"},
    {Metric::inner_product, "inner_product"},
    {Metric::cosine, "cosine"},
}};

TUTTI_CLONES void scale(float* __restrict row, std::int64_t dim, double factor) {
  for (std::int64_t j = 0; j < dim; ++j) row[j] = static_cast<float>(row[j] * factor);
}

}  // namespace

// The square of a float is exact in double, so contraction cannot change the sums.
TUTTI_CLONES double squared_length(const float* __restrict row, std::int64_t dim) {
  double sums[8] = {};
  std::int64_t j = 0;
  for (; j + 8 <= dim; j += 8) {
    for (int lane = 0; lane < 8; ++lane) {
      const double x = row[j + lane];
      sums[lane] += x * x;
    }
  }
  for (int lane = 0; j < dim; ++j, ++lane) sums[lane] += double(row[j]) * double(row[j]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

std::string_view name_of(Metric metric) {
  for (const auto& [value, name] : kNames) {
    if (value == metric) return name;
  }
  throw std::invalid_argument("name_of: no such metric");
}

Metric metric_from_name(std::string_view name) {
  for (const auto& [value, known] : kNames) {
    if (known == name) return value;
  }
  throw std::invalid_argument("unknown metric '" + std::string(name) +
                              "': expected l2, inner_product or cosine");
}

void normalise(MatrixView<float> rows) {
  constexpr std::int64_t kRows = 64;
  parallel_for((rows.rows + kRows - 1) / kRows, [&](std::int64_t block) {
    const std::int64_t end = std::min(rows.rows, (block + 1) * kRows);
    for (std::int64_t i = block * kRows; i < end; ++i) {
      const double length = std::sqrt(squared_length(rows.row(i), rows.cols));
      if (length != 0) scale(rows.row(i), rows.cols, 1 / length);
    }
  });
}

namespace reference {

float distance(const float* query, const float* vector, std::int64_t dim, Metric metric) {
  float sum = 0;
  if (metric == Metric::l2) {
    for (std::int64_t j = 0; j < dim; ++j) {
      const float t = query[j] - vector[j];
      sum = std::fma(t, t, sum);
    }
    return sum;
  }
  for (std::int64_t j = 0; j < dim; ++j) sum = std::fma(query[j], vector[j], sum);
  return (metric == Metric::cosine ? 1.0f : 0.0f) - sum;
}

}  // namespace reference
}  // namespace tutti
