// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019), over slices of an arena.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/arena.h"
#include "kernels/optim/parameter_rules.h"

namespace tutti {

struct AdamWOptions {
  float learning_rate = 1e-3f;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0.01f;  // of parameters whose layout entry says so, without rules
};

// The slice [begin, end) of the arenas: spans of end - begin elements each, the first of them
// standing at element `begin` of the arena.
struct AdamWSlice {
  std::int64_t begin = 0;
  std::span<float> parameters;
  std::span<const float> gradients;
  std::span<float> first_moment;
  std::span<float> second_moment;
};

// One update, number `step` (from 1 on), with gradients multiplied by `gradient_scale` first:
//
//   m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
//   p = p - rate (m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + epsilon) + decay p)
//
// `decay` is the parameter's own, of `rules` (one a parameter; none at all: default_rules() with
// the options' weight_decay). Of a frozen parameter nothing changes, moments included. Parallel
// over blocks. `begin` and the spans' size are multiples of kArenaBlock; what lies between
// parameters stays zero. Throws std::invalid_argument where that, `step` or the number of rules is
// not so.
void adamw_update(const ArenaLayout& layout, const AdamWOptions& options, std::int64_t step,
                  float gradient_scale, const AdamWSlice& slice,
                  std::span<const ParameterRule> rules = {});

namespace reference {

// One element, in Real (float or double).
template <class Real>
void adamw_element(const AdamWOptions& options, std::int64_t step, bool decay, Real gradient,
                   Real* parameter, Real* first_moment, Real* second_moment);

}  // namespace reference
}  // namespace tutti
