// What goes wrong with a device, told apart as a job must tell it.
#pragma once

#include <stdexcept>
#include <string>

namespace tutti {

class DeviceError : public std::runtime_error {
 public:
  enum class Kind {
    missing,  // no driver, no GPU, or one that is too old
    full,     // not enough memory
    failed    // a call failed that should not: the device may have gone
  };
  DeviceError(Kind kind, const std::string& what) : std::runtime_error(what), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

}  // namespace tutti
