#include "kernels/ops/attention.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/core/parallel.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(AttentionReference, ByHand) {
  // Equal keys: every row is the mean of the values.
  const double q[2] = {1, -3}, k[2] = {2, 2}, v[2] = {10, 20};
  double out[2];
  reference::attention(q, k, v, 2, 1, out);
  EXPECT_DOUBLE_EQ(out[0], 15);
  EXPECT_DOUBLE_EQ(out[1], 15);
  // One token sees itself.
  reference::attention(q, k, v, 1, 1, out);
  EXPECT_DOUBLE_EQ(out[0], 10);
}

TEST(AttentionReference, GradientMatchesFiniteDifferences) {
  constexpr int kLength = 4, kSize = 3, kCount = kLength * kSize;
  const auto qkv = test::to_doubles(random_values(1, 3 * kCount));
  const auto d_out = test::to_doubles(random_values(2, kCount));
  const auto loss = [&](const auto& at) {
    double out[kCount], sum = 0;
    reference::attention(&at[0], &at[kCount], &at[2 * kCount], kLength, kSize, out);
    for (int i = 0; i < kCount; ++i) sum += out[i] * d_out[i];
    return sum;
  };
  std::vector<double> d(3 * kCount);
  reference::attention_backward(&qkv[0], &qkv[kCount], &qkv[2 * kCount], d_out.data(), kLength,
                                kSize, &d[0], &d[kCount], &d[2 * kCount]);
  test::expect_near(d, test::finite_differences(qkv, loss), 1e-7);
}

constexpr std::int64_t kHeads = 3, kSize = 20, kWidth = kHeads * kSize;
const std::vector<std::int32_t> kOffsets{0, 5, 6, 22, 59};
constexpr std::int64_t kTokens = 59, kRows = kTokens + kAttentionStep;
constexpr AttentionShape kShape{kHeads, kSize, 3 * kWidth + 8, kWidth + 4};

// out and d_qkv, row by row without gaps.
struct Result {
  std::vector<float> out, d_qkv;
};

// Values that both types hold exactly, so that one expectation serves for both.
template <class T>
std::vector<T> values(std::uint64_t seed, std::int64_t count) {
  std::vector<T> result;
  for (const bf16 value : random_values<bf16>(seed, count)) result.push_back(T(float(value)));
  return result;
}

template <class T>
Result run(ProductBackend backend) {
  const auto qkv = values<T>(1, kRows * kShape.qkv_stride);
  const auto d_out = values<T>(2, kRows * kShape.out_stride);
  std::vector<T> out(kRows * kShape.out_stride, T(9.0f)), d_qkv(qkv.size(), T(9.0f));
  Attention<T> attention(kShape, backend);
  attention.prepare(kOffsets, true);
  parallel_for_dynamic((kOffsets.size() - 1) * kHeads, [&](std::int64_t i) {
    const std::int64_t first = kOffsets[i / kHeads], length = kOffsets[i / kHeads + 1] - first;
    const T* rows = &qkv[first * kShape.qkv_stride];
    std::vector<T> p(Attention<T>::probability_size(length));
    attention.forward(rows, length, i % kHeads, p.data(), &out[first * kShape.out_stride]);
    attention.backward(rows, p.data(), &d_out[first * kShape.out_stride], length, i % kHeads,
                       &d_qkv[first * kShape.qkv_stride]);
  });
  EXPECT_EQ(float(out[kTokens * kShape.out_stride]), 9.0f);  // nothing written behind the end
  EXPECT_EQ(float(d_qkv[kTokens * kShape.qkv_stride]), 9.0f);
  Result result;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    for (std::int64_t c = 0; c < kWidth; ++c)
      result.out.push_back(float(out[t * kShape.out_stride + c]));
    for (std::int64_t c = 0; c < 3 * kWidth; ++c)
      result.d_qkv.push_back(float(d_qkv[t * kShape.qkv_stride + c]));
  }
  return result;
}

// The head's columns of one part (queries, keys, values) of a sequence.
std::vector<double> columns(const std::vector<float>& data, std::int64_t stride, std::int64_t first,
                            std::int64_t length, std::int64_t column) {
  std::vector<double> result;
  for (std::int64_t t = first; t < first + length; ++t)
    for (std::int64_t c = 0; c < kSize; ++c) result.push_back(data[t * stride + column + c]);
  return result;
}

Result expected() {
  const auto qkv = values<float>(1, kRows * kShape.qkv_stride);
  const auto d_out = values<float>(2, kRows * kShape.out_stride);
  Result result{std::vector<float>(kTokens * kWidth), std::vector<float>(kTokens * 3 * kWidth)};
  for (std::size_t s = 0; s + 1 < kOffsets.size(); ++s)
    for (std::int64_t head = 0; head < kHeads; ++head) {
      const std::int64_t first = kOffsets[s], length = kOffsets[s + 1] - first;
      std::vector<double> part[3], d_part[3];
      for (int i = 0; i < 3; ++i) {
        part[i] = columns(qkv, kShape.qkv_stride, first, length, i * kWidth + head * kSize);
        d_part[i].resize(part[i].size());
      }
      const auto d = columns(d_out, kShape.out_stride, first, length, head * kSize);
      std::vector<double> out(length * kSize);
      const int rows = static_cast<int>(length);
      reference::attention(part[0].data(), part[1].data(), part[2].data(), rows, kSize, out.data());
      reference::attention_backward(part[0].data(), part[1].data(), part[2].data(), d.data(), rows,
                                    kSize, d_part[0].data(), d_part[1].data(), d_part[2].data());
      for (std::int64_t t = 0; t < length; ++t)
        for (std::int64_t c = 0; c < kSize; ++c) {
          const std::int64_t at = t * kSize + c, column = head * kSize + c;
          result.out[(first + t) * kWidth + column] = static_cast<float>(out[at]);
          for (int i = 0; i < 3; ++i)
            result.d_qkv[(first + t) * 3 * kWidth + i * kWidth + column] =
                static_cast<float>(d_part[i][at]);
        }
    }
  return result;
}

TEST(Attention, MatchesTheReference) {
  const Result correct = expected();
  for (const auto backend : {ProductBackend::reference, ProductBackend::onednn,
                             ProductBackend::openblas, ProductBackend::automatic}) {
    const Result result = run<float>(backend);
    test::expect_near(result.out, correct.out, 1e-5);
    test::expect_near(result.d_qkv, correct.d_qkv, 1e-5, 1e-5);
  }
}

TEST(Attention, BFloat16MatchesTheReference) {
  const Result correct = expected();
  for (const auto backend : {ProductBackend::onednn, ProductBackend::openblas}) {
    const Result result = run<bf16>(backend);
    test::expect_near(result.out, correct.out, 0.02, 0.01);
    test::expect_near(result.d_qkv, correct.d_qkv, 0.05, 0.03);
  }
}

TEST(Attention, BytesDoNotDependOnThreads) {
  test::expect_same_bytes_for_any_threads([] { return run<float>(ProductBackend::automatic).out; });
  test::expect_same_bytes_for_any_threads(
      [] { return run<float>(ProductBackend::automatic).d_qkv; });
}

TEST(Attention, RejectsMisuse) {
  EXPECT_THROW(Attention<float>({2, 4, 23, 8}), std::invalid_argument);
  EXPECT_THROW(Attention<float>({0, 4, 24, 8}), std::invalid_argument);
  Attention<float> attention(kShape);
  const std::int32_t empty[] = {0, 3, 3};
  EXPECT_THROW(attention.prepare(empty, false), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
