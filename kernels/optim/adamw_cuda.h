// AdamW over a slice of an arena in the device's memory; in the stream.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <cuda_runtime.h>

#include "kernels/core/arena.h"
#include "kernels/cuda/memory.h"
#include "kernels/optim/adamw.h"

namespace tutti::cuda {

class AdamW {
 public:
  // As adamw_update().
  void update(const ArenaLayout& layout, const AdamWOptions& options, std::int64_t step,
              float gradient_scale, const AdamWSlice& slice, std::span<const ParameterRule> rules,
              cudaStream_t stream);

  // What a kernel knows of each parameter: where the next one begins, and its rule.
  struct Rule {
    std::int64_t end = 0;
    float weight_decay = 0;
    bool frozen = false;
    bool operator==(const Rule&) const = default;
  };

 private:
  std::vector<Rule> rules_;  // as they are on the device
  DeviceBuffer<Rule> device_rules_;
};

}  // namespace tutti::cuda
