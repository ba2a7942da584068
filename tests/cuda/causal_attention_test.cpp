#include "kernels/ops/causal_attention.h"

#include <cmath>

#include "kernels/ops/causal_attention_cuda.h"
#include "tests/cuda/support.h"

namespace tutti {
namespace {

using cuda::AttentionShape;
using cuda::DeviceBuffer;
using test::on_device;
using test::on_host;
using Vector = std::vector<double>;

// One head of one sequence and its gradient, in double.
struct Head {
  Vector q, k, v, d_out;
  Vector d_q, d_k, d_v;
};

void find_gradient(Head& h, int length, int size, int window) {
  h.d_q.assign(h.q.size(), 0);
  const double scale = 1 / std::sqrt(double(size));
  const auto dot = [&](const Vector& a, int r, const Vector& b, int c) {
    double sum = 0;
    for (int i = 0; i < size; ++i) sum += a[r * size + i] * b[c * size + i];
    return sum;
  };
  for (int r = 0; r < length; ++r) {
    Vector p;
    const int begin = window > 0 ? std::max(0, r - window + 1) : 0;
    double sum = 0, delta = 0;
    for (int c = begin; c <= r; ++c)
      p.push_back(std::exp(dot(h.q, r, h.k, c) * scale)), sum += p.back();
    for (int c = begin; c <= r; ++c) delta += (p[c - begin] /= sum) * dot(h.d_out, r, h.v, c);
    for (int c = begin; c <= r; ++c) {
      const double d_score = p[c - begin] * (dot(h.d_out, r, h.v, c) - delta) * scale;
      for (int i = 0; i < size; ++i) {
        h.d_q[r * size + i] += d_score * h.k[c * size + i];
        h.d_k[c * size + i] += d_score * h.q[r * size + i];
        h.d_v[c * size + i] += p[c - begin] * h.d_out[r * size + i];
      }
    }
  }
}

template <class T>
void expect_attention(const AttentionShape& s, const std::vector<int>& lengths, double tolerance) {
  SCOPED_TRACE(testing::Message() << s.heads << "/" << s.kv_heads << " heads of " << s.head_size
                                  << ", window " << s.window);
  std::vector<std::int32_t> offsets{0};
  for (const int length : lengths) offsets.push_back(offsets.back() + length);
  const std::int64_t rows = offsets.back(), width = (s.heads + 2 * s.kv_heads) * s.head_size,
                     out_width = s.heads * s.head_size, size = s.head_size;
  const auto qkv = test::random_values<T>(1, rows * width),
             d_out = test::random_values<T>(2, rows * out_width);
  const auto d_qkv_in = on_device(qkv), dd_out = on_device(d_out);
  DeviceBuffer<T> out(rows * out_width), d_qkv(rows * width);
  DeviceBuffer<float> log_sums(rows * s.heads), deltas(rows * s.heads);
  cuda::CausalAttention attention(s);
  attention.prepare(offsets, test::stream());
  attention.forward<T>({d_qkv_in.data(), rows, width}, {out.data(), rows, out_width},
                       log_sums.data(), test::stream());
  attention.backward<T>({d_qkv_in.data(), rows, width}, {out.data(), rows, out_width},
                        log_sums.data(), {dd_out.data(), rows, out_width}, deltas.data(),
                        {d_qkv.data(), rows, width}, test::stream());

  Vector expected(rows * out_width), slopes(rows * width);
  for (std::size_t n = 0; n < lengths.size(); ++n)
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const int first = offsets[n], length = lengths[n];
      const std::int64_t kv = h / (s.heads / s.kv_heads), q_at = h * size,
                         k_at = (s.heads + kv) * size, v_at = k_at + s.kv_heads * size;
      const auto columns = [&](const auto& from, std::int64_t stride, std::int64_t at) {
        Vector part;
        for (int r = 0; r < length; ++r)
          for (std::int64_t i = 0; i < size; ++i)
            part.push_back(double(float(from[(first + r) * stride + at + i])));
        return part;
      };
      Head head{columns(qkv, width, q_at),
                columns(qkv, width, k_at),
                columns(qkv, width, v_at),
                columns(d_out, out_width, q_at),
                {},
                {},
                {}};
      head.d_k.assign(head.k.size(), 0);
      head.d_v.assign(head.v.size(), 0);
      Vector context(head.q.size());
      reference::causal_attention(head.q.data(), head.k.data(), head.v.data(), length, int(size),
                                  int(s.window), context.data());
      find_gradient(head, length, int(size), int(s.window));
      for (int r = 0; r < length; ++r)
        for (std::int64_t i = 0; i < size; ++i) {
          expected[(first + r) * out_width + q_at + i] = context[r * size + i];
          slopes[(first + r) * width + q_at + i] += head.d_q[r * size + i];
          slopes[(first + r) * width + k_at + i] += head.d_k[r * size + i];
          slopes[(first + r) * width + v_at + i] += head.d_v[r * size + i];
        }
    }
  test::expect_near(test::to_floats(on_host(out)), expected, tolerance, tolerance);
  test::expect_near(test::to_floats(on_host(d_qkv)), slopes, 2 * tolerance, 2 * tolerance);
}

TEST(CausalAttentionCuda, MatchesTheReferenceInFloat) {
  for (const std::int64_t window : {0, 7}) {
    expect_attention<float>({3, 3, 8, window}, {5, 70, 1}, 1e-4);
    expect_attention<float>({4, 2, 72, window}, {33, 2}, 1e-4);
  }
}

TEST(CausalAttentionCuda, MatchesTheReferenceInBf16) {
  for (const std::int64_t window : {0, 7, 70}) {
    expect_attention<bf16>({2, 2, 64, window}, {5, 150, 1, 64}, 2e-2);
    expect_attention<bf16>({4, 2, 16, window}, {65, 130}, 2e-2);
    expect_attention<bf16>({2, 1, 128, window}, {131, 3}, 2e-2);
    expect_attention<bf16>({2, 2, 80, window}, {70}, 2e-2);
  }
}

TEST(CausalAttentionCuda, RefusesHeadsItCannotTake) {
  for (const std::int64_t size : {4, 10, 136})
    EXPECT_THROW(cuda::CausalAttention({1, 1, size, 0}), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
