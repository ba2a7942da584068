#include "kernels/ops/next_token.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tutti {
namespace {

std::int32_t most_probable(std::span<const float> logits) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < logits.size(); ++i)
    if (logits[i] > logits[best] || std::isnan(logits[best])) best = i;
  return static_cast<std::int32_t>(best);
}

}  // namespace

std::int32_t next_token(std::span<const float> logits, const SamplingOptions& options,
                        double chance) {
  if (options.temperature <= 0) return most_probable(logits);
  std::vector<std::int32_t> order;
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!std::isnan(logits[i])) order.push_back(static_cast<std::int32_t>(i));
  if (order.empty()) return 0;
  const auto more_probable = [&](std::int32_t a, std::int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  const bool all = options.top_k <= 0 || options.top_k >= std::ssize(order);
  const auto end = all ? order.end() : order.begin() + options.top_k;
  std::partial_sort(order.begin(), end, order.end(), more_probable);
  order.erase(end, order.end());

  std::vector<double> weights;
  double total = 0;
  for (const std::int32_t id : order) {
    weights.push_back(
        std::exp((double(logits[id]) - double(logits[order[0]])) / options.temperature));
    total += weights.back();
  }
  std::size_t kept = 0;
  double kept_weight = 0;
  while (kept < order.size() && (kept == 0 || kept_weight < options.top_p * total))
    kept_weight += weights[kept++];
  double left = chance * kept_weight;
  for (std::size_t i = 0; i < kept; ++i) {
    left -= weights[i];
    if (left < 0) return order[i];
  }
  return order[kept - 1];
}

}  // namespace tutti
