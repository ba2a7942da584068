// Rotary position embedding (Su et al., 2021): the two halves of a head are the real and imaginary
// parts of numbers, and those of a token at position p turn by p times a frequency each:
//
//   (a, b) -> (a cos - b sin, b cos + a sin),   frequency of pair i: theta^(-2 i / head size)
//
// Pairs are element i and i + head size / 2 (the layout of Hugging Face's Llama).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"

namespace tutti {

// How frequencies are stretched for contexts beyond those that a model was first trained on.
struct RopeShape {
  enum class Scaling : std::uint8_t { none, linear, llama3 };

  double theta = 10000;
  Scaling scaling = Scaling::none;
  double factor = 1;  // frequencies are divided by it: all, or the low ones
  double low_frequency_factor =
      1;  // llama3: wavelengths above original_tokens / low are stretched,
  double high_frequency_factor = 4;  // those below original_tokens / high stay, between is between
  double original_tokens = 8192;

  bool operator==(const RopeShape&) const = default;
};

// The frequency of each pair, in radians a token. `head_size` is even.
std::vector<double> rope_frequencies(const RopeShape& shape, std::int64_t head_size);

// Cosines and sines for positions below a limit.
class RopeTable {
 public:
  RopeTable() = default;
  // Throws std::invalid_argument for an odd head size or an empty extent.
  RopeTable(const RopeShape& shape, std::int64_t head_size, std::int64_t positions);

  // Turns `heads` heads, side by side from x's first column on, of every row by the row's position;
  // inverse() turns them back, which is the gradient. In place, on the calling thread; every row
  // depends on itself alone. T is float or bf16. Positions must be below the limit.
  template <class T>
  void rotate(MatrixView<T> x, std::int64_t heads, std::span<const std::int32_t> positions) const;
  template <class T>
  void inverse(MatrixView<T> x, std::int64_t heads, std::span<const std::int32_t> positions) const;

 private:
  template <class T>
  void turn(MatrixView<T> x, std::int64_t heads, std::span<const std::int32_t> positions,
            float direction) const;

  std::int64_t half_ = 0;
  std::vector<float> cos_, sin_;  // [positions, half_]
};

}  // namespace tutti
