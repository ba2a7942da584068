// What a library of device code offers (libtutti_cuda.so): the GPUs of this machine, and on each of
// them models, optimizers and searches. Pure interfaces: whoever calls them links nothing of the
// device's.
//
// All functions throw DeviceError, and std::invalid_argument where their arguments are wrong.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/device_memory.h"
#include "kernels/core/device_transport.h"
#include "kernels/core/dtype.h"
#include "kernels/model/decoder.h"
#include "kernels/model/device_decoder.h"
#include "kernels/optim/adamw.h"
#include "kernels/optim/parameter_rules.h"
#include "kernels/vector/device_scan.h"

namespace tutti {

struct DeviceDescription {
  std::string name;   // of the model
  std::string place;  // on the machine's bus: the same for all processes
  int major = 0, minor = 0;
  std::int64_t memory_bytes = 0;
};

// Updates over slices of arenas in the device's memory; as the functions of the same names in
// kernels/optim.
class DeviceOptimizer {
 public:
  virtual ~DeviceOptimizer() = default;
  // `sums` are the host's, and there when it returns.
  virtual void block_square_sums(std::span<const float> gradients, std::span<double> sums) = 0;
  virtual void clear_frozen(const ArenaLayout& layout, std::span<const ParameterRule> rules,
                            std::int64_t begin, std::span<float> gradients) = 0;
  virtual void adamw_update(const ArenaLayout& layout, const AdamWOptions& options,
                            std::int64_t step, float gradient_scale, const AdamWSlice& slice,
                            std::span<const ParameterRule> rules) = 0;
  virtual void update_moving_average(float decay, std::span<const float> values,
                                     std::span<float> average) = 0;
};

// One GPU, with one queue of work. What it makes must not outlive it. One thread at a time.
class DeviceSession {
 public:
  virtual ~DeviceSession() = default;
  virtual DeviceMemory& memory() = 0;
  virtual DeviceOptimizer& optimizer() = 0;
  // Products in `compute` (f32 or bf16).
  virtual std::unique_ptr<DeviceDecoder> make_decoder(const DecoderShape& shape, DType compute) = 0;
  // Floating-point operations a second of large products in `compute`, measured now.
  virtual double product_rate(DType compute) = 0;

  // The way to other ranks' devices: one rank makes an identifier that all connect with, together.
  virtual std::string make_transport_id() = 0;
  virtual std::unique_ptr<DeviceTransport> connect(const std::string& id, int ranks, int rank) = 0;
  virtual std::unique_ptr<DeviceScan> make_scan() = 0;
};

class DeviceBackend {
 public:
  virtual ~DeviceBackend() = default;
  // The libraries as they were found, for a person.
  virtual std::string libraries() const = 0;
  // Those that this process sees.
  virtual std::vector<DeviceDescription> devices() const = 0;
  virtual std::unique_ptr<DeviceSession> open(int device) = 0;
};

// The library's one symbol: the backend, which lives as long as the process, or null where
// `interface` is another than the library was built with.
inline constexpr const char* kDeviceInterface = "tutti-device-1";
inline constexpr const char* kDeviceFactory = "tutti_device_backend";
using DeviceFactory = DeviceBackend* (*)(const char* interface);

}  // namespace tutti
