#include "kernels/vector/code_tile.h"

namespace tutti {

std::span<const CodeKernels* const> available_code_kernels() {
  static constexpr const CodeKernels* kAll[] = {&kCodesGeneric};
  return kAll;
}

}  // namespace tutti
