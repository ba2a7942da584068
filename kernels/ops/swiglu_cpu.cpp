#include "kernels/ops/swiglu_cpu.h"

#include "kernels/core/clones.h"
#include "kernels/ops/vector_math.h"

namespace tutti::cpu {
namespace {

template <class T>
TUTTI_INLINE void forward(const float* gate_product, const float* up_product, std::int64_t cols,
                          T* gate, T* up, T* __restrict out) {
#pragma omp simd
  for (std::int64_t i = 0; i < cols; ++i) {
    const float x = gate_product[i], y = up_product[i];
    store(gate[i], x);
    store(up[i], y);
    store(out[i], x * vector_sigmoid(x) * y);
  }
}

template <class T>
TUTTI_INLINE void backward(const float* __restrict d_out, const T* gate, const T* up,
                           std::int64_t cols, T* d_gate, T* d_up) {
#pragma omp simd
  for (std::int64_t i = 0; i < cols; ++i) {
    const float x = float(gate[i]), y = float(up[i]), s = vector_sigmoid(x);
    store(d_gate[i], d_out[i] * y * (s + x * s * (1.0f - s)));
    store(d_up[i], d_out[i] * x * s);
  }
}

TUTTI_CLONES void forward_f32(const float* gate_product, const float* up_product, std::int64_t cols,
                              float* gate, float* up, float* out) {
  forward(gate_product, up_product, cols, gate, up, out);
}
TUTTI_CLONES void forward_bf16(const float* gate_product, const float* up_product,
                               std::int64_t cols, bf16* gate, bf16* up, bf16* out) {
  forward(gate_product, up_product, cols, gate, up, out);
}
TUTTI_CLONES void backward_f32(const float* d_out, const float* gate, const float* up,
                               std::int64_t cols, float* d_gate, float* d_up) {
  backward(d_out, gate, up, cols, d_gate, d_up);
}
TUTTI_CLONES void backward_bf16(const float* d_out, const bf16* gate, const bf16* up,
                                std::int64_t cols, bf16* d_gate, bf16* d_up) {
  backward(d_out, gate, up, cols, d_gate, d_up);
}

}  // namespace

void swiglu_row(const float* gate_product, const float* up_product, std::int64_t cols, float* gate,
                float* up, float* out) {
  forward_f32(gate_product, up_product, cols, gate, up, out);
}
void swiglu_row(const float* gate_product, const float* up_product, std::int64_t cols, bf16* gate,
                bf16* up, bf16* out) {
  forward_bf16(gate_product, up_product, cols, gate, up, out);
}
void swiglu_row_backward(const float* d_out, const float* gate, const float* up, std::int64_t cols,
                         float* d_gate, float* d_up) {
  backward_f32(d_out, gate, up, cols, d_gate, d_up);
}
void swiglu_row_backward(const float* d_out, const bf16* gate, const bf16* up, std::int64_t cols,
                         bf16* d_gate, bf16* d_up) {
  backward_bf16(d_out, gate, up, cols, d_gate, d_up);
}

}  // namespace tutti::cpu
