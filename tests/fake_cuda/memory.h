// Memory whose contents nobody wrote: two bytes that are a NaN in bf16, and four of them in float.
#pragma once

#include <cstddef>

namespace fake_cuda {

void poison(void* memory, std::size_t bytes);
bool is_poison(const void* memory, std::size_t bytes);

}  // namespace fake_cuda
