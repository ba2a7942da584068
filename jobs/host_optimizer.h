// A ShardedOptimizer in the host's memory.
#pragma once

#include "jobs/sharded_optimizer.h"

namespace tutti {

class HostOptimizer final : public ShardedOptimizer {
 public:
  HostOptimizer(Comm& comm, const ArenaLayout& layout, std::int64_t leaves,
                const OptimizerOptions& options, PhaseTimer& phases);

  std::int64_t leaves() const override { return reduction_.leaves(); }
  Range my_leaves() const override { return reduction_.my_leaves(); }
  std::span<float> parameters() override { return parameters_.span(); }
  void fill_parameters(const std::function<void(std::span<float>)>& fill) override {
    fill(parameters_.span());
  }
  std::span<const float> host_parameters() override { return parameters_.span(); }

  std::vector<ArraySlice> my_slices() override;
  void slices_restored() override { gather_parameters(); }
  void discard_parameters(std::span<const ParameterPlace> places) override;
  void make_whole() override;

  std::span<float> next_leaf() override { return reduction_.next_leaf(); }
  FinalGradients on_final() override;
  void push_leaf() override { reduction_.push_leaf(); }
  double reduce(double scale) override;
  void update(std::int64_t step, double learning_rate) override;

  void start_average() override;
  void swap_average() override;

 private:
  bool averages() const { return options_.average_decay > 0; }
  std::span<float> my_parameters() {
    return parameters_.span().subspan(std::size_t(my_slice().begin),
                                      std::size_t(my_slice().size()));
  }
  Range my_slice() const { return slices_[std::size_t(comm_.rank())]; }
  std::span<float> my_part(AlignedBuffer<float>& array) {
    return array.span().first(std::size_t(my_slice().size()));
  }
  void gather_parameters();

  Comm& comm_;
  const ArenaLayout& layout_;
  OptimizerOptions options_;
  PhaseTimer& phases_;
  std::vector<Range> slices_;  // of the arena, one a rank
  AlignedBuffer<float> parameters_, first_moment_, second_moment_;
  AlignedBuffer<float> average_;  // where one is kept
  GradientReduction reduction_;
  std::span<float> gradient_;  // this rank's slice of the sum
  double scale_ = 1, norm_ = 0;
  bool whole_ = true;  // the parameters, on all ranks
};

}  // namespace tutti
