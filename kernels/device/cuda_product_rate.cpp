#include <algorithm>

#include "kernels/cuda/memory.h"
#include "kernels/device/cuda_session.h"

namespace tutti::cuda {
namespace {

constexpr int kRepetitions = 5;

class TimedEvent {
 public:
  TimedEvent() { check(cudaEventCreateWithFlags(&event_, 0), "cudaEventCreate"); }
  ~TimedEvent() { (void)cudaEventDestroy(event_); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  double seconds_since(const TimedEvent& start) const {
    float milliseconds = 0;
    check(cudaEventSynchronize(event_), "cudaEventSynchronize");
    check(cudaEventElapsedTime(&milliseconds, start.event_, event_), "cudaEventElapsedTime");
    return double(milliseconds) / 1e3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Square, and large enough to fill the device: 64 rows and columns for each multiprocessor.
std::int64_t extent() {
  int device = 0;
  cudaDeviceProp properties;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return std::int64_t(64) * properties.multiProcessorCount;
}

}  // namespace

// The best of a few. Matrices of zeros would be multiplied faster than others, so they are not.
double measure_products(SessionState& state, DType compute) {
  const std::int64_t n = extent(), size = n * n * std::int64_t(size_of(compute));
  DeviceBuffer<unsigned char> a(size), b(size), c(size);
  for (auto* matrix : {&a, &b})
    check(cudaMemsetAsync(matrix->data(), 0x3c, std::size_t(size), state.stream),
          "cudaMemsetAsync");
  const ProductShape shape{.m = n,
                           .n = n,
                           .k = n,
                           .a_stride = n,
                           .b_stride = n,
                           .c_stride = n,
                           .b_transposed = true,
                           .in = compute,
                           .out = compute};
  double best = 0;
  for (int i = 0; i < kRepetitions; ++i) {
    TimedEvent start, end;
    start.record(state.stream);
    state.products.run(shape, a.data(), b.data(), c.data(), nullptr, state.stream);
    end.record(state.stream);
    best = std::max(best, 2.0 * double(n) * double(n) * double(n) / end.seconds_since(start));
  }
  return best;
}

}  // namespace tutti::cuda
