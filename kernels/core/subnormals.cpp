#include "kernels/core/subnormals.h"

#ifdef __SSE__
#include <immintrin.h>
#endif

namespace tutti {

#ifdef __SSE__
FlushSubnormals::FlushSubnormals() : before_(_mm_getcsr()) {
  constexpr unsigned kFlushToZero = 0x8000, kInputsAreZero = 0x0040;
  _mm_setcsr(before_ | kFlushToZero | kInputsAreZero);
}
FlushSubnormals::~FlushSubnormals() { _mm_setcsr(before_); }
#else
FlushSubnormals::FlushSubnormals() = default;
FlushSubnormals::~FlushSubnormals() = default;
#endif

}  // namespace tutti
