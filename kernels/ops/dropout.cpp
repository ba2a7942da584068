#include "kernels/ops/dropout.h"

#include <cmath>
#include <stdexcept>

#include "kernels/core/clones.h"
#include "kernels/core/dtype.h"
#include "kernels/core/random.h"

namespace tutti {
namespace {

// The `index`-th number of the SplitMix64 generator that starts at `key`.
TUTTI_INLINE std::uint64_t draw(std::uint64_t key, std::uint64_t index) {
  std::uint64_t z = key + (index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

template <class T>
TUTTI_INLINE void drop(const float* x, std::int64_t cols, std::uint64_t key,
                       std::uint32_t threshold, float scale, T* out) {
#pragma omp simd
  for (std::int64_t c = 0; c < cols; ++c) {
    const auto number = static_cast<std::uint32_t>(draw(key, static_cast<std::uint64_t>(c)) >> 32);
    store(out[c], number < threshold ? 0.0f : x[c] * scale);
  }
}

TUTTI_CLONES void drop_row(const float* x, std::int64_t cols, std::uint64_t key,
                           std::uint32_t threshold, float scale, float* out) {
  drop(x, cols, key, threshold, scale, out);
}
TUTTI_CLONES void drop_row(const float* x, std::int64_t cols, std::uint64_t key,
                           std::uint32_t threshold, float scale, bf16* out) {
  drop(x, cols, key, threshold, scale, out);
}

}  // namespace

template <class T>
void dropout(MatrixView<const float> x, const Dropout& mask, std::uint64_t place,
             MatrixView<T> out) {
  if (x.rows != out.rows || x.cols != out.cols || std::ssize(mask.rows) < x.rows)
    throw std::invalid_argument("dropout: shapes differ");
  if (!(mask.rate >= 0 && mask.rate < 1))
    throw std::invalid_argument("dropout: a rate is from 0 on and below 1");
  const auto threshold = static_cast<std::uint32_t>(std::ldexp(double(mask.rate), 32));
  const float scale = 1.0f / (1.0f - mask.rate);
  for (std::int64_t r = 0; r < x.rows; ++r)
    drop_row(x.row(r), x.cols, random_u64(mask.rows[r], place, 0), threshold, scale, out.row(r));
}

template void dropout(MatrixView<const float>, const Dropout&, std::uint64_t, MatrixView<float>);
template void dropout(MatrixView<const float>, const Dropout&, std::uint64_t, MatrixView<bf16>);

}  // namespace tutti
