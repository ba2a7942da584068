// Tells losses that stand out from those before them.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include <nlohmann/json.hpp>

namespace tutti {

// A loss stands out where it lies more than `deviations` above the median of the last `window`
// losses. A deviation is that of most of them: 1.4826 times the median distance to the median,
// which is the standard deviation of a normal distribution and does not follow single losses; and
// it is at least a hundredth of the median. Nothing stands out before there are `window` losses,
// nor where `window` is 0. Local.
class LossWatch {
 public:
  LossWatch(std::int64_t window, double deviations) : window_(window), deviations_(deviations) {}

  // The limit that a finite loss exceeds, where it stands out. From now on it is among the last
  // losses.
  std::optional<double> limit_exceeded(double loss);
  std::int64_t spikes() const { return spikes_; }  // losses that stood out so far

  // What all the answers to come follow from, for a checkpoint.
  nlohmann::json state() const { return {{"losses", losses_}, {"spikes", spikes_}}; }
  void restore(const nlohmann::json& state);

 private:
  std::optional<double> limit() const;

  std::int64_t window_;
  double deviations_;
  std::deque<double> losses_;
  std::int64_t spikes_ = 0;
};

}  // namespace tutti
