#include <cmath>
#include <vector>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/vectors.h"
#include "kernels/ops/rope_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kThreads = 128;

// A pair a thread: the pairs of a row's heads lie one behind the other over the grid's second
// dimension.
template <class T>
__global__ void __launch_bounds__(kThreads)
    turn_pairs(MatrixView<T> x, int half, int pairs, const std::int32_t* positions,
               const float* table, float direction) {
  const std::int64_t row = blockIdx.x;
  const int index = int(blockIdx.y * kThreads + threadIdx.x);
  if (index >= pairs) return;
  const int head = index / half, pair = index % half;
  T* a = x.data + row * x.stride + head * 2 * half + pair;
  const float2 angle =
      reinterpret_cast<const float2*>(table)[std::int64_t(positions[row]) * half + pair];
  const float u = load_one(a), v = load_one(a + half), sine = angle.y * direction;
  store_one(a, u * angle.x - v * sine);
  store_one(a + half, v * angle.x + u * sine);
}

}  // namespace

Rope::Rope(const RopeShape& shape, std::int64_t head_size, std::int64_t positions,
           cudaStream_t stream)
    : half_(head_size / 2), table_(positions * head_size) {
  const std::vector<double> frequencies = rope_frequencies(shape, head_size);
  std::vector<float> angles;
  for (std::int64_t p = 0; p < positions; ++p)
    for (const double f : frequencies) {
      angles.push_back(static_cast<float>(std::cos(static_cast<double>(p) * f)));
      angles.push_back(static_cast<float>(std::sin(static_cast<double>(p) * f)));
    }
  copy(std::span<const float>(angles), table_.span(), stream);
}

template <class T>
void Rope::turn(MatrixView<T> x, std::int64_t heads, const std::int32_t* positions, bool back,
                cudaStream_t stream) const {
  const std::int64_t pairs = heads * half_;
  launch({dim3(unsigned(x.rows), unsigned(ceil_div(pairs, kThreads))), dim3(kThreads)}, stream,
         turn_pairs<T>, x, static_cast<int>(half_), static_cast<int>(pairs), positions,
         table_.data(), back ? -1.0f : 1.0f);
}

template void Rope::turn(MatrixView<float>, std::int64_t, const std::int32_t*, bool,
                         cudaStream_t) const;
template void Rope::turn(MatrixView<bf16>, std::int64_t, const std::int32_t*, bool,
                         cudaStream_t) const;

}  // namespace tutti::cuda
