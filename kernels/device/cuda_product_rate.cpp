#include <algorithm>
#include <vector>

#include "kernels/core/random.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/memory.h"
#include "kernels/device/cuda_session.h"

namespace tutti::cuda {
namespace {

// An event that knows when it came.
class TimedEvent {
 public:
  TimedEvent() { check(cudaEventCreateWithFlags(&event_, cudaEventDefault), "cudaEventCreate"); }
  ~TimedEvent() { (void)cudaEventDestroy(event_); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  double seconds_since(const TimedEvent& before) const {
    check(cudaEventSynchronize(event_), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, before.event_, event_), "cudaEventElapsedTime");
    return double(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Zeros would be faster.
DeviceBuffer<bf16> random_matrix(std::int64_t size, std::uint64_t seed, cudaStream_t stream) {
  std::vector<bf16> values(static_cast<std::size_t>(size * size));
  for (std::size_t i = 0; i < values.size(); i += 4) {
    const std::uint64_t bits = random_u64(seed, 0, i);
    for (std::size_t j = 0; j < 4 && i + j < values.size(); ++j)
      values[i + j] = bf16(float((bits >> (16 * j)) & 0xffff) / 0x8000 - 1);
  }
  DeviceBuffer<bf16> matrix(size * size);
  copy<bf16>(values, matrix.span(), stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  return matrix;
}

}  // namespace

double product_seconds(SessionState& state, std::int64_t size) {
  constexpr int kWarm = 3, kRounds = 7;
  const auto a = random_matrix(size, 1, state.stream), b = random_matrix(size, 2, state.stream);
  DeviceBuffer<bf16> c(size * size);
  ProductShape shape;
  shape.m = shape.n = shape.k = shape.a_stride = shape.b_stride = shape.c_stride = size;
  std::vector<double> times;
  for (int i = 0; i < kWarm + kRounds; ++i) {
    TimedEvent start, end;
    start.record(state.stream);
    state.products.run(shape, a.data(), b.data(), c.data(), nullptr, state.stream);
    end.record(state.stream);
    const double seconds = end.seconds_since(start);
    if (i >= kWarm) times.push_back(seconds);
  }
  std::ranges::nth_element(times, times.begin() + kRounds / 2);
  return times[kRounds / 2];
}

}  // namespace tutti::cuda
