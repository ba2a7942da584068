// The library of device code: found beside the binary, opened where a job asks for it.
#pragma once

#include <string>

#include "kernels/core/device_error.h"
#include "kernels/device/device_backend.h"
#include "runtime/base/error.h"

namespace tutti {

// Opens it, once. Throws Error(unavailable) that says what is missing. Local.
DeviceBackend& load_device_library();

// Of CUDA as built and as found, for a person. Local; throws nothing.
std::string device_library_text();

// What a job ends with where a device fails.
Error error_of(const DeviceError& e);

}  // namespace tutti
