// What the train job's configuration says of parameters by name.
#pragma once

#include <string>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/optim/parameter_rules.h"

namespace tutti {

// Patterns of parameters' names, as the shell has them of files ("layer*.norm?.*").
struct ParameterPatterns {
  std::vector<std::string> freeze;  // "PATTERN"
  std::vector<std::string> decay;  // "PATTERN=WEIGHT DECAY"; of several that match, the last counts
};

// One rule a parameter, starting from default_rules(). Throws Error(usage), agreed, for a pattern
// that matches no parameter, a decay that is no number from 0 on, and where nothing is left to
// train.
std::vector<ParameterRule> rules_by_name(const ArenaLayout& layout, double weight_decay,
                                         const ParameterPatterns& patterns);

}  // namespace tutti
