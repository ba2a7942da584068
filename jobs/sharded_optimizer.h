// Parameters, gradient and optimizer state over all ranks: what one update is, whatever is trained.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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

class DeviceSession;

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
//
// All of it stands in the host's memory or in a device's: parameters() and next_leaf() are there.
class ShardedOptimizer {
 public:
  virtual ~ShardedOptimizer() = default;

  virtual std::int64_t leaves() const = 0;
  virtual Range my_leaves() const = 0;
  virtual std::span<float> parameters() = 0;

  // Hands all parameters to `fill`, as host memory, which fills them on every rank alike. Local.
  virtual void fill_parameters(const std::function<void(std::span<float>)>& fill) = 0;
  // All of them in the host's memory, as they are now. Local.
  virtual std::span<const float> host_parameters() = 0;

  // This rank's slices of the arrays of a checkpoint, as they are now, in the host's memory. Where
  // they were filled from one, slices_restored() makes them count and the parameters whole on all
  // ranks.
  virtual std::vector<ArraySlice> my_slices() = 0;
  virtual void slices_restored() = 0;
  // The array of them that a model is made of.
  static const char* saved_array(double average_decay) {
    return average_decay > 0 ? "average" : "parameters";
  }

  // Of the parameters at these places, each rank keeps those of its slice; the memory of the others
  // goes back to the system, and they are undefined until update() or make_whole(). The places may
  // differ between ranks.
  virtual void discard_parameters(std::span<const ParameterPlace> places) = 0;
  // Gathers the parameters where some were discarded.
  virtual void make_whole() = 0;

  // This rank's leaves, one after another: add each one's gradient to next_leaf(), then
  // push_leaf(). The backward pass that ends a leaf takes on_final(), so that the last leaf's
  // gradient travels behind it: from there until reduce(), this rank must not communicate.
  virtual std::span<float> next_leaf() = 0;
  virtual FinalGradients on_final() = 0;
  virtual void push_leaf() = 0;

  // Sums the leaves up and scatters the sum. Returns its norm without frozen parameters, times
  // `scale`, which is what the sum is to be multiplied by (one over the number of samples, where
  // leaves hold sums over samples).
  virtual double reduce(double scale = 1) = 0;

  // AdamW on this rank's slice, with clipping by the norm that reduce() returned; parameters are
  // then whole again on all ranks. `step` counts from 0.
  virtual void update(std::int64_t step, double learning_rate) = 0;

  // The moving average starts at what the parameters are now.
  virtual void start_average() = 0;
  // Parameters and their average change places, on all ranks; a second call undoes the first.
  // Nothing happens where no average is kept.
  virtual void swap_average() = 0;
};

// `layout` outlives the optimizer, as does `device`, in whose memory it stands; null: the host's.
// `leaves` are the pieces of the global batch. Collective.
std::unique_ptr<ShardedOptimizer> make_sharded_optimizer(Comm& comm, const ArenaLayout& layout,
                                                         std::int64_t leaves,
                                                         const OptimizerOptions& options,
                                                         PhaseTimer& phases,
                                                         DeviceSession* device = nullptr);

// Whole arena blocks for every rank, so that sums over blocks do not depend on the number of ranks.
std::vector<Range> slices_of(const ArenaLayout& layout, int ranks);

}  // namespace tutti
