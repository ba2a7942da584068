#include "kernels/optim/parameter_rules.h"

#include <algorithm>
#include <stdexcept>

namespace tutti {

std::vector<ParameterRule> default_rules(const ArenaLayout& layout, float weight_decay) {
  std::vector<ParameterRule> rules;
  for (const Parameter& p : layout.parameters())
    rules.push_back({.weight_decay = p.decay ? weight_decay : 0.0f});
  return rules;
}

void clear_frozen(const ArenaLayout& layout, std::span<const ParameterRule> rules,
                  std::int64_t begin, std::span<float> gradients) {
  const auto parameters = layout.parameters();
  if (rules.size() != parameters.size())
    throw std::invalid_argument("optimizer: one rule a parameter is needed");
  const std::int64_t end = begin + std::ssize(gradients);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const Parameter& p = parameters[i];
    const std::int64_t from = std::max(begin, p.offset), to = std::min(end, p.offset + p.size);
    if (rules[i].frozen && from < to) std::fill_n(&gradients[from - begin], to - from, 0.0f);
  }
}

}  // namespace tutti
