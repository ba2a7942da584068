#include "kernels/optim/parameter_rules.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/optim/adamw.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

ArenaLayout layout_of_three() {
  ArenaLayout layout;
  layout.add("first", {100, 170}, true);  // crosses a block's end
  layout.add("second", {100, 70}, true);
  layout.add("bias", {37}, false);
  return layout;
}

TEST(ParameterRules, TheDefaultIsTheLayouts) {
  const auto rules = default_rules(layout_of_three(), 0.25f);
  ASSERT_EQ(rules.size(), 3u);
  EXPECT_EQ(rules[1].weight_decay, 0.25f);
  EXPECT_EQ(rules[2].weight_decay, 0.0f);
  EXPECT_FALSE(rules[0].frozen);
}

TEST(ParameterRules, FrozenGradientsAreClearedInAnySlice) {
  const ArenaLayout layout = layout_of_three();
  auto rules = default_rules(layout, 0);
  rules[0].frozen = true;
  std::vector<float> whole(layout.padded_size(), 1.0f), parts = whole;
  clear_frozen(layout, rules, 0, whole);
  for (std::int64_t i = 0; i < std::ssize(whole); ++i)
    ASSERT_EQ(whole[i], i < 100 * 170 ? 0.0f : 1.0f) << i;
  for (std::int64_t begin = 0; begin < std::ssize(parts); begin += kArenaBlock)
    clear_frozen(layout, rules, begin, std::span(parts).subspan(begin, kArenaBlock));
  EXPECT_TRUE(test::same_bytes(parts, whole));
  rules.pop_back();
  EXPECT_THROW(clear_frozen(layout, rules, 0, whole), std::invalid_argument);
}

// Arenas after some updates with rules: parameters, first and second moments.
std::vector<std::vector<float>> updated(std::span<const ParameterRule> rules) {
  const ArenaLayout layout = layout_of_three();
  const std::int64_t size = layout.padded_size();
  std::vector<std::vector<float>> arenas{test::random_values(9, size), std::vector<float>(size),
                                         std::vector<float>(size)};
  for (int step = 1; step <= 3; ++step)
    adamw_update(layout, {.weight_decay = 0.25f}, step, 0.5f,
                 {0, arenas[0], test::random_values(step, size), arenas[1], arenas[2]}, rules);
  return arenas;
}

std::vector<float> part_of_arena(const std::vector<float>& arena, const char* name) {
  const std::span<const float> view = view_of(layout_of_three().find(name), arena);
  return {view.begin(), view.end()};
}

TEST(ParameterRules, AnUpdateFollowsThem) {
  const ArenaLayout layout = layout_of_three();
  const auto plain = updated({});
  auto rules = default_rules(layout, 0.25f);
  EXPECT_TRUE(test::same_bytes(updated(rules)[0], plain[0]));
  rules[0].frozen = true;
  rules[2].weight_decay = 0.5f;
  const auto ruled = updated(rules);
  EXPECT_TRUE(
      test::same_bytes(part_of_arena(ruled[0], "first"),
                       part_of_arena(test::random_values(9, layout.padded_size()), "first")));
  for (const std::size_t moment : {1u, 2u})
    for (const float value : part_of_arena(ruled[moment], "first")) ASSERT_EQ(value, 0.0f);
  EXPECT_TRUE(
      test::same_bytes(part_of_arena(ruled[0], "second"), part_of_arena(plain[0], "second")));
  EXPECT_FALSE(test::same_bytes(part_of_arena(ruled[0], "bias"), part_of_arena(plain[0], "bias")));
  rules.pop_back();
  EXPECT_THROW(updated(rules), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
