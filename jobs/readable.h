// Figures as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace tutti {

// "1.5 GiB".
std::string readable_bytes(std::int64_t bytes);
// "2026-11-21 17:40:12", in local time.
std::string readable_time(double seconds_since_1970);

}  // namespace tutti
