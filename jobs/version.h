// What this binary was built with, and what it finds.
#pragma once

#include <string>

namespace tutti {

inline constexpr const char* kVersion = "0.1.0";

// The text of `tutti --version`. Local; starts no MPI.
std::string version_text();

}  // namespace tutti
