// Keys and values of the tokens that a decoder has seen, so that the next token costs one row.
// Private to the decoder.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/scratch.h"
#include "kernels/model/transformer_pass.h"

namespace tutti {

// T as the decoder computes. For each sequence, layer and key head: `capacity` rows of keys and as
// many of values.
template <class T>
class DecoderCache {
 public:
  DecoderCache(const TransformerShape& shape, std::span<const std::int64_t> capacities);

  std::int64_t sequences() const { return std::ssize(capacities_); }
  std::int64_t length(std::int64_t sequence) const { return lengths_[sequence]; }
  std::int64_t capacity(std::int64_t sequence) const { return capacities_[sequence]; }
  void set_length(std::int64_t sequence, std::int64_t length) { lengths_[sequence] = length; }

  T* keys(std::int64_t sequence, std::int64_t layer, std::int64_t kv_head) {
    const std::int64_t plane = capacities_[sequence] * shape_.head_size;
    return values_[sequence].data() + (layer * shape_.kv_heads + kv_head) * 2 * plane;
  }
  T* values(std::int64_t sequence, std::int64_t layer, std::int64_t kv_head) {
    return keys(sequence, layer, kv_head) + capacities_[sequence] * shape_.head_size;
  }

  // Copies a token's key and value of one layer out of its row of queries, keys and values.
  void keep(std::int64_t sequence, std::int64_t layer, std::int64_t position, const T* qkv);

  // Attention of one token, which keep() has been told of, to all up to itself.
  void attend(std::int64_t sequence, std::int64_t layer, std::int64_t position, const T* qkv,
              float* scores, T* context);

 private:
  const TransformerShape shape_;
  std::vector<std::int64_t> capacities_, lengths_;
  std::vector<AlignedBuffer<T>> values_;  // of each sequence
};

}  // namespace tutti
