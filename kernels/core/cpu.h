// What the processor can do, as far as a kernel is chosen by it.
#pragma once

namespace tutti {

struct CpuFeatures {
  bool avx512 = false;       // x86-64-v4: F, BW, CD, DQ and VL
  bool avx512_bf16 = false;  // also on every processor with AMX
  bool amx_bf16 = false;
};

CpuFeatures cpu_features();

}  // namespace tutti
