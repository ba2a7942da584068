#include "jobs/loss_watch.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tutti {
namespace {

constexpr double kNormalDeviation = 1.4826;  // over the median distance to the median
constexpr double kLeastDeviation = 0.01;     // as a share of the median

// The upper one of an even number of values.
double median_of(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::optional<double> LossWatch::limit() const {
  if (window_ == 0 || std::ssize(losses_) < window_) return std::nullopt;
  const double median = median_of({losses_.begin(), losses_.end()});
  std::vector<double> distances(losses_.size());
  std::transform(losses_.begin(), losses_.end(), distances.begin(),
                 [&](double loss) { return std::abs(loss - median); });
  return median + deviations_ * std::max(kNormalDeviation * median_of(std::move(distances)),
                                         kLeastDeviation * std::abs(median));
}

std::optional<double> LossWatch::limit_exceeded(double loss) {
  const std::optional<double> limit = this->limit();
  losses_.push_back(loss);
  while (std::ssize(losses_) > window_) losses_.pop_front();
  if (!limit || loss <= *limit) return std::nullopt;
  ++spikes_;
  return limit;
}

void LossWatch::restore(const nlohmann::json& state) {
  losses_ = state.at("losses").get<std::deque<double>>();
  while (std::ssize(losses_) > window_) losses_.pop_front();
  spikes_ = state.at("spikes");
}

}  // namespace tutti
