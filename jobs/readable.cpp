#include "jobs/readable.h"

#include <cstddef>
#include <ctime>

#include <fmt/format.h>

namespace tutti {

std::string readable_bytes(std::int64_t bytes) {
  const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = double(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit < 4; ++unit) value /= 1024;
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : 1, units[unit]);
}

std::string readable_time(double seconds_since_1970) {
  const auto time = std::time_t(seconds_since_1970);
  std::tm local = {};
  localtime_r(&time, &local);
  char text[32];
  const std::size_t size = std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
  return std::string(text, size);
}

}  // namespace tutti
