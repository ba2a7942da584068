// A checkpoint folder with two generations, for tests that damage it or the way to it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "tests/support/shared_folder.h"

namespace tutti::testing {

// Two arrays, which all ranks share, whose contents follow from the step.
class CheckpointCase {
 public:
  // `size`: elements of the larger array.
  explicit CheckpointCase(std::int64_t size) : size_(size) {}

  std::filesystem::path folder() const { return shared_.path() / "checkpoints"; }
  std::filesystem::path other_folder() const { return shared_.path() / "copy"; }

  void save(Checkpointer& checkpoints, std::int64_t step) const {
    std::vector<float> large = large_at(step, part(size_));
    std::vector<std::int64_t> small = small_at(step, part(kSmall));
    checkpoints.save({{slice_of("large", size_, part(size_), std::span(large)),
                       slice_of("small", kSmall, part(kSmall), std::span(small))},
                      {{"step", step}},
                      identity_});
  }
  void save_two() const {
    Checkpointer checkpoints(world(), folder(), {});
    save(checkpoints, 1);
    save(checkpoints, 2);
  }

  // The step of what a new start finds in `folder`; 0: nothing; -1: not what was saved at that
  // step.
  std::int64_t restored_step(const std::filesystem::path& folder) const {
    Checkpointer checkpoints(world(), folder, {});
    std::vector<float> large(std::size_t(size_), -1.f);
    std::vector<std::int64_t> small(kSmall, -1);
    const auto state = checkpoints.restore(
        identity_, std::vector{slice_of("large", size_, {0, size_}, std::span(large)),
                               slice_of("small", kSmall, {0, kSmall}, std::span(small))});
    if (!state) return 0;
    const std::int64_t step = state->at("step");
    const bool right = large == large_at(step, {0, size_}) && small == small_at(step, {0, kSmall});
    return world().all_reduce_min(right ? step : -1);
  }

  // Makes `to` a copy of the folder as it was saved.
  void copy_folder(const std::filesystem::path& to) const {
    if (world().is_root()) {
      std::filesystem::remove_all(to);
      std::filesystem::copy(folder(), to, std::filesystem::copy_options::recursive);
    }
    world().barrier();
  }

  static constexpr std::int64_t kSmall = 100;

 private:
  static Range part(std::int64_t size) { return part_of(size, world().size(), world().rank()); }
  static std::vector<float> large_at(std::int64_t step, Range range) {
    std::vector<float> values;
    for (std::int64_t i = range.begin; i < range.end; ++i)
      values.push_back(float(i % 4099) + 5000 * float(step));
    return values;
  }
  static std::vector<std::int64_t> small_at(std::int64_t step, Range range) {
    std::vector<std::int64_t> values;
    for (std::int64_t i = range.begin; i < range.end; ++i) values.push_back(i * 1000 + step);
    return values;
  }

  SharedFolder shared_{"checkpoint_case"};
  std::int64_t size_;
  nlohmann::json identity_ = {{"seed", 7}};
};

}  // namespace tutti::testing
