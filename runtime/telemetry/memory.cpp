#include "runtime/telemetry/memory.h"

#include <sys/resource.h>

namespace tutti {

std::int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t(usage.ru_maxrss) * 1024;
}

}  // namespace tutti
