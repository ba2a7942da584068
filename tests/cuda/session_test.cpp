// Memory and updates as the jobs ask for them.
#include <cmath>

#include "kernels/core/device_error.h"
#include "kernels/optim/gradient_norm.h"
#include "kernels/optim/moving_average.h"
#include "tests/cuda/support.h"

namespace tutti {
namespace {

// An array on the device with these values.
std::unique_ptr<DeviceArray> array_of(const std::vector<float>& values) {
  auto array = test::session().memory().make_array(std::ssize(values));
  test::session().memory().copy(values, array->span());
  test::session().memory().synchronize();
  return array;
}

std::vector<float> values_of(DeviceArray& array) {
  std::vector<float> values(array.span().size());
  test::session().memory().copy(array.span(), values);
  test::session().memory().synchronize();
  return values;
}

TEST(Session, NamesItsDevices) {
  EXPECT_FALSE(test::backend().libraries().empty());
  for (const DeviceDescription& device : test::backend().devices()) {
    EXPECT_FALSE(device.name.empty());
    EXPECT_GT(device.memory_bytes, 0);
  }
}

TEST(Session, ArraysStartAtZeroAreAddedAndSwapped) {
  DeviceMemory& memory = test::session().memory();
  for (const std::int64_t size : {1, 7, 8, 2049, 20000}) {
    const auto x = test::random_values(1, size), y = test::random_values(2, size);
    const auto a = array_of(x), b = array_of(y), zero = memory.make_array(size);
    EXPECT_EQ(values_of(*zero), std::vector<float>(x.size(), 0.0f));
    memory.add(a->span(), b->span());
    std::vector<float> sum(y);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += x[i];
    EXPECT_EQ(values_of(*b), sum);
    memory.swap(a->span(), b->span());
    EXPECT_EQ(values_of(*b), x);
    EXPECT_EQ(values_of(*a), sum);
    memory.zero(a->span());
    EXPECT_EQ(values_of(*a), std::vector<float>(x.size(), 0.0f));
  }
}

TEST(Session, NoMoreMemoryThanThereIs) {
  try {
    (void)test::session().memory().make_array(std::int64_t(1) << 42);
    FAIL() << "there is no such memory";
  } catch (const DeviceError& e) {
    EXPECT_EQ(e.kind(), DeviceError::Kind::full);
    EXPECT_NE(std::string(e.what()).find("more are needed"), std::string::npos) << e.what();
  }
}

ArenaLayout some_layout() {
  ArenaLayout layout;
  layout.add("a", {100, 130}, true);
  layout.add("b", {70}, false);
  layout.add("c", {300, 100}, true);
  layout.add("d", {5}, false);
  return layout;
}

// Random values where there are parameters, zeros in the gaps.
std::vector<float> arena_of(const ArenaLayout& layout, std::uint64_t seed, bool positive = false) {
  std::vector<float> arena(static_cast<std::size_t>(layout.padded_size()));
  for (const Parameter& p : layout.parameters())
    for (std::int64_t i = p.offset; i < p.offset + p.size; ++i) {
      arena[i] = float(random_normal(seed, 0, std::uint64_t(i)));
      if (positive) arena[i] = std::abs(arena[i]);
    }
  return arena;
}

TEST(Session, UpdatesAsTheCpuDoes) {
  const ArenaLayout layout = some_layout();
  const std::vector<ParameterRule> rules{{false, 0.1f}, {false, 0}, {true, 0.1f}, {false, 0.02f}};
  const std::int64_t size = layout.padded_size();
  for (const std::int64_t begin : {std::int64_t(0), kArenaBlock}) {
    auto p = arena_of(layout, 1), m = arena_of(layout, 2), v = arena_of(layout, 3, true);
    const auto g = arena_of(layout, 4);
    const auto dp = array_of(p), dg = array_of(g), dm = array_of(m), dv = array_of(v);
    const auto slice = [&](auto values) { return values.subspan(std::size_t(begin)); };
    const AdamWOptions options{.learning_rate = 0.01f};
    adamw_update(layout, options, 3, 0.5f,
                 {begin, slice(std::span<float>(p)), slice(std::span<const float>(g)),
                  slice(std::span<float>(m)), slice(std::span<float>(v))},
                 rules);
    test::session().optimizer().adamw_update(
        layout, options, 3, 0.5f,
        {begin, slice(dp->span()), slice(std::span<const float>(dg->span())), slice(dm->span()),
         slice(dv->span())},
        rules);
    test::expect_near(values_of(*dp), p, 1e-7, 1e-6);
    test::expect_near(values_of(*dm), m, 1e-7, 1e-6);
    test::expect_near(values_of(*dv), v, 1e-7, 1e-6);

    std::vector<double> sums(std::size_t((size - begin) / kArenaBlock)), expected(sums);
    test::session().optimizer().clear_frozen(layout, rules, begin, slice(dg->span()));
    auto cleared = g;
    clear_frozen(layout, rules, begin, slice(std::span<float>(cleared)));
    EXPECT_EQ(values_of(*dg), cleared);
    test::session().optimizer().block_square_sums(slice(std::span<const float>(dg->span())), sums);
    block_square_sums(slice(std::span<const float>(cleared)), expected);
    test::expect_near(sums, expected, 1e-9, 1e-12);

    auto average = arena_of(layout, 5);
    const auto d_average = array_of(average);
    update_moving_average(0.9f, p, average);
    test::session().optimizer().update_moving_average(0.9f, dp->span(), d_average->span());
    test::expect_near(values_of(*d_average), average, 1e-6, 1e-6);
  }
}

}  // namespace
}  // namespace tutti
