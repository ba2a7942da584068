// Products in plain loops, in cuBLASLt's place.
#include "kernels/cuda/product.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace tutti::cuda {
namespace {

float value_at(const void* data, DType type, std::int64_t index) {
  if (type == DType::bf16) return float(static_cast<const bf16*>(data)[index]);
  return static_cast<const float*>(data)[index];
}

void put(void* data, DType type, std::int64_t index, float value) {
  if (type == DType::bf16)
    static_cast<bf16*>(data)[index] = bf16(value);
  else
    static_cast<float*>(data)[index] = value;
}

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fake CUDA: a product %s\n", what);
  std::abort();
}

// What cuBLASLt needs for its tensor cores: addresses and rows in multiples of 16 bytes.
void check_alignment(const void* data, std::int64_t stride, DType type) {
  require(reinterpret_cast<std::uintptr_t>(data) % 16 == 0, "with an address that is not aligned");
  if (type == DType::bf16) require(stride % 8 == 0, "with rows that are not aligned");
}

}  // namespace

struct Products::State {};
Products::Products() = default;
Products::~Products() = default;

void Products::run(const ProductShape& s, const void* a, const void* b, void* c, const void* bias,
                   cudaStream_t) {
  const fake_cuda::DeviceAccess access;
  require(s.m > 0 && s.n > 0 && s.k > 0 && s.a_stride >= (s.a_transposed ? s.m : s.k) &&
              s.b_stride >= (s.b_transposed ? s.k : s.n) && s.c_stride >= s.n,
          "of an impossible shape");
  check_alignment(a, s.a_stride, s.in);
  check_alignment(b, s.b_stride, s.in);
  check_alignment(c, s.c_stride, s.out);
  std::vector<float> b_rows(std::size_t(s.k * s.n)), sums(std::size_t(s.n));
  for (std::int64_t k = 0; k < s.k; ++k)
    for (std::int64_t j = 0; j < s.n; ++j)
      b_rows[std::size_t(k * s.n + j)] =
          value_at(b, s.in, s.b_transposed ? j * s.b_stride + k : k * s.b_stride + j);
  for (std::int64_t i = 0; i < s.m; ++i) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (std::int64_t k = 0; k < s.k; ++k) {
      const float x = value_at(a, s.in, s.a_transposed ? k * s.a_stride + i : i * s.a_stride + k);
      const float* row = &b_rows[std::size_t(k * s.n)];
      for (std::int64_t j = 0; j < s.n; ++j) sums[std::size_t(j)] += x * row[j];
    }
    for (std::int64_t j = 0; j < s.n; ++j) {
      float sum = sums[std::size_t(j)];
      if (s.bias) sum += value_at(bias, s.out, j);
      if (s.accumulate) sum += value_at(c, s.out, i * s.c_stride + j);
      put(c, s.out, i * s.c_stride + j, sum);
    }
  }
}

const char* Products::library() { return "plain loops"; }

}  // namespace tutti::cuda
