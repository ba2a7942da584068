// What checkpoints cost the step loop, and how far apart they should be.
#pragma once

#include <chrono>
#include <cstdint>

namespace tutti {

// The interval that loses least to checkpoints and failures together: sqrt(2 * cost * MTBF) (Young,
// "A first order approximation to the optimum checkpoint interval", 1974), within 10 s and 1 h.
// All in seconds.
double best_checkpoint_interval(double cost, double mtbf);

// Adds up, on one rank, the time for which the step loop stood still, and by how much longer steps
// took while a checkpoint was being written than the ones without. Local.
class CheckpointCost {
 public:
  using Clock = std::chrono::steady_clock;

  // The loop stands still from here ...
  void begin_boundary(Clock::time_point now = Clock::now());
  // ... to here. `writing`: whether the step that follows runs beside a write.
  void end_boundary(bool writing, Clock::time_point now = Clock::now());
  void add_checkpoint(double copy_seconds, std::int64_t bytes);

  std::int64_t checkpoints() const { return checkpoints_; }
  std::int64_t bytes() const { return bytes_; }          // of this rank, copied or written
  double blocking_seconds() const { return blocking_; }  // the copies included
  double copy_seconds() const { return copying_; }
  double slowdown_seconds() const;  // of the steps beside a write
  // Seconds a checkpoint; 0 before the first one.
  double each() const;

 private:
  struct Steps {
    std::int64_t count = 0;
    double seconds = 0;
  };

  Clock::time_point begin_, end_;
  bool steps_ = false, writing_ = false;
  Steps alone_, beside_;  // steps without a write, and beside one
  double blocking_ = 0, copying_ = 0;
  std::int64_t checkpoints_ = 0, bytes_ = 0;
};

}  // namespace tutti
