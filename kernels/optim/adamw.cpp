#include "kernels/optim/adamw.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/core/subnormals.h"
#include "kernels/optim/adamw_check.h"
#include "kernels/optim/adamw_cpu.h"

namespace tutti {
namespace {

cpu::AdamWFactors factors_of(const AdamWOptions& o, std::int64_t step, float gradient_scale) {
  const double correction1 = 1.0 - std::pow(static_cast<double>(o.beta1), step);
  const double correction2 = 1.0 - std::pow(static_cast<double>(o.beta2), step);
  return {.beta1 = o.beta1,
          .beta2 = o.beta2,
          .epsilon = o.epsilon,
          .step_size = static_cast<float>(o.learning_rate / correction1),
          .inverse_v = static_cast<float>(1.0 / correction2),
          .decay = 0,
          .gradient_scale = gradient_scale};
}

}  // namespace

void adamw_update(const ArenaLayout& layout, const AdamWOptions& options, std::int64_t step,
                  float gradient_scale, const AdamWSlice& slice,
                  std::span<const ParameterRule> given_rules) {
  std::vector<ParameterRule> defaults;
  if (given_rules.empty()) defaults = default_rules(layout, options.weight_decay);
  const std::span<const ParameterRule> rules = given_rules.empty() ? defaults : given_rules;
  check_adamw(layout, step, slice, rules);
  const cpu::AdamWFactors undecayed = factors_of(options, step, gradient_scale);
  const auto parameters = layout.parameters();
  const std::int64_t blocks = static_cast<std::int64_t>(slice.parameters.size()) / kArenaBlock;
  parallel_for(blocks, [&](std::int64_t block) {
    const FlushSubnormals moments_decay_into_them;
    const std::int64_t begin = slice.begin + block * kArenaBlock, end = begin + kArenaBlock;
    auto parameter =
        std::partition_point(parameters.begin(), parameters.end(),
                             [&](const Parameter& p) { return p.offset + p.size <= begin; });
    for (; parameter != parameters.end() && parameter->offset < end; ++parameter) {
      const ParameterRule& rule = rules[parameter - parameters.begin()];
      if (rule.frozen) continue;
      const std::int64_t from = std::max(begin, parameter->offset);
      const std::int64_t to = std::min(end, parameter->offset + parameter->size);
      const std::int64_t at = from - slice.begin;
      cpu::AdamWFactors factors = undecayed;
      factors.decay = options.learning_rate * rule.weight_decay;
      cpu::adamw_run(factors, to - from, &slice.gradients[at], &slice.parameters[at],
                     &slice.first_moment[at], &slice.second_moment[at]);
    }
  });
}

}  // namespace tutti
