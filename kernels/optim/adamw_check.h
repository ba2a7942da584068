// What an update asks of its arguments, wherever it runs. Private to the variants of adamw.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>

#include "kernels/core/arena.h"
#include "kernels/optim/adamw.h"
#include "kernels/optim/parameter_rules.h"

namespace tutti {

// Throws std::invalid_argument as adamw_update() does.
inline void check_adamw(const ArenaLayout& layout, std::int64_t step, const AdamWSlice& s,
                        std::span<const ParameterRule> rules) {
  const std::size_t size = s.parameters.size();
  if (step < 1) throw std::invalid_argument("adamw: steps count from 1");
  if (s.gradients.size() != size || s.first_moment.size() != size || s.second_moment.size() != size)
    throw std::invalid_argument("adamw: spans differ in size");
  if (s.begin < 0 || s.begin % kArenaBlock != 0 || size % kArenaBlock != 0 ||
      s.begin + static_cast<std::int64_t>(size) > layout.padded_size())
    throw std::invalid_argument("adamw: the slice is not made of the arena's blocks");
  if (rules.size() != layout.parameters().size())
    throw std::invalid_argument("adamw: one rule a parameter is needed");
}

}  // namespace tutti
