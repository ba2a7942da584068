// Where memory lives and work runs. A value, not a flavour of the build.
#pragma once

#include <cstdint>

namespace tutti {

enum class Device : std::uint8_t { cpu, cuda };

}  // namespace tutti
