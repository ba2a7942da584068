#include "kernels/optim/gradient_norm.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

TEST(GradientNormReference, ByHand) {
  std::vector<float> gradients(2 * kArenaBlock);
  gradients[0] = 3;
  gradients[1] = 4;
  gradients[kArenaBlock] = 2;
  std::vector<double> sums(2);
  reference::block_square_sums(gradients, sums);
  EXPECT_EQ(sums, (std::vector<double>{25, 4}));
}

TEST(GradientNorm, MatchesTheReference) {
  const auto gradients = test::random_values(1, 3 * kArenaBlock);
  std::vector<double> sums(3), expected(3);
  block_square_sums(gradients, sums);
  reference::block_square_sums(gradients, expected);
  test::expect_near(sums, expected, 0, 1e-12);
  EXPECT_THROW(block_square_sums(gradients, std::span(sums).first(2)), std::invalid_argument);
}

TEST(GradientNorm, BytesDoNotDependOnThreads) {
  const auto gradients = test::random_values(1, 5 * kArenaBlock);
  test::expect_same_bytes_for_any_threads([&] {
    std::vector<double> sums(5);
    block_square_sums(gradients, sums);
    return sums;
  });
}

TEST(GradientNorm, ClipScale) {
  EXPECT_EQ(clip_scale(0.5, 1), 1.0f);
  EXPECT_EQ(clip_scale(4, 1), 0.25f);
  EXPECT_EQ(clip_scale(4, 0), 1.0f);
}

}  // namespace
}  // namespace tutti
