#include "runtime/data/sampler.h"

#include "kernels/core/random.h"
#include "runtime/base/check.h"

namespace tutti {

Sampler::Sampler(std::int64_t count, std::uint64_t seed)
    : count_(count), seed_(seed), half_bits_(1) {
  CHECK(count >= 1 && count < (std::int64_t(1) << 60));
  while ((std::int64_t(1) << (2 * half_bits_)) < count) ++half_bits_;
}

std::int64_t Sampler::at(std::int64_t epoch, std::int64_t position) const {
  CHECK(position >= 0 && position < count_);
  const std::uint64_t mask = (std::uint64_t(1) << half_bits_) - 1;
  std::uint64_t value = std::uint64_t(position);
  do {
    std::uint64_t left = value >> half_bits_, right = value & mask;
    for (std::uint64_t round = 0; round < 6; ++round) {
      const std::uint64_t mixed = random_u64(seed_, std::uint64_t(epoch) * 6 + round, right) & mask;
      const std::uint64_t next = left ^ mixed;
      left = right;
      right = next;
    }
    value = (left << half_bits_) | right;
  } while (value >= std::uint64_t(count_));
  return std::int64_t(value);
}

BatchPlace batch_place(std::int64_t step, std::int64_t batch, std::int64_t count) {
  CHECK(batch >= 1 && count >= batch && step >= 0);
  const std::int64_t batches = count / batch;
  return {step / batches, (step % batches) * batch};
}

}  // namespace tutti
