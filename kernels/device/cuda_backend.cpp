// The library's one symbol, and what it finds on this machine.
#include <cstring>

#include "kernels/core/device_error.h"
#include "kernels/cuda/check.h"
#include "kernels/device/cuda_session.h"
#include "kernels/model/decoder_cuda.h"
#include "kernels/vector/scan_cuda.h"

namespace tutti::cuda {
namespace {

// As CUDA counts: 1000 times the major version and ten times the minor.
std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// The kernels are compiled for these and later.
constexpr int kLowestMajor = 8;

class Session final : public DeviceSession {
 public:
  DeviceMemory& memory() override { return *memory_; }
  DeviceOptimizer& optimizer() override { return *optimizer_; }
  std::unique_ptr<DeviceDecoder> make_decoder(const DecoderShape& shape, DType compute) override {
    if (compute == DType::bf16)
      return std::make_unique<DecoderPass<bf16>>(shape, state_.products, state_.stream);
    return std::make_unique<DecoderPass<float>>(shape, state_.products, state_.stream);
  }
  double product_rate(DType compute) override { return measure_products(state_, compute); }
  std::string make_transport_id() override { return make_device_transport_id(); }
  std::unique_ptr<DeviceTransport> connect(const std::string& id, int ranks, int rank) override {
    return make_device_transport(id, ranks, rank, state_.stream);
  }
  std::unique_ptr<DeviceScan> make_scan() override { return cuda::make_scan(state_.stream); }

 private:
  SessionState state_;
  std::unique_ptr<DeviceMemory> memory_ = make_device_memory(state_);
  std::unique_ptr<DeviceOptimizer> optimizer_ = make_device_optimizer(state_);
};

class Backend final : public DeviceBackend {
 public:
  std::string libraries() const override {
    int runtime = 0, driver = 0;
    check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
    check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    return "CUDA " + version_text(runtime) + ", " + Products::library() + ", " +
           (driver == 0 ? "no driver" : "driver for CUDA " + version_text(driver));
  }

  std::vector<DeviceDescription> devices() const override {
    require_driver();
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
      throw DeviceError(DeviceError::Kind::missing, "there is no GPU that this process sees");
    check(error, "cudaGetDeviceCount");
    std::vector<DeviceDescription> all;
    for (int i = 0; i < count; ++i) all.push_back(describe(i));
    return all;
  }

  std::unique_ptr<DeviceSession> open(int device) override {
    const DeviceDescription about = describe(device);
    if (about.major < kLowestMajor)
      throw DeviceError(DeviceError::Kind::missing,
                        about.name + " has compute capability " + std::to_string(about.major) +
                            "." + std::to_string(about.minor) + ", and 8.0 is the lowest");
    check(cudaSetDevice(device), "cudaSetDevice");
    return make_session();
  }

 private:
  static void require_driver() {
    int runtime = 0, driver = 0;
    check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
    check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    if (driver == 0)
      throw DeviceError(DeviceError::Kind::missing, "there is no NVIDIA driver on this machine");
    if (driver / 1000 < runtime / 1000)
      throw DeviceError(DeviceError::Kind::missing,
                        "the NVIDIA driver is for CUDA " + version_text(driver) +
                            ", and this needs one for " + version_text(runtime / 1000 * 1000));
  }

  static DeviceDescription describe(int device) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
    return {properties.name,
            std::to_string(properties.pciDomainID) + ":" + std::to_string(properties.pciBusID) +
                ":" + std::to_string(properties.pciDeviceID),
            properties.major, properties.minor, std::int64_t(properties.totalGlobalMem)};
  }
};

}  // namespace

std::unique_ptr<DeviceSession> make_session() { return std::make_unique<Session>(); }

}  // namespace tutti::cuda

extern "C" __attribute__((visibility("default"))) tutti::DeviceBackend* tutti_device_backend(
    const char* interface) {
  static tutti::cuda::Backend backend;
  return std::strcmp(interface, tutti::kDeviceInterface) == 0 ? &backend : nullptr;
}
