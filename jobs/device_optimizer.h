// A ShardedOptimizer in a GPU's memory. Work goes on behind the caller; reduce() waits for it.
#pragma once

#include "jobs/sharded_optimizer.h"
#include "kernels/device/device_backend.h"
#include "runtime/comm/device_reduction.h"

namespace tutti {

class DeviceShardedOptimizer final : public ShardedOptimizer {
 public:
  DeviceShardedOptimizer(Comm& comm, DeviceSession& device, const ArenaLayout& layout,
                         std::int64_t leaves, const OptimizerOptions& options, PhaseTimer& phases);

  std::int64_t leaves() const override { return reduction_.leaves(); }
  Range my_leaves() const override { return reduction_.my_leaves(); }
  std::span<float> parameters() override { return parameters_->span(); }
  void fill_parameters(const std::function<void(std::span<float>)>& fill) override;
  std::span<const float> host_parameters() override;

  std::vector<ArraySlice> my_slices() override;
  void slices_restored() override;
  // A device's memory holds all parameters, always.
  void discard_parameters(std::span<const ParameterPlace>) override {}
  void make_whole() override {}

  std::span<float> next_leaf() override { return reduction_.next_leaf(); }
  FinalGradients on_final() override { return {}; }
  void push_leaf() override { reduction_.push_leaf(); }
  double reduce(double scale) override;
  void update(std::int64_t step, double learning_rate) override;

  void start_average() override;
  void swap_average() override;

 private:
  // An array of a checkpoint: this rank's slice on the device, and its copy in the host's memory.
  struct Saved {
    const char* name;
    std::span<float> device;
    std::unique_ptr<DeviceArray> host;
  };

  bool averages() const { return options_.average_decay > 0; }
  Range my_slice() const { return slices_[std::size_t(comm_.rank())]; }
  std::span<float> my_parameters() {
    return parameters_->span().subspan(std::size_t(my_slice().begin),
                                       std::size_t(my_slice().size()));
  }
  std::unique_ptr<DeviceArray> make_slice();
  std::span<float> my_part(DeviceArray& array) {
    return array.span().first(std::size_t(my_slice().size()));
  }
  void add_saved(const char* name, std::span<float> device);

  Comm& comm_;
  DeviceSession& device_;
  const ArenaLayout& layout_;
  OptimizerOptions options_;
  PhaseTimer& phases_;
  std::vector<Range> slices_;  // of the arena, one a rank
  std::unique_ptr<DeviceArray> parameters_, first_moment_, second_moment_;
  std::unique_ptr<DeviceArray> average_;  // where one is kept
  std::vector<Saved> saved_;              // once a checkpoint is made or read
  AlignedBuffer<float> host_parameters_;
  std::unique_ptr<DeviceTransport> transport_;  // between several ranks
  DeviceReduction reduction_;
  std::span<float> gradient_;  // this rank's slice of the sum
  double scale_ = 1, norm_ = 0;
};

}  // namespace tutti
