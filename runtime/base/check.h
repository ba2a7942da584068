// CHECK guards the program's own logic, in every build type. Bad data is an Error, not a CHECK.
#pragma once

#include <stdexcept>
#include <string>

namespace tutti {

// Thrown by CHECK; the error boundary in main ends the job with exit code 70.
class Bug : public std::logic_error {
  using std::logic_error::logic_error;
};

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line,
                                      const std::string& detail = "") {
  throw Bug(std::string(file) + ":" + std::to_string(line) + ": check failed: " + condition +
            (detail.empty() ? "" : " (" + detail + ")"));
}

}  // namespace tutti

#define CHECK(condition, ...)                                               \
  do {                                                                      \
    if (!(condition)) [[unlikely]]                                          \
      ::tutti::check_failed(#condition, __FILE__, __LINE__, ##__VA_ARGS__); \
  } while (false)
