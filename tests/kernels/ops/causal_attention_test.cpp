#include "kernels/ops/causal_attention.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/core/parallel.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(CausalAttentionReference, ByHand) {
  // Equal keys: every row is the mean of the values up to it.
  const double q[3] = {1, -3, 2}, k[3] = {2, 2, 2}, v[3] = {10, 20, 60};
  double out[3];
  reference::causal_attention(q, k, v, 3, 1, 0, out);
  EXPECT_DOUBLE_EQ(out[0], 10);
  EXPECT_DOUBLE_EQ(out[1], 15);
  EXPECT_DOUBLE_EQ(out[2], 30);
  reference::causal_attention(q, k, v, 3, 1, 2, out);  // a window of two
  EXPECT_DOUBLE_EQ(out[1], 15);
  EXPECT_DOUBLE_EQ(out[2], 40);
}

constexpr std::int64_t kHeads = 4, kKvHeads = 2, kSize = 16;
constexpr std::int64_t kQkv = (kHeads + 2 * kKvHeads) * kSize, kOut = kHeads * kSize;
// Shorter than a block, just one, one and a bit, and several.
const std::vector<std::int32_t> kOffsets{0, 1, 6, 70, 135, 285};
constexpr std::int64_t kTokens = 285, kRows = kTokens + kAttentionStep;

CausalAttentionShape shape(std::int64_t window) {
  return {kHeads, kKvHeads, kSize, window, kQkv + 8, kOut + 4, kHeads + 1};
}

// Values that both types hold exactly, so that one expectation serves for both. What is no token is
// poison that is finite.
template <class T>
std::vector<T> values(std::uint64_t seed, std::int64_t stride) {
  std::vector<T> result;
  for (const bf16 value : random_values<bf16>(seed, kRows * stride))
    result.push_back(T(float(value)));
  return result;
}

// out and d_qkv, row by row without gaps.
struct Result {
  std::vector<float> out, d_qkv;
};

template <class T>
Result run(std::int64_t window) {
  const CausalAttentionShape s = shape(window);
  const std::vector<T> qkv = values<T>(1, s.qkv_stride), d_out = values<T>(2, s.out_stride);
  std::vector<T> out(kRows * s.out_stride), d_qkv(kRows * s.qkv_stride);
  std::vector<float> sums(kRows * s.sums_stride);
  CausalAttention<T> attention(s);
  const std::int64_t sequences = std::int64_t(kOffsets.size()) - 1;
  const auto each = [&](auto&& work) {
    attention.prepare(kOffsets, true);
    parallel_for_dynamic(sequences * kKvHeads, [&](std::int64_t i) {
      const std::int64_t first = kOffsets[i / kKvHeads];
      work(first, kOffsets[i / kKvHeads + 1] - first, i % kKvHeads);
    });
  };
  each([&](std::int64_t first, std::int64_t length, std::int64_t kv_head) {
    attention.forward(&qkv[first * s.qkv_stride], length, kv_head, &out[first * s.out_stride],
                      &sums[first * s.sums_stride]);
  });
  each([&](std::int64_t first, std::int64_t length, std::int64_t kv_head) {
    attention.backward(&qkv[first * s.qkv_stride], &out[first * s.out_stride],
                       &sums[first * s.sums_stride], &d_out[first * s.out_stride], length, kv_head,
                       &d_qkv[first * s.qkv_stride]);
  });
  Result result;
  for (std::int64_t r = 0; r < kTokens; ++r) {
    for (std::int64_t c = 0; c < kOut; ++c) result.out.push_back(float(out[r * s.out_stride + c]));
    for (std::int64_t c = 0; c < kQkv; ++c)
      result.d_qkv.push_back(float(d_qkv[r * s.qkv_stride + c]));
  }
  return result;
}

// The same by the reference; the gradient by finite differences for some elements of d_qkv.
class Expected {
 public:
  explicit Expected(std::int64_t window) : window_(int(window)) {
    const CausalAttentionShape s = shape(window);
    const auto wide = values<float>(1, s.qkv_stride), d = values<float>(2, s.out_stride);
    for (std::int64_t r = 0; r < kTokens; ++r) {
      for (std::int64_t c = 0; c < kQkv; ++c) qkv_.push_back(double(wide[r * s.qkv_stride + c]));
      for (std::int64_t c = 0; c < kOut; ++c) d_out_.push_back(double(d[r * s.out_stride + c]));
    }
  }

  std::vector<double> out() const {
    std::vector<double> all(kTokens * kOut);
    for (std::size_t s = 0; s + 1 < kOffsets.size(); ++s)
      for (std::int64_t head = 0; head < kHeads; ++head) one(qkv_, s, head, all);
    return all;
  }

  // d loss / d qkv[row, column], where loss = sum(out * d_out) over the row's sequence.
  double slope(std::int64_t row, std::int64_t column) {
    std::size_t s = 0;
    while (kOffsets[s + 1] <= row) ++s;
    double& element = qkv_[row * kQkv + column];
    const double kept = element, h = 1e-4;
    element = kept + h;
    const double above = loss(s);
    element = kept - h;
    const double below = loss(s);
    element = kept;
    return (above - below) / (2 * h);
  }

 private:
  void one(const std::vector<double>& qkv, std::size_t s, std::int64_t head,
           std::vector<double>& all) const {
    const std::int64_t first = kOffsets[s], length = kOffsets[s + 1] - first;
    const std::int64_t kv = head / (kHeads / kKvHeads);
    const auto part = [&](std::int64_t column) {
      std::vector<double> rows;
      for (std::int64_t r = first; r < first + length; ++r)
        for (std::int64_t c = 0; c < kSize; ++c) rows.push_back(qkv[r * kQkv + column * kSize + c]);
      return rows;
    };
    std::vector<double> out(length * kSize);
    reference::causal_attention(part(head).data(), part(kHeads + kv).data(),
                                part(kHeads + kKvHeads + kv).data(), int(length), kSize, window_,
                                out.data());
    for (std::int64_t r = 0; r < length; ++r)
      for (std::int64_t c = 0; c < kSize; ++c)
        all[(first + r) * kOut + head * kSize + c] = out[r * kSize + c];
  }
  double loss(std::size_t s) const {
    std::vector<double> all(kTokens * kOut);
    for (std::int64_t head = 0; head < kHeads; ++head) one(qkv_, s, head, all);
    double sum = 0;
    for (std::size_t i = 0; i < all.size(); ++i) sum += all[i] * d_out_[i];
    return sum;
  }

  int window_;
  std::vector<double> qkv_, d_out_;
};

template <class T>
void expect_like_the_reference(std::int64_t window, double tolerance) {
  const Result result = run<T>(window);
  Expected expected(window);
  test::expect_near(result.out, expected.out(), tolerance);
  for (std::uint64_t i = 0; i < 60; ++i) {
    const auto row = std::int64_t(random_u64(5, 0, i) % kTokens);
    const auto column = std::int64_t(random_u64(5, 1, i) % kQkv);
    const double slope = expected.slope(row, column);
    EXPECT_NEAR(double(result.d_qkv[row * kQkv + column]), slope, tolerance * (2 + std::abs(slope)))
        << row << ", " << column;
  }
}

TEST(CausalAttention, MatchesTheReference) {
  for (const std::int64_t window : {0, 1, 30, 64, 100}) {
    SCOPED_TRACE(window);
    expect_like_the_reference<float>(window, 1e-4);
    expect_like_the_reference<bf16>(window, 0.03);
  }
}

TEST(CausalAttention, SameBytesForAnyThreads) {
  test::expect_same_bytes_for_any_threads([] { return run<float>(0).d_qkv; });
  test::expect_same_bytes_for_any_threads([] { return run<bf16>(40).d_qkv; });
}

TEST(CausalAttention, RejectsImpossibleShapes) {
  EXPECT_THROW(CausalAttention<float>({4, 3, 16, 0, 1000, 1000, 4}), std::invalid_argument);
  EXPECT_THROW(CausalAttention<float>({4, 2, 16, 0, 100, 1000, 4}), std::invalid_argument);
  EXPECT_THROW(CausalAttention<float>({4, 2, 16, 0, 1000, 1000, 3}), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
