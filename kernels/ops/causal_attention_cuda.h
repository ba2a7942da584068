// Causal attention within packed sequences in the device's memory, as causal_attention.h says; in
// the stream. In bf16, tiles of queries meet tiles of keys on the tensor cores and P is rescaled as
// larger scores come (FlashAttention: Dao et al., 2022); in f32, plain loops. The backward pass
// makes P again, once for the queries' gradient and once for that of keys and values, so that no
// two blocks add to one place.
#pragma once

#include <cstdint>
#include <span>

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"
#include "kernels/cuda/upload.h"

namespace tutti::cuda {

struct AttentionShape {
  std::int64_t heads = 0, kv_heads = 0, head_size = 0;
  std::int64_t window = 0;  // keys that a query sees, itself included; 0: all before it
};

// 64 rows of a sequence, or what is left of it behind `start`.
struct AttentionTile {
  std::int32_t first = 0;   // row of the sequence's first token
  std::int32_t length = 0;  // of the sequence
  std::int32_t start = 0;   // the tile's first row, within the sequence
};

class CausalAttention {
 public:
  // Throws std::invalid_argument unless the head size is a multiple of 8, up to 128.
  explicit CausalAttention(const AttentionShape& shape);

  // For the sequences that come next.
  void prepare(std::span<const std::int32_t> offsets, cudaStream_t stream);

  // qkv [rows, (heads + 2 kv_heads) head_size] -> out [rows, heads head_size] and, one element a
  // head, log_sums. T is float or bf16.
  template <class T>
  void forward(MatrixView<const T> qkv, MatrixView<T> out, float* log_sums,
               cudaStream_t stream) const;
  // d_out -> d_qkv. `deltas` is scratch, as large as log_sums.
  template <class T>
  void backward(MatrixView<const T> qkv, MatrixView<const T> out, const float* log_sums,
                MatrixView<const T> d_out, float* deltas, MatrixView<T> d_qkv,
                cudaStream_t stream) const;

 private:
  AttentionShape shape_;
  std::int64_t tile_count_ = 0;
  Upload<AttentionTile> tiles_;
};

}  // namespace tutti::cuda
