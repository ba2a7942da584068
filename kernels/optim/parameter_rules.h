// What an update does with each parameter of a layout.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/arena.h"

namespace tutti {

struct ParameterRule {
  bool frozen = false;     // neither an update nor decay reaches it
  float weight_decay = 0;  // otherwise
};

// One rule a parameter, in the layout's order: `weight_decay` where the layout says that it
// applies, none elsewhere.
std::vector<ParameterRule> default_rules(const ArenaLayout& layout, float weight_decay);

// Zeroes what belongs to frozen parameters in a slice of an arena that begins at element `begin`,
// so that it counts in no norm. Throws std::invalid_argument unless there is one rule a parameter.
void clear_frozen(const ArenaLayout& layout, std::span<const ParameterRule> rules,
                  std::int64_t begin, std::span<float> gradients);

}  // namespace tutti
