#include "kernels/ops/softmax.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(SoftmaxReference, ByHand) {
  const double scores[3] = {0, std::log(2.0), std::log(5.0)};
  double out[3];
  reference::softmax_row(scores, 3, 1.0, out);
  EXPECT_NEAR(out[0], 0.125, 1e-12);
  EXPECT_NEAR(out[1], 0.25, 1e-12);
  EXPECT_NEAR(out[2], 0.625, 1e-12);
}

TEST(SoftmaxReference, GradientMatchesFiniteDifferences) {
  constexpr int kCols = 6;
  const auto scores = test::to_doubles(random_values(1, kCols));
  const auto d_p = test::to_doubles(random_values(2, kCols));
  const auto loss = [&](const auto& at) {
    double out[kCols], sum = 0;
    reference::softmax_row(at.data(), kCols, 0.7, out);
    for (int i = 0; i < kCols; ++i) sum += out[i] * d_p[i];
    return sum;
  };
  std::vector<double> p(kCols), d_scores(kCols);
  reference::softmax_row(scores.data(), kCols, 0.7, p.data());
  reference::softmax_row_backward(p.data(), d_p.data(), kCols, 0.7, d_scores.data());
  test::expect_near(d_scores, test::finite_differences(scores, loss), 1e-8);
}

TEST(Softmax, MatchesTheReferenceAndMasks) {
  for (const auto& [valid, size] : {std::pair{1, 16}, {5, 16}, {16, 16}, {37, 48}}) {
    const auto scores = random_values(1, size * size, 4);
    std::vector<float> expected(scores.size()), out = scores;
    for (int r = 0; r < valid; ++r)
      reference::softmax_row(&scores[r * size], valid, 0.5f, &expected[r * size]);
    masked_softmax<float>({out.data(), size, size}, valid, 0.5f, {out.data(), size, size});
    test::expect_near(out, expected, 1e-7, 1e-5);
    auto scratch = scores;
    std::vector<bf16> narrow(scores.size(), bf16(7.0f));
    masked_softmax<bf16>({scratch.data(), size, size}, valid, 0.5f, {narrow.data(), size, size});
    test::expect_near(test::to_floats(narrow), expected, 1e-7, 0.005);
  }
}

TEST(Softmax, BackwardMatchesTheReference) {
  for (const auto& [valid, size] : {std::pair{1, 16}, {5, 16}, {37, 48}}) {
    auto p = random_values(1, size * size);
    masked_softmax<float>({p.data(), size, size}, valid, 1.0f, {p.data(), size, size});
    auto d_p = random_values(2, size * size);
    std::vector<float> expected(p.size());
    for (int r = 0; r < valid; ++r)
      reference::softmax_row_backward(&p[r * size], &d_p[r * size], valid, 0.5f,
                                      &expected[r * size]);
    masked_softmax_backward<float>({p.data(), size, size}, {d_p.data(), size, size}, valid, 0.5f,
                                   {d_p.data(), size, size});
    test::expect_near(d_p, expected, 1e-6);
  }
}

TEST(Softmax, LargeScoresAndNaN) {
  std::vector<float> scores{1e30f, -1e30f, 0, 0};
  masked_softmax<float>({scores.data(), 2, 2}, 2, 1.0f, {scores.data(), 2, 2});
  EXPECT_EQ(scores[0], 1.0f);
  EXPECT_LT(scores[1], 1e-30f);
  EXPECT_EQ(scores[2], 0.5f);
  scores = {0, std::numeric_limits<float>::quiet_NaN(), 0, 0};
  masked_softmax<float>({scores.data(), 2, 2}, 2, 1.0f, {scores.data(), 2, 2});
  EXPECT_TRUE(std::isnan(scores[0]));
  EXPECT_EQ(scores[2], 0.5f);
}

TEST(Softmax, RejectsMisuse) {
  std::vector<float> a(16);
  EXPECT_THROW(masked_softmax<float>({a.data(), 4, 4}, 5, 1.0f, {a.data(), 4, 4}),
               std::invalid_argument);
  EXPECT_THROW(masked_softmax<float>({a.data(), 4, 4}, 4, 1.0f, {a.data(), 4, 3}),
               std::invalid_argument);
}

}  // namespace
}  // namespace tutti
