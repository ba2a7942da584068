#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/vectors.h"
#include "kernels/ops/causal_attention_cuda.h"
#include "kernels/ops/causal_attention_tiles_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kTile = kAttentionTile;

// What the kernels of one pass share. Exponentials and logarithms are to base 2.
template <class T>
struct Pass {
  const AttentionTile* tiles;
  const T *qkv, *out, *d_out;
  T *to, *d_qkv;
  float *log_sums, *deltas;
  std::int64_t qkv_stride, out_stride;
  int heads, kv_heads, size, window;
  float scale;  // of scores
  __device__ float log2_scale() const { return scale * 1.4426950408889634f; }
  __device__ int group() const { return heads / kv_heads; }
  // The first rows of a sequence's queries, keys and values of a head.
  __device__ std::int64_t query(const AttentionTile& tile, int head) const {
    return tile.first * qkv_stride + head * size;
  }
  __device__ std::int64_t key(const AttentionTile& tile, int kv_head) const {
    return tile.first * qkv_stride + (heads + kv_head) * size;
  }
  __device__ std::int64_t value(const AttentionTile& tile, int kv_head) const {
    return key(tile, kv_head) + kv_heads * size;
  }
  __device__ std::int64_t output(const AttentionTile& tile, int head) const {
    return tile.first * out_stride + head * size;
  }
  __device__ std::int64_t sum(const AttentionTile& tile, int row, int head) const {
    return std::int64_t(tile.first + row) * heads + head;
  }
  __device__ bool sees(int query_row, int key_row) const {
    return key_row <= query_row && (window == 0 || key_row > query_row - window);
  }
  // The first key that a query sees, and the row behind the last query that sees a key.
  __device__ int first_key(int query_row) const {
    return window == 0 ? 0 : max(0, query_row - window + 1);
  }
  __device__ int end_query(int key_row, int length) const {
    return window == 0 ? length : min(length, key_row + window);
  }
};

// ---- Forward, in bf16: a tile of queries of one head a block, 16 of them a warp. ----

template <int Size>
constexpr std::size_t forward_bytes() {
  return 5 * kTile * kTileStride<Size> * sizeof(bf16);
}

// Running maxima and sums of the two rows that a lane has a part of.
struct RowState {
  float top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
};

// The largest of a row, whose elements four neighbouring lanes have; and their sum.
__device__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
__device__ float quad_sum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

// Scores become weights that are still to be divided by their sum; what was summed before is
// brought to the new maximum.
template <int Size>
__device__ void soften(const Pass<bf16>& pass, int query_row, int key_row,
                       float (&scores)[kTile / 8][4], float (&context)[Size / 8][4],
                       RowState& state) {
  const int column = int(threadIdx.x) % 4 * 2;
  const float scale = pass.log2_scale();
  for (int half = 0; half < 2; ++half) {
    const int row = query_row + half * 8;
    float top = state.top[half];
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n)
#pragma unroll
      for (int i = half * 2; i < half * 2 + 2; ++i) {
        const bool seen = pass.sees(row, key_row + n * 8 + column + i % 2);
        scores[n][i] = seen ? scores[n][i] * scale : -INFINITY;
        top = fmaxf(top, scores[n][i]);
      }
    top = quad_max(top);
    const float base = top == -INFINITY ? 0.0f : top;  // a row that saw no key yet
    const float shrink = fast_exp2(state.top[half] - base);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n)
#pragma unroll
      for (int i = half * 2; i < half * 2 + 2; ++i) {
        scores[n][i] = fast_exp2(scores[n][i] - base);
        sum += scores[n][i];
      }
    state.sum[half] = state.sum[half] * shrink + sum;
    state.top[half] = top;
#pragma unroll
    for (int n = 0; n < Size / 8; ++n) {
      context[n][half * 2] *= shrink;
      context[n][half * 2 + 1] *= shrink;
    }
  }
}

template <int Size>
__global__ void __launch_bounds__(kAttentionThreads) forward_tiles(Pass<bf16> pass) {
  constexpr int kElements = kTile * kTileStride<Size>;
  bf16* queries = dynamic_shared<bf16>();
  bf16 *keys = queries + kElements, *values = keys + 2 * kElements;
  const AttentionTile tile = pass.tiles[blockIdx.x];
  const int head = int(blockIdx.y), kv_head = head / pass.group(), lane = int(threadIdx.x) % 32,
            warp_row = int(threadIdx.x) / 32 * kWarpRows;
  const int from = pass.first_key(tile.start) / kTile * kTile,
            tiles = int(ceil_div(min(tile.length, tile.start + kTile) - from, kTile));
  const auto load_keys = [&](int index) {
    const int first = from + index * kTile, place = index % 2 * kElements;
    load_tile<kTile, Size>(keys + place, pass.qkv + pass.key(tile, kv_head), pass.qkv_stride, first,
                           tile.length, pass.size);
    load_tile<kTile, Size>(values + place, pass.qkv + pass.value(tile, kv_head), pass.qkv_stride,
                           first, tile.length, pass.size);
  };
  load_tile<kTile, Size>(queries, pass.qkv + pass.query(tile, head), pass.qkv_stride, tile.start,
                         tile.length, pass.size);
  load_keys(0);
  commit_copies();

  float context[Size / 8][4] = {};
  RowState state;
  const int row = tile.start + warp_row + lane / 4;
  for (int index = 0; index < tiles; ++index) {
    if (index + 1 < tiles) load_keys(index + 1);
    commit_copies();
    wait_copies<1>();
    __syncthreads();
    float scores[kTile / 8][4] = {};
    multiply_transposed<Size>(scores, queries + warp_row * kTileStride<Size>,
                              keys + index % 2 * kElements);
    soften<Size>(pass, row, from + index * kTile, scores, context, state);
    multiply<Size>(context, scores, values + index % 2 * kElements);
    __syncthreads();
  }

  float share[2];
  for (int half = 0; half < 2; ++half) {
    const float sum = quad_sum(state.sum[half]);
    share[half] = 1.0f / sum;
    if (lane % 4 == 0 && row + half * 8 < tile.length)
      pass.log_sums[pass.sum(tile, row + half * 8, head)] = state.top[half] + log2f(sum);
  }
  store_rows<Size>(context, pass.to + pass.output(tile, head), pass.out_stride, row, tile.length,
                   pass.size, share[0], share[1]);
}

// ---- Backward. ----

// deltas = sums of out d_out over a head; a warp a row and head.
template <class T>
__global__ void __launch_bounds__(kAttentionThreads) find_deltas(Pass<T> pass, int rows) {
  const int row = int(blockIdx.x) * (kAttentionThreads / 32) + int(threadIdx.x) / 32,
            head = int(blockIdx.y);
  if (row >= rows) return;
  const std::int64_t at = row * pass.out_stride + head * pass.size;
  float sum = 0;
  for (int c = int(threadIdx.x) % 32; c < pass.size; c += 32)
    sum += load_one(pass.out + at + c) * load_one(pass.d_out + at + c);
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) pass.deltas[std::int64_t(row) * pass.heads + head] = sum;
}

template <int Size>
constexpr std::size_t query_gradient_bytes() {
  return 6 * kTile * kTileStride<Size> * sizeof(bf16);
}

// The gradient of a tile of queries: scores and d_scores against one tile of keys after another.
template <int Size>
__global__ void __launch_bounds__(kAttentionThreads) query_gradient(Pass<bf16> pass) {
  constexpr int kElements = kTile * kTileStride<Size>;
  bf16* queries = dynamic_shared<bf16>();
  bf16 *d_out = queries + kElements, *keys = d_out + kElements, *values = keys + 2 * kElements;
  const AttentionTile tile = pass.tiles[blockIdx.x];
  const int head = int(blockIdx.y), kv_head = head / pass.group(), lane = int(threadIdx.x) % 32,
            warp_row = int(threadIdx.x) / 32 * kWarpRows, column = lane % 4 * 2;
  const int from = pass.first_key(tile.start) / kTile * kTile,
            tiles = int(ceil_div(min(tile.length, tile.start + kTile) - from, kTile));
  const auto load_keys = [&](int index) {
    const int first = from + index * kTile, place = index % 2 * kElements;
    load_tile<kTile, Size>(keys + place, pass.qkv + pass.key(tile, kv_head), pass.qkv_stride, first,
                           tile.length, pass.size);
    load_tile<kTile, Size>(values + place, pass.qkv + pass.value(tile, kv_head), pass.qkv_stride,
                           first, tile.length, pass.size);
  };
  load_tile<kTile, Size>(queries, pass.qkv + pass.query(tile, head), pass.qkv_stride, tile.start,
                         tile.length, pass.size);
  load_tile<kTile, Size>(d_out, pass.d_out + pass.output(tile, head), pass.out_stride, tile.start,
                         tile.length, pass.size);
  load_keys(0);
  commit_copies();

  const int row = tile.start + warp_row + lane / 4;
  float log_sum[2], delta[2];
  for (int half = 0; half < 2; ++half) {
    const bool valid = row + half * 8 < tile.length;
    const std::int64_t at = pass.sum(tile, row + half * 8, head);
    log_sum[half] = valid ? pass.log_sums[at] : INFINITY;
    delta[half] = valid ? pass.deltas[at] : 0.0f;
  }
  float d_query[Size / 8][4] = {};
  for (int index = 0; index < tiles; ++index) {
    if (index + 1 < tiles) load_keys(index + 1);
    commit_copies();
    wait_copies<1>();
    __syncthreads();
    const int place = index % 2 * kElements, key_row = from + index * kTile;
    float scores[kTile / 8][4] = {}, d_weights[kTile / 8][4] = {};
    multiply_transposed<Size>(scores, queries + warp_row * kTileStride<Size>, keys + place);
    multiply_transposed<Size>(d_weights, d_out + warp_row * kTileStride<Size>, values + place);
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool seen = pass.sees(row + i / 2 * 8, key_row + n * 8 + column + i % 2);
        const float weight =
            seen ? fast_exp2(scores[n][i] * pass.log2_scale() - log_sum[i / 2]) : 0.0f;
        scores[n][i] = weight * (d_weights[n][i] - delta[i / 2]) * pass.scale;
      }
    multiply<Size>(d_query, scores, keys + place);
    __syncthreads();
  }
  store_rows<Size>(d_query, pass.d_qkv + pass.query(tile, head), pass.qkv_stride, row, tile.length,
                   pass.size, 1.0f, 1.0f);
}

// Queries at a time: a wide head's sums leave registers for no more.
template <int Size>
constexpr int kQueries = Size <= 64 ? 64 : 32;

template <int Size>
constexpr std::size_t key_gradient_bytes() {
  return (2 * kTile + 4 * kQueries<Size>)*kTileStride<Size> * sizeof(bf16) +
         4 * kQueries<Size> * sizeof(float);
}

// The gradients of a tile of keys and values: all queries that see them, head by head of their
// group. A warp has 16 keys; scores are [keys, queries].
template <int Size>
__global__ void __launch_bounds__(kAttentionThreads) key_gradient(Pass<bf16> pass) {
  constexpr int kRows = kQueries<Size>, kElements = kRows * kTileStride<Size>;
  bf16* keys = dynamic_shared<bf16>();
  bf16 *values = keys + kTile * kTileStride<Size>, *queries = values + kTile * kTileStride<Size>,
       *d_outs = queries + 2 * kElements;
  float *log_sums = reinterpret_cast<float*>(d_outs + 2 * kElements),
        *deltas = log_sums + 2 * kRows;
  const AttentionTile tile = pass.tiles[blockIdx.x];
  const int kv_head = int(blockIdx.y), lane = int(threadIdx.x) % 32,
            warp_row = int(threadIdx.x) / 32 * kWarpRows, column = lane % 4 * 2;
  const int from = tile.start / kRows * kRows,
            end = pass.end_query(min(tile.length, tile.start + kTile) - 1, tile.length),
            each = int(ceil_div(end - from, kRows)), steps = each * pass.group();
  const auto load_queries = [&](int step) {
    const int head = kv_head * pass.group() + step / each, first = from + step % each * kRows,
              place = step % 2;
    load_tile<kRows, Size>(queries + place * kElements, pass.qkv + pass.query(tile, head),
                           pass.qkv_stride, first, tile.length, pass.size);
    load_tile<kRows, Size>(d_outs + place * kElements, pass.d_out + pass.output(tile, head),
                           pass.out_stride, first, tile.length, pass.size);
    for (int i = int(threadIdx.x); i < kRows; i += kAttentionThreads) {
      const bool valid = first + i < tile.length;
      const std::int64_t at = pass.sum(tile, first + i, head);
      log_sums[place * kRows + i] = valid ? pass.log_sums[at] : INFINITY;
      deltas[place * kRows + i] = valid ? pass.deltas[at] : 0.0f;
    }
  };
  load_tile<kTile, Size>(keys, pass.qkv + pass.key(tile, kv_head), pass.qkv_stride, tile.start,
                         tile.length, pass.size);
  load_tile<kTile, Size>(values, pass.qkv + pass.value(tile, kv_head), pass.qkv_stride, tile.start,
                         tile.length, pass.size);
  load_queries(0);
  commit_copies();

  float d_key[Size / 8][4] = {}, d_value[Size / 8][4] = {};
  const int row = tile.start + warp_row + lane / 4;
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps) load_queries(step + 1);
    commit_copies();
    wait_copies<1>();
    __syncthreads();
    const int place = step % 2, query_row = from + step % each * kRows;
    const bf16 *query = queries + place * kElements, *d_out = d_outs + place * kElements;
    float weights[kRows / 8][4] = {}, d_scores[kRows / 8][4] = {};
    multiply_transposed<Size>(weights, keys + warp_row * kTileStride<Size>, query);
    multiply_transposed<Size>(d_scores, values + warp_row * kTileStride<Size>, d_out);
#pragma unroll
    for (int n = 0; n < kRows / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = n * 8 + column + i % 2;
        const bool seen = pass.sees(query_row + at, row + i / 2 * 8);
        const float weight =
            seen ? fast_exp2(weights[n][i] * pass.log2_scale() - log_sums[place * kRows + at])
                 : 0.0f;
        weights[n][i] = weight;
        d_scores[n][i] = weight * (d_scores[n][i] - deltas[place * kRows + at]) * pass.scale;
      }
    multiply<Size>(d_value, weights, d_out);
    multiply<Size>(d_key, d_scores, query);
    __syncthreads();
  }
  store_rows<Size>(d_key, pass.d_qkv + pass.key(tile, kv_head), pass.qkv_stride, row, tile.length,
                   pass.size, 1.0f, 1.0f);
  store_rows<Size>(d_value, pass.d_qkv + pass.value(tile, kv_head), pass.qkv_stride, row,
                   tile.length, pass.size, 1.0f, 1.0f);
}

// ---- In f32: a row of a tile a warp, four of a head's elements a lane. ----

constexpr int kLaneElements = 4, kWarps = kAttentionThreads / 32;

struct LaneRow {
  float at[kLaneElements];
};
__device__ LaneRow load_row(const float* from, int size) {
  LaneRow row;
  for (int i = 0; i < kLaneElements; ++i) {
    const int c = int(threadIdx.x) % 32 + 32 * i;
    row.at[i] = c < size ? from[c] : 0.0f;
  }
  return row;
}
__device__ void store_row(const LaneRow& row, float* to, int size, float factor) {
  for (int i = 0; i < kLaneElements; ++i) {
    const int c = int(threadIdx.x) % 32 + 32 * i;
    if (c < size) to[c] = row.at[i] * factor;
  }
}
__device__ float dot(const LaneRow& a, const LaneRow& b) {
  float sum = 0;
  for (int i = 0; i < kLaneElements; ++i) sum += a.at[i] * b.at[i];
  return warp_sum(sum);
}
__device__ void add(LaneRow& to, float factor, const LaneRow& x) {
  for (int i = 0; i < kLaneElements; ++i) to.at[i] += factor * x.at[i];
}

__global__ void __launch_bounds__(kAttentionThreads) forward_rows(Pass<float> pass) {
  const AttentionTile tile = pass.tiles[blockIdx.x];
  const int head = int(blockIdx.y), kv_head = head / pass.group();
  const float *keys = pass.qkv + pass.key(tile, kv_head),
              *values = pass.qkv + pass.value(tile, kv_head);
  const int end = min(tile.length, tile.start + kTile);
  for (int row = tile.start + int(threadIdx.x) / 32; row < end; row += kWarps) {
    const LaneRow query =
        load_row(pass.qkv + pass.query(tile, head) + row * pass.qkv_stride, pass.size);
    LaneRow context{};
    float top = -INFINITY, sum = 0;
    for (int c = pass.first_key(row); c <= row; ++c) {
      const float score =
          dot(query, load_row(keys + c * pass.qkv_stride, pass.size)) * pass.log2_scale();
      const float most = fmaxf(top, score), shrink = exp2f(top - most),
                  weight = exp2f(score - most);
      sum = sum * shrink + weight;
      for (float& x : context.at) x *= shrink;
      add(context, weight, load_row(values + c * pass.qkv_stride, pass.size));
      top = most;
    }
    store_row(context, pass.to + pass.output(tile, head) + row * pass.out_stride, pass.size,
              1.0f / sum);
    if (threadIdx.x % 32 == 0) pass.log_sums[pass.sum(tile, row, head)] = top + log2f(sum);
  }
}

// P and the gradient of the scores between a query and a key.
struct Weight {
  float weight, d_score;
};
__device__ Weight weight_of(const Pass<float>& pass, std::int64_t sum, const LaneRow& query,
                            const LaneRow& d_out, const LaneRow& key, const LaneRow& value) {
  const float weight = exp2f(dot(query, key) * pass.log2_scale() - pass.log_sums[sum]);
  return {weight, weight * (dot(d_out, value) - pass.deltas[sum]) * pass.scale};
}

__global__ void __launch_bounds__(kAttentionThreads) query_gradient_rows(Pass<float> pass) {
  const AttentionTile tile = pass.tiles[blockIdx.x];
  const int head = int(blockIdx.y), kv_head = head / pass.group(), size = pass.size;
  const float *keys = pass.qkv + pass.key(tile, kv_head),
              *values = pass.qkv + pass.value(tile, kv_head);
  const int end = min(tile.length, tile.start + kTile);
  for (int row = tile.start + int(threadIdx.x) / 32; row < end; row += kWarps) {
    const std::int64_t at = pass.query(tile, head) + row * pass.qkv_stride;
    const LaneRow query = load_row(pass.qkv + at, size),
                  d_out =
                      load_row(pass.d_out + pass.output(tile, head) + row * pass.out_stride, size);
    LaneRow d_query{};
    for (int c = pass.first_key(row); c <= row; ++c) {
      const LaneRow key = load_row(keys + c * pass.qkv_stride, size),
                    value = load_row(values + c * pass.qkv_stride, size);
      add(d_query, weight_of(pass, pass.sum(tile, row, head), query, d_out, key, value).d_score,
          key);
    }
    store_row(d_query, pass.d_qkv + at, size, 1.0f);
  }
}

__global__ void __launch_bounds__(kAttentionThreads) key_gradient_rows(Pass<float> pass) {
  const AttentionTile tile = pass.tiles[blockIdx.x];
  const int kv_head = int(blockIdx.y), size = pass.size;
  const int end = min(tile.length, tile.start + kTile);
  for (int row = tile.start + int(threadIdx.x) / 32; row < end; row += kWarps) {
    const std::int64_t key_at = pass.key(tile, kv_head) + row * pass.qkv_stride,
                       value_at = pass.value(tile, kv_head) + row * pass.qkv_stride;
    const LaneRow key = load_row(pass.qkv + key_at, size),
                  value = load_row(pass.qkv + value_at, size);
    LaneRow d_key{}, d_value{};
    for (int head = kv_head * pass.group(); head < (kv_head + 1) * pass.group(); ++head)
      for (int r = row; r < pass.end_query(row, tile.length); ++r) {
        const LaneRow query =
                          load_row(pass.qkv + pass.query(tile, head) + r * pass.qkv_stride, size),
                      d_out = load_row(pass.d_out + pass.output(tile, head) + r * pass.out_stride,
                                       size);
        const Weight w = weight_of(pass, pass.sum(tile, r, head), query, d_out, key, value);
        add(d_key, w.d_score, query);
        add(d_value, w.weight, d_out);
      }
    store_row(d_key, pass.d_qkv + key_at, size, 1.0f);
    store_row(d_value, pass.d_qkv + value_at, size, 1.0f);
  }
}

// ---- Launches. ----

template <class T>
Pass<T> pass_of(const AttentionShape& s, const AttentionTile* tiles, MatrixView<const T> qkv,
                std::int64_t out_stride, const float* log_sums) {
  Pass<T> pass{};
  pass.tiles = tiles;
  pass.qkv = qkv.data;
  pass.qkv_stride = qkv.stride;
  pass.out_stride = out_stride;
  pass.log_sums = const_cast<float*>(log_sums);  // the forward pass writes them
  pass.heads = int(s.heads);
  pass.kv_heads = int(s.kv_heads);
  pass.size = int(s.head_size);
  pass.window = int(s.window);
  pass.scale = 1.0f / std::sqrt(float(s.head_size));
  return pass;
}

using TileKernel = void (*)(Pass<bf16>);

void launch_tiles(TileKernel kernel, std::size_t shared, dim3 grid, const Pass<bf16>& pass,
                  cudaStream_t stream) {
  allow_shared(kernel, shared);
  launch({grid, dim3(kAttentionThreads), shared}, stream, kernel, pass);
}

template <int Size>
void launch_backward(const Pass<bf16>& pass, unsigned tiles, cudaStream_t stream) {
  launch_tiles(query_gradient<Size>, query_gradient_bytes<Size>(),
               dim3(tiles, unsigned(pass.heads)), pass, stream);
  launch_tiles(key_gradient<Size>, key_gradient_bytes<Size>(), dim3(tiles, unsigned(pass.kv_heads)),
               pass, stream);
}

}  // namespace

CausalAttention::CausalAttention(const AttentionShape& shape) : shape_(shape) {
  if (shape.head_size % 8 != 0 || shape.head_size < 8 || shape.head_size > 128)
    throw std::invalid_argument("attention: a GPU needs heads of a multiple of 8, up to 128");
}

// The last tiles of long sequences take longest, and come first.
void CausalAttention::prepare(std::span<const std::int32_t> offsets, cudaStream_t stream) {
  std::vector<AttentionTile> tiles;
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    const std::int32_t length = offsets[s + 1] - offsets[s];
    for (std::int32_t start = 0; start < length; start += kTile)
      tiles.push_back({offsets[s], length, start});
  }
  std::stable_sort(tiles.begin(), tiles.end(), [](const AttentionTile& a, const AttentionTile& b) {
    return a.start > b.start;
  });
  tile_count_ = std::ssize(tiles);
  tiles_.put(tiles, stream);
}

template <class T>
void CausalAttention::forward(MatrixView<const T> qkv, MatrixView<T> out, float* log_sums,
                              cudaStream_t stream) const {
  Pass<T> pass = pass_of(shape_, tiles_.data(), qkv, out.stride, log_sums);
  pass.to = out.data;
  const dim3 grid(unsigned(tile_count_), unsigned(shape_.heads));
  if constexpr (std::is_same_v<T, float>)
    launch({grid, dim3(kAttentionThreads)}, stream, forward_rows, pass);
  else if (shape_.head_size <= 64)
    launch_tiles(forward_tiles<64>, forward_bytes<64>(), grid, pass, stream);
  else
    launch_tiles(forward_tiles<128>, forward_bytes<128>(), grid, pass, stream);
}

template <class T>
void CausalAttention::backward(MatrixView<const T> qkv, MatrixView<const T> out,
                               const float* log_sums, MatrixView<const T> d_out, float* deltas,
                               MatrixView<T> d_qkv, cudaStream_t stream) const {
  Pass<T> pass = pass_of(shape_, tiles_.data(), qkv, out.stride, log_sums);
  pass.out = out.data;
  pass.d_out = d_out.data;
  pass.deltas = deltas;
  pass.d_qkv = d_qkv.data;
  const auto tiles = unsigned(tile_count_);
  launch(
      {dim3(unsigned(ceil_div(qkv.rows, kWarps)), unsigned(shape_.heads)), dim3(kAttentionThreads)},
      stream, find_deltas<T>, pass, static_cast<int>(qkv.rows));
  if constexpr (std::is_same_v<T, float>) {
    launch({dim3(tiles, unsigned(shape_.heads)), dim3(kAttentionThreads)}, stream,
           query_gradient_rows, pass);
    launch({dim3(tiles, unsigned(shape_.kv_heads)), dim3(kAttentionThreads)}, stream,
           key_gradient_rows, pass);
  } else if (shape_.head_size <= 64) {
    launch_backward<64>(pass, tiles, stream);
  } else {
    launch_backward<128>(pass, tiles, stream);
  }
}

template void CausalAttention::forward(MatrixView<const float>, MatrixView<float>, float*,
                                       cudaStream_t) const;
template void CausalAttention::forward(MatrixView<const bf16>, MatrixView<bf16>, float*,
                                       cudaStream_t) const;
template void CausalAttention::backward(MatrixView<const float>, MatrixView<const float>,
                                        const float*, MatrixView<const float>, float*,
                                        MatrixView<float>, cudaStream_t) const;
template void CausalAttention::backward(MatrixView<const bf16>, MatrixView<const bf16>,
                                        const float*, MatrixView<const bf16>, float*,
                                        MatrixView<bf16>, cudaStream_t) const;

}  // namespace tutti::cuda
