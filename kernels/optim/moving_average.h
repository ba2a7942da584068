// An exponential moving average of parameters.
#pragma once

#include <span>

namespace tutti {

// average = average + (1 - decay) (values - average), element by element: what does not change
// stays the same bytes. Parallel. Throws std::invalid_argument where the sizes differ.
void update_moving_average(float decay, std::span<const float> values, std::span<float> average);

}  // namespace tutti
