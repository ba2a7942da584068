#include "runtime/checkpoint/checkpoint_cost.h"

#include <algorithm>
#include <cmath>

namespace tutti {
namespace {

double seconds_between(CheckpointCost::Clock::time_point from,
                       CheckpointCost::Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

double best_checkpoint_interval(double cost, double mtbf) {
  return std::clamp(std::sqrt(2 * std::max(cost, 0.0) * std::max(mtbf, 0.0)), 10.0, 3600.0);
}

void CheckpointCost::begin_boundary(Clock::time_point now) {
  begin_ = now;
  if (!steps_) return;
  Steps& kind = writing_ ? beside_ : alone_;
  ++kind.count;
  kind.seconds += seconds_between(end_, now);
}

void CheckpointCost::end_boundary(bool writing, Clock::time_point now) {
  blocking_ += seconds_between(begin_, now);
  end_ = now;
  steps_ = true;
  writing_ = writing;
}

void CheckpointCost::add_checkpoint(double copy_seconds, std::int64_t bytes) {
  ++checkpoints_;
  copying_ += copy_seconds;
  bytes_ += bytes;
}

double CheckpointCost::slowdown_seconds() const {
  if (alone_.count == 0 || beside_.count == 0) return 0;
  const double alone = alone_.seconds / double(alone_.count);
  return std::max(0.0, beside_.seconds - double(beside_.count) * alone);
}

double CheckpointCost::each() const {
  if (checkpoints_ == 0) return 0;
  return (blocking_ + slowdown_seconds()) / double(checkpoints_);
}

}  // namespace tutti
