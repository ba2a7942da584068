#include <cmath>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/vectors.h"
#include "kernels/optim/adamw_check.h"
#include "kernels/optim/adamw_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kThreads = 256;

struct Factors {
  float beta1, beta2, epsilon;
  float step_size;  // learning rate / (1 - beta1^step)
  float inverse_v;  // 1 / (1 - beta2^step)
  float learning_rate, gradient_scale;
};

// Elements of the arena, `begin` being the first.
struct Slice {
  std::int64_t begin, size;
  const float* gradients;
  float *parameters, *first_moment, *second_moment;
};

// The rule of the parameter that element `at` belongs to; what stands in a gap is zero, and stays
// so by any rule.
__device__ AdamW::Rule rule_at(const AdamW::Rule* rules, int count, std::int64_t at) {
  int low = 0, high = count - 1;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (rules[middle].end <= at)
      low = middle + 1;
    else
      high = middle;
  }
  return rules[low];
}

__global__ void __launch_bounds__(kThreads)
    update(Factors f, Slice s, const AdamW::Rule* rules, int count) {
  const std::int64_t at = (std::int64_t(blockIdx.x) * kThreads + threadIdx.x) * kChunk;
  if (at >= s.size) return;
  const AdamW::Rule rule = rule_at(rules, count, s.begin + at);
  if (rule.frozen) return;
  const float decay = f.learning_rate * rule.weight_decay;
  float g[kChunk], p[kChunk], m[kChunk], v[kChunk];
  load_chunk(s.gradients + at, kChunk, g);
  load_chunk(s.parameters + at, kChunk, p);
  load_chunk(s.first_moment + at, kChunk, m);
  load_chunk(s.second_moment + at, kChunk, v);
#pragma unroll
  for (int i = 0; i < kChunk; ++i) {
    const float scaled = g[i] * f.gradient_scale;
    m[i] = f.beta1 * m[i] + (1.0f - f.beta1) * scaled;
    v[i] = f.beta2 * v[i] + (1.0f - f.beta2) * scaled * scaled;
    p[i] -= f.step_size * m[i] / (sqrtf(v[i] * f.inverse_v) + f.epsilon) + decay * p[i];
  }
  store_chunk(s.parameters + at, kChunk, p);
  store_chunk(s.first_moment + at, kChunk, m);
  store_chunk(s.second_moment + at, kChunk, v);
}

Factors factors_of(const AdamWOptions& o, std::int64_t step, float gradient_scale) {
  const double correction1 = 1.0 - std::pow(static_cast<double>(o.beta1), double(step));
  const double correction2 = 1.0 - std::pow(static_cast<double>(o.beta2), double(step));
  return {o.beta1,
          o.beta2,
          o.epsilon,
          static_cast<float>(o.learning_rate / correction1),
          static_cast<float>(1.0 / correction2),
          o.learning_rate,
          gradient_scale};
}

std::vector<AdamW::Rule> device_rules(const ArenaLayout& layout,
                                      std::span<const ParameterRule> rules) {
  std::vector<AdamW::Rule> all;
  const auto parameters = layout.parameters();
  for (std::size_t i = 0; i < rules.size(); ++i)
    all.push_back({i + 1 < rules.size() ? parameters[i + 1].offset : layout.padded_size(),
                   rules[i].weight_decay, rules[i].frozen});
  return all;
}

}  // namespace

void AdamW::update(const ArenaLayout& layout, const AdamWOptions& options, std::int64_t step,
                   float gradient_scale, const AdamWSlice& slice,
                   std::span<const ParameterRule> given_rules, cudaStream_t stream) {
  std::vector<ParameterRule> defaults;
  if (given_rules.empty()) defaults = default_rules(layout, options.weight_decay);
  const std::span<const ParameterRule> rules = given_rules.empty() ? defaults : given_rules;
  check_adamw(layout, step, slice, rules);
  if (slice.parameters.empty()) return;
  if (std::vector<Rule> wanted = device_rules(layout, rules); wanted != rules_) {
    rules_ = std::move(wanted);
    device_rules_.grow(std::ssize(rules_));
    copy(std::span<const Rule>(rules_), device_rules_.span().first(rules_.size()), stream);
  }
  const Slice s{slice.begin,
                std::ssize(slice.parameters),
                slice.gradients.data(),
                slice.parameters.data(),
                slice.first_moment.data(),
                slice.second_moment.data()};
  launch({dim3(unsigned(s.size / (kThreads * kChunk))), dim3(kThreads)}, stream, cuda::update,
         factors_of(options, step, gradient_scale), s,
         static_cast<const Rule*>(device_rules_.data()), static_cast<int>(rules_.size()));
}

}  // namespace tutti::cuda
