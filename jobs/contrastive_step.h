// One optimizer update of contrastive training over all ranks, the same bytes however many there
// are.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "jobs/sharded_optimizer.h"
#include "jobs/train_task.h"
#include "kernels/model/encoder.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"
#include "runtime/data/pair_loader.h"
#include "runtime/telemetry/phases.h"

namespace tutti {

struct ContrastiveOptions {
  std::int64_t global_batch = 256;  // pairs
  std::int64_t micro_batch = 64;    // pairs; a leaf of the fixed-order sum
  float temperature = 0.05f;
};

// Large batches follow Gao et al., 2021 (GradCache): all micro-batches are embedded first, the loss
// is taken over the global batch, then each micro-batch runs once more with its own gradient, so
// that memory does not grow with the batch. Collective.
class ContrastiveTrainer {
 public:
  ContrastiveTrainer(Comm& comm, Encoder& encoder, ShardedOptimizer& optimizer,
                     const ContrastiveOptions& options, PhaseTimer& phases);

  // One update from this rank's micro-batches (one a leaf of the optimizer, each micro_batch
  // queries followed by as many passages). `step` counts from 0.
  StepResult step(std::span<const Sequences> micro_batches, std::int64_t step,
                  double learning_rate);

 private:
  std::int64_t leaves() const { return optimizer_.leaves(); }
  void embed_all(std::span<const Sequences> micro_batches);
  double losses_and_gradients();
  void backward_all(std::span<const Sequences> micro_batches);

  Comm& comm_;
  Encoder& encoder_;
  ShardedOptimizer& optimizer_;
  ContrastiveOptions options_;
  PhaseTimer& phases_;
  Range leaves_;                                            // of this rank
  std::vector<float> queries_, passages_;                   // embeddings of the global batch
  std::vector<float> query_gradients_, passage_gradients_;  // of this rank's pairs
};

}  // namespace tutti
