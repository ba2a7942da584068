#include "kernels/optim/adamw.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

ArenaLayout layout_of_two() {
  ArenaLayout layout;
  layout.add("weights", {100, 170}, true);  // crosses a block's end
  layout.add("bias", {37}, false);
  return layout;
}

// The arenas after `steps` updates: parameters, first and second moments, one behind the other.
std::vector<float> run(int steps, std::int64_t slices) {
  const ArenaLayout layout = layout_of_two();
  const std::int64_t size = layout.padded_size();
  std::vector<float> arenas(3 * size);
  for (const Parameter& p : layout.parameters()) {
    const auto start = test::random_values(9, p.size);
    std::copy(start.begin(), start.end(), arenas.begin() + p.offset);
  }
  const std::span<float> all(arenas);
  for (int step = 1; step <= steps; ++step) {
    const auto gradients = test::random_values(step, size);
    for (std::int64_t s = 0; s < slices; ++s) {
      const std::int64_t begin = layout.block_count() * s / slices * kArenaBlock;
      const std::int64_t end = layout.block_count() * (s + 1) / slices * kArenaBlock;
      adamw_update(
          layout, {}, step, 0.5f,
          {begin, all.subspan(begin, end - begin), std::span(gradients).subspan(begin, end - begin),
           all.subspan(size + begin, end - begin), all.subspan(2 * size + begin, end - begin)});
    }
  }
  return arenas;
}

TEST(AdamWReference, ByHand) {
  // After one step m / (1 - beta1) is g and v / (1 - beta2) is g^2: the step is rate * sign(g).
  double p = 1, m = 0, v = 0;
  const AdamWOptions options{.learning_rate = 0.1f, .weight_decay = 0.5f};
  reference::adamw_element<double>(options, 1, false, 4, &p, &m, &v);
  EXPECT_NEAR(p, 0.9, 1e-7);
  p = 1, m = 0, v = 0;
  reference::adamw_element<double>(options, 1, true, -4, &p, &m, &v);
  EXPECT_NEAR(p, 1 + 0.1 - 0.1 * 0.5, 1e-7);
}

TEST(AdamW, MatchesTheReference) {
  const ArenaLayout layout = layout_of_two();
  const std::int64_t size = layout.padded_size();
  const std::vector<float> arenas = run(3, 1);
  for (const Parameter& parameter : layout.parameters()) {
    const auto start = test::random_values(9, parameter.size);
    for (std::int64_t i = 0; i < parameter.size; ++i) {
      double p = start[i], m = 0, v = 0;
      for (int step = 1; step <= 3; ++step)
        reference::adamw_element<double>(
            {}, step, parameter.decay,
            0.5 * static_cast<float>(random_normal(step, 0, parameter.offset + i)), &p, &m, &v);
      const std::int64_t at = parameter.offset + i;
      ASSERT_NEAR(arenas[at], p, 1e-6);
      ASSERT_NEAR(arenas[size + at], m, 1e-6);
      ASSERT_NEAR(arenas[2 * size + at], v, 1e-6);
    }
  }
}

TEST(AdamW, GapsStayZero) {
  const ArenaLayout layout = layout_of_two();
  const std::vector<float> arenas = run(2, 1);
  for (std::int64_t i = layout.find("bias").offset + 37; i < layout.padded_size(); ++i)
    ASSERT_EQ(arenas[i], 0.0f);
}

TEST(AdamW, BytesDoNotDependOnSlicesOrThreads) {
  EXPECT_TRUE(test::same_bytes(run(2, 1), run(2, 2)));
  test::expect_same_bytes_for_any_threads([] { return run(2, 1); });
}

TEST(AdamW, RejectsMisuse) {
  const ArenaLayout layout = layout_of_two();
  std::vector<float> a(kArenaBlock), b(kArenaBlock - 64);
  EXPECT_THROW(adamw_update(layout, {}, 0, 1, {0, a, a, a, a}), std::invalid_argument);
  EXPECT_THROW(adamw_update(layout, {}, 1, 1, {64, a, a, a, a}), std::invalid_argument);
  EXPECT_THROW(adamw_update(layout, {}, 1, 1, {0, b, b, b, b}), std::invalid_argument);
  EXPECT_THROW(adamw_update(layout, {}, 1, 1, {0, a, a, a, b}), std::invalid_argument);
  EXPECT_THROW(adamw_update(layout, {}, 1, 1, {2 * kArenaBlock, a, a, a, a}),
               std::invalid_argument);
}

}  // namespace
}  // namespace tutti
