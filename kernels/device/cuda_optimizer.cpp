#include <algorithm>
#include <stdexcept>

#include "kernels/cuda/arrays_cuda.h"
#include "kernels/cuda/memory.h"
#include "kernels/device/cuda_session.h"
#include "kernels/optim/adamw_cuda.h"
#include "kernels/optim/gradient_norm_cuda.h"

namespace tutti::cuda {
namespace {

class Optimizer final : public DeviceOptimizer {
 public:
  explicit Optimizer(SessionState& state) : stream_(state.stream) {}

  void block_square_sums(std::span<const float> gradients, std::span<double> sums) override {
    const auto count = std::ssize(sums);
    sums_.grow(count);
    host_sums_.grow(count);
    cuda::block_square_sums(gradients, sums_.span().first(sums.size()), stream_);
    copy(std::span<const double>(sums_.span().first(sums.size())),
         host_sums_.span().first(sums.size()), stream_);
    stream_.synchronize();
    std::copy_n(host_sums_.data(), count, sums.begin());
  }

  void clear_frozen(const ArenaLayout& layout, std::span<const ParameterRule> rules,
                    std::int64_t begin, std::span<float> gradients) override {
    const auto parameters = layout.parameters();
    if (rules.size() != parameters.size())
      throw std::invalid_argument("optimizer: one rule a parameter is needed");
    const std::int64_t end = begin + std::ssize(gradients);
    for (std::size_t i = 0; i < rules.size(); ++i) {
      const Parameter& p = parameters[i];
      const std::int64_t from = std::max(begin, p.offset), to = std::min(end, p.offset + p.size);
      if (rules[i].frozen && from < to)
        check(cudaMemsetAsync(gradients.data() + (from - begin), 0,
                              std::size_t(to - from) * sizeof(float), stream_),
              "cudaMemsetAsync");
    }
  }

  void adamw_update(const ArenaLayout& layout, const AdamWOptions& options, std::int64_t step,
                    float gradient_scale, const AdamWSlice& slice,
                    std::span<const ParameterRule> rules) override {
    adamw_.update(layout, options, step, gradient_scale, slice, rules, stream_);
  }

  void update_moving_average(float decay, std::span<const float> values,
                             std::span<float> average) override {
    if (values.size() != average.size())
      throw std::invalid_argument("moving average: spans differ in size");
    move_average(decay, values, average, stream_);
  }

 private:
  Stream& stream_;
  AdamW adamw_;
  DeviceBuffer<double> sums_;
  PinnedBuffer<double> host_sums_;
};

}  // namespace

std::unique_ptr<DeviceOptimizer> make_device_optimizer(SessionState& state) {
  return std::make_unique<Optimizer>(state);
}

}  // namespace tutti::cuda
