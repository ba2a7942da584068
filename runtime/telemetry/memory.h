// What this process has taken of the machine.
#pragma once

#include <cstdint>

namespace tutti {

// The most memory that this process has had resident so far, in bytes. Local.
std::int64_t peak_memory_bytes();

}  // namespace tutti
