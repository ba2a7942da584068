// Choosing the next token from logits: greedily, or by chance.
#pragma once

#include <cstdint>
#include <span>

namespace tutti {

struct SamplingOptions {
  double temperature = 0;  // 0: the most probable token, the lowest of equals
  std::int64_t top_k = 0;  // only the most probable so many; 0: all
  double top_p = 1;        // only the fewest most probable whose share reaches it (Holtzman et al.,
                           // 2020)
};

// A function of the logits, the options and `chance`, a uniform random number in [0, 1). On the
// calling thread. Logits that are not numbers are never chosen, unless there are no others.
std::int32_t next_token(std::span<const float> logits, const SamplingOptions& options,
                        double chance);

}  // namespace tutti
