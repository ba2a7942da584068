#include "kernels/ops/rope.h"

#include <cmath>
#include <numbers>
#include <stdexcept>

#include "kernels/ops/rope_cpu.h"

namespace tutti {
namespace {

// Meta's Llama 3.1: long waves are stretched by the factor, short ones left, the rest blended.
double llama3_frequency(const RopeShape& s, double frequency) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < s.original_tokens / s.high_frequency_factor) return frequency;
  if (wavelength > s.original_tokens / s.low_frequency_factor) return frequency / s.factor;
  const double blend = (s.original_tokens / wavelength - s.low_frequency_factor) /
                       (s.high_frequency_factor - s.low_frequency_factor);
  return (1 - blend) * frequency / s.factor + blend * frequency;
}

}  // namespace

std::vector<double> rope_frequencies(const RopeShape& shape, std::int64_t head_size) {
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < head_size / 2; ++i) {
    double f =
        std::pow(shape.theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_size));
    if (shape.scaling == RopeShape::Scaling::linear) f /= shape.factor;
    if (shape.scaling == RopeShape::Scaling::llama3) f = llama3_frequency(shape, f);
    frequencies.push_back(f);
  }
  return frequencies;
}

RopeTable::RopeTable(const RopeShape& shape, std::int64_t head_size, std::int64_t positions)
    : half_(head_size / 2) {
  if (head_size < 2 || head_size % 2 != 0 || positions < 1)
    throw std::invalid_argument("rope: the head size must be even, and there must be positions");
  const std::vector<double> frequencies = rope_frequencies(shape, head_size);
  for (std::int64_t p = 0; p < positions; ++p)
    for (const double f : frequencies) {
      cos_.push_back(static_cast<float>(std::cos(static_cast<double>(p) * f)));
      sin_.push_back(static_cast<float>(std::sin(static_cast<double>(p) * f)));
    }
}

template <class T>
void RopeTable::turn(MatrixView<T> x, std::int64_t heads, std::span<const std::int32_t> positions,
                     float direction) const {
  if (x.cols < heads * 2 * half_ || static_cast<std::int64_t>(positions.size()) != x.rows)
    throw std::invalid_argument("rope: shapes differ");
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const std::int64_t at = positions[r] * half_;
    for (std::int64_t h = 0; h < heads; ++h) {
      T* head = x.row(r) + h * 2 * half_;
      cpu::rotate_pairs(head, head + half_, cos_.data() + at, sin_.data() + at, direction, half_);
    }
  }
}

template <class T>
void RopeTable::rotate(MatrixView<T> x, std::int64_t heads,
                       std::span<const std::int32_t> positions) const {
  turn(x, heads, positions, 1.0f);
}

template <class T>
void RopeTable::inverse(MatrixView<T> x, std::int64_t heads,
                        std::span<const std::int32_t> positions) const {
  turn(x, heads, positions, -1.0f);
}

template void RopeTable::rotate(MatrixView<float>, std::int64_t,
                                std::span<const std::int32_t>) const;
template void RopeTable::rotate(MatrixView<bf16>, std::int64_t,
                                std::span<const std::int32_t>) const;
template void RopeTable::inverse(MatrixView<float>, std::int64_t,
                                 std::span<const std::int32_t>) const;
template void RopeTable::inverse(MatrixView<bf16>, std::int64_t,
                                 std::span<const std::int32_t>) const;

}  // namespace tutti
