// Parameters, gradient and optimizer state over all ranks: what one update is, whatever is trained.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/model/transformer.h"
#include "kernels/model/transformer_layout.h"
#include "kernels/optim/adamw.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/gradient_reduction.h"
#include "runtime/comm/partition.h"
#include "runtime/telemetry/phases.h"

namespace tutti {

struct OptimizerOptions {
  AdamWOptions adamw;
  std::vector<ParameterRule> rules;  // one a parameter
  double clip_norm = 1.0;            // of the whole gradient; 0: no clipping
  double average_decay = 0;          // of the moving average of parameters; 0: there is none
  ReduceOrder order = ReduceOrder::exact;
};

// Parameters stand whole on every rank, but for what it has discarded, moments in slices of whole
// arena blocks (ZeRO-1, Rajbhandari et al., 2020). The gradient is a fixed-order sum over leaves,
// of which each rank has a contiguous range, so that neither it nor its norm depends on the number
// of ranks. Collective but for what returns a view. A moving average of the parameters, where one
// is kept, is sliced as the moments are.
class ShardedOptimizer {
 public:
  // `layout` outlives the optimizer. `leaves` are the pieces of the global batch.
  ShardedOptimizer(Comm& comm, const ArenaLayout& layout, std::int64_t leaves,
                   const OptimizerOptions& options, PhaseTimer& phases);

  std::int64_t leaves() const { return reduction_.leaves(); }
  Range my_leaves() const { return reduction_.my_leaves(); }
  std::span<float> parameters() { return parameters_.span(); }

  // This rank's slices of the arrays of a checkpoint. Where they were filled from one, the
  // parameters are whole on all ranks after gather_parameters().
  std::vector<ArraySlice> my_slices();
  void gather_parameters();
  // The array of them that a model is made of.
  static const char* saved_array(double average_decay) {
    return average_decay > 0 ? "average" : "parameters";
  }

  // Of the parameters at these places, each rank keeps those of its slice; the memory of the others
  // goes back to the system, and they are undefined until update() or make_whole(). The places may
  // differ between ranks.
  void discard_parameters(std::span<const ParameterPlace> places);
  // Gathers the parameters where some were discarded.
  void make_whole();

  // This rank's leaves, one after another: add each one's gradient to next_leaf(), then
  // push_leaf(). The backward pass that ends a leaf takes on_final(), so that the last leaf's
  // gradient travels behind it: from there until reduce(), this rank must not communicate.
  std::span<float> next_leaf() { return reduction_.next_leaf(); }
  FinalGradients on_final();
  void push_leaf() { reduction_.push_leaf(); }

  // Sums the leaves up and scatters the sum. Returns its norm without frozen parameters, times
  // `scale`, which is what the sum is to be multiplied by (one over the number of samples, where
  // leaves hold sums over samples).
  double reduce(double scale = 1);

  // AdamW on this rank's slice, with clipping by the norm that reduce() returned; parameters are
  // then whole again on all ranks. `step` counts from 0.
  void update(std::int64_t step, double learning_rate);

  // The moving average starts at what the parameters are now.
  void start_average();
  // Parameters and their average change places, on all ranks; a second call undoes the first.
  // Nothing happens where no average is kept.
  void swap_average();

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
