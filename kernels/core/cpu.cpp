#include "kernels/core/cpu.h"

namespace tutti {

#ifdef __x86_64__
CpuFeatures cpu_features() {
  CpuFeatures features;
  features.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
  features.avx512_bf16 = features.avx512 && __builtin_cpu_supports("avx512bf16");
  features.amx_bf16 = features.avx512_bf16 && __builtin_cpu_supports("amx-bf16");
  return features;
}
#else
CpuFeatures cpu_features() { return {}; }
#endif

}  // namespace tutti
