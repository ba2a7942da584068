// What is trained, as the training loop sees it: a model, its data, and one update.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "jobs/sharded_optimizer.h"
#include "kernels/core/arena.h"

namespace tutti {

struct StepResult {
  double loss = 0;           // mean over the global batch
  double gradient_norm = 0;  // before clipping
  std::int64_t tokens = 0;   // of the global batch
  bool applied = false;      // false where loss or gradient were not finite: nothing has changed
};

// Collective but for what returns a figure. The state that an update changes stands in the
// optimizer; all else follows from the configuration and the step, so that any step may follow any
// other.
class TrainTask {
 public:
  virtual ~TrainTask() = default;

  virtual const ArenaLayout& layout() const = 0;
  virtual ShardedOptimizer& optimizer() = 0;
  // Fills the optimizer's parameters at the start of a run.
  virtual void initialize() = 0;
  // To be called after parameters were written to from outside.
  virtual void parameters_changed() = 0;

  // The update of step `step`, counted from 0.
  virtual StepResult step(std::int64_t step, double learning_rate) = 0;
  // How good the model is on what is held out of training, as figures by name; null where the task
  // measures nothing.
  virtual nlohmann::json evaluate() { return {}; }
  // The samples of a step, by their rows in the dataset: for the record of a step that went wrong.
  virtual std::vector<std::int64_t> samples(std::int64_t step) const = 0;

  // Everything that the trajectory follows from, beside what the loop itself knows.
  virtual nlohmann::json identity() const = 0;
  // What a model file says of the model: "architecture" and "shape".
  virtual nlohmann::json model_metadata() const = 0;
  // Floating-point operations in products with weight matrices in a step of so many tokens.
  virtual double product_flops(std::int64_t tokens) const = 0;
  virtual DType compute() const = 0;
};

}  // namespace tutti
