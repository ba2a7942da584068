#include "kernels/model/decoder_cache.h"

#include <algorithm>

#include "kernels/ops/cached_attention.h"

namespace tutti {

template <class T>
DecoderCache<T>::DecoderCache(const TransformerShape& shape,
                              std::span<const std::int64_t> capacities)
    : shape_(shape),
      capacities_(capacities.begin(), capacities.end()),
      lengths_(capacities_.size()) {
  for (const std::int64_t capacity : capacities_)
    values_.emplace_back(2 * shape.layers * shape.kv_heads * shape.head_size * capacity);
}

template <class T>
void DecoderCache<T>::keep(std::int64_t sequence, std::int64_t layer, std::int64_t position,
                           const T* qkv) {
  const std::int64_t size = shape_.head_size;
  for (std::int64_t head = 0; head < shape_.kv_heads; ++head) {
    const T* key = qkv + (shape_.heads + head) * size;
    std::copy_n(key, size, keys(sequence, layer, head) + position * size);
    std::copy_n(key + shape_.kv_heads * size, size,
                values(sequence, layer, head) + position * size);
  }
}

template <class T>
void DecoderCache<T>::attend(std::int64_t sequence, std::int64_t layer, std::int64_t position,
                             const T* qkv, float* scores, T* context) {
  const std::int64_t size = shape_.head_size, group = shape_.heads / shape_.kv_heads;
  const std::int64_t first =
      shape_.window > 0 ? std::max<std::int64_t>(0, position - shape_.window + 1) : 0;
  for (std::int64_t head = 0; head < shape_.heads; ++head)
    cached_attention(qkv + head * size, keys(sequence, layer, head / group) + first * size,
                     values(sequence, layer, head / group) + first * size, position + 1 - first,
                     size, scores, context + head * size);
}

template class DecoderCache<float>;
template class DecoderCache<bf16>;

}  // namespace tutti
