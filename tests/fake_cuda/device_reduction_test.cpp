// Gradients in the fake device's memory, which a fake NCCL carries between ranks.
#include "runtime/comm/device_reduction.h"

#include <gtest/gtest.h>

#include "kernels/device/device_backend.h"
#include "tests/runtime/comm/reduction_support.h"

extern "C" tutti::DeviceBackend* tutti_device_backend(const char* interface);

namespace tutti {
namespace {

using namespace testing;

class DeviceReductions : public ::testing::Test {
 protected:
  static DeviceSession& session() {
    static const std::unique_ptr<DeviceSession> instance =
        tutti_device_backend(kDeviceInterface)->open(0);
    return *instance;
  }
  // One for all tests: ranks connect together.
  static DeviceTransport* transport() {
    static const std::unique_ptr<DeviceTransport> instance = session().connect(
        world().broadcast_string(session().make_transport_id()), world().size(), world().rank());
    return instance.get();
  }
  // This rank's slice of the sum over leaves of step `step`.
  static std::vector<float> reduce(DeviceReduction& reduction, std::int64_t step) {
    for (std::int64_t leaf = reduction.my_leaves().begin; leaf < reduction.my_leaves().end;
         ++leaf) {
      const std::span<float> to = reduction.next_leaf();
      std::vector<float> values(std::size_t(kSize), 0.0f);
      fetch(to, values);  // in fast mode, what the leaves before left
      add_leaf(values, 0, kSize, step, leaf);
      session().memory().copy(values, to);
      session().memory().synchronize();
      reduction.push_leaf();
    }
    const std::span<float> sum = reduction.finish();
    std::vector<float> values(sum.size());
    fetch(sum, values);
    return values;
  }
  static void fetch(std::span<const float> from, std::span<float> to) {
    session().memory().copy(from, to);
    session().memory().synchronize();
  }
};

TEST_F(DeviceReductions, GiveEachRankTheSumOfTheTree) {
  for (const std::int64_t leaves : {1, 3, 8}) {
    DeviceReduction reduction(world(), session().memory(), transport(), kSize, leaves,
                              even_slices(), ReduceOrder::exact);
    const Range slice = even_slices()[std::size_t(world().rank())];
    for (std::int64_t step = 0; step < 2; ++step) {
      const std::vector<float> sum = reduce(reduction, step);
      ASSERT_EQ(std::ssize(sum), slice.size());
      for (std::int64_t i = 0; i < kSize; i += kStride) {
        if (!slice.contains(i)) continue;
        ASSERT_EQ(sum[std::size_t(i - slice.begin)], tree_value(step, leaves, i))
            << leaves << " leaves, element " << i;
      }
    }
  }
}

TEST_F(DeviceReductions, FastIsTheSameButForRounding) {
  const std::int64_t leaves = 3;
  DeviceReduction reduction(world(), session().memory(), transport(), kSize, leaves, even_slices(),
                            ReduceOrder::fast);
  const Range slice = even_slices()[std::size_t(world().rank())];
  for (std::int64_t step = 0; step < 2; ++step) {
    const std::vector<float> sum = reduce(reduction, step);
    for (std::int64_t i = 0; i < kSize; i += kStride) {
      if (!slice.contains(i)) continue;
      double exact = 0, size = 0;
      for (std::int64_t leaf = 0; leaf < leaves; ++leaf) {
        exact += double(leaf_value(step, leaf, i));
        size += std::fabs(double(leaf_value(step, leaf, i)));
      }
      ASSERT_NEAR(double(sum[std::size_t(i - slice.begin)]), exact, 1e-6 * size);
    }
  }
}

TEST_F(DeviceReductions, GatherTheSlices) {
  DeviceReduction reduction(world(), session().memory(), transport(), kSize, 1, even_slices(),
                            ReduceOrder::exact);
  const auto array = session().memory().make_array(kSize);
  std::vector<float> values(std::size_t(kSize), -1.0f);
  const Range slice = even_slices()[std::size_t(world().rank())];
  for (std::int64_t i = slice.begin; i < slice.end; ++i) values[std::size_t(i)] = float(i % 1000);
  session().memory().copy(values, array->span());
  reduction.all_gather(array->span());
  fetch(array->span(), values);
  for (std::int64_t i = 0; i < kSize; i += kStride)
    ASSERT_EQ(values[std::size_t(i)], float(i % 1000));
}

}  // namespace
}  // namespace tutti
