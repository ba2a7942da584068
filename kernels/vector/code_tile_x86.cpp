#include "kernels/vector/code_tile.h"

namespace tutti {

std::span<const CodeKernels* const> available_code_kernels() {
  static constexpr const CodeKernels* kAll[] = {&kCodesAvx512Vnni, &kCodesAvx2, &kCodesGeneric};
  const std::span<const CodeKernels* const> all(kAll);
  if (!__builtin_cpu_supports("avx2")) return all.subspan(2);
  const bool vnni = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  return vnni ? all : all.subspan(1);
}

}  // namespace tutti
