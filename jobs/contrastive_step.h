// One optimizer update of contrastive training over all ranks, the same bytes however many there are.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/model/encoder.h"
#include "kernels/optim/adamw.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"
#include "runtime/comm/tree_sum.h"
#include "runtime/data/pair_loader.h"
#include "runtime/telemetry/phases.h"

namespace tutti {

struct ContrastiveOptions {
  std::int64_t global_batch = 256;  // pairs
  std::int64_t micro_batch = 64;    // pairs; a leaf of the fixed-order sum
  float temperature = 0.05f;
  AdamWOptions adamw;
  double clip_norm = 1.0;  // of the whole gradient; 0: no clipping
};

struct StepResult {
  double loss = 0;           // mean over the global batch
  double gradient_norm = 0;  // before clipping
  std::int64_t tokens = 0;   // of the global batch
  bool applied = false;      // false where loss or gradient were not finite: nothing has changed
};

// The state of training and its step. Parameters stand whole on every rank, moments in slices of whole arena blocks
// (ZeRO-1, Rajbhandari et al., 2020). Large batches follow Gao et al., 2021 (GradCache): all micro-batches are embedded
// first, the loss is taken over the global batch, then each micro-batch runs once more with its own gradient, so that
// memory does not grow with the batch. Collective.
class ContrastiveTrainer {
 public:
  ContrastiveTrainer(Comm& comm, Encoder& encoder, const ContrastiveOptions& options, PhaseTimer& phases);

  std::int64_t leaves() const { return options_.global_batch / options_.micro_batch; }
  Range my_leaves() const { return leaves_; }  // micro-batches of this rank
  Range my_slice() const { return slices_[std::size_t(comm_.rank())]; }

  std::span<float> parameters() { return parameters_.span(); }
  std::span<float> first_moment() { return first_moment_.span().first(std::size_t(my_slice().size())); }
  std::span<float> second_moment() { return second_moment_.span().first(std::size_t(my_slice().size())); }
  // To be called after parameters() were written to.
  void parameters_changed();

  // One update from this rank's micro-batches (my_leaves() of them, each micro_batch queries followed by as many
  // passages). `step` counts from 0.
  StepResult step(std::span<const Sequences> micro_batches, std::int64_t step, double learning_rate);

 private:
  void embed_all(std::span<const Sequences> micro_batches);
  double losses_and_gradients();
  void backward_all(std::span<const Sequences> micro_batches);
  double reduce();
  void update(std::int64_t step, double learning_rate, double gradient_scale);

  Comm& comm_;
  Encoder& encoder_;
  ContrastiveOptions options_;
  PhaseTimer& phases_;
  Range leaves_;
  std::vector<Range> slices_;  // of the arena, one a rank
  AlignedBuffer<float> parameters_, first_moment_, second_moment_, gradient_;
  TreeSum<float> gradient_sum_;
  std::vector<float> queries_, passages_;                      // embeddings of the global batch
  std::vector<float> query_gradients_, passage_gradients_;     // of this rank's pairs
};

}  // namespace tutti
