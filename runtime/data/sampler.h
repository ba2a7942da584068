// The order of samples: a stateless keyed permutation, so that the data cursor is one integer.
#pragma once

#include <cstdint>

namespace tutti {

// For each epoch a permutation of [0, count), a function of (seed, epoch) alone, each element found
// in O(1): a Feistel network of six rounds over the next even power of two, walked until it falls
// inside the range (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Local.
class Sampler {
 public:
  // count >= 1.
  Sampler(std::int64_t count, std::uint64_t seed);

  std::int64_t count() const { return count_; }
  // The sample at `position` in [0, count) of `epoch`.
  std::int64_t at(std::int64_t epoch, std::int64_t position) const;

 private:
  std::int64_t count_;
  std::uint64_t seed_;
  int half_bits_;
};

// Where a run stands that takes whole batches from each epoch and drops an epoch's remainder, so
// that no sample is met twice in a batch.
struct BatchPlace {
  std::int64_t epoch = 0;
  std::int64_t first_position = 0;  // of the batch within the epoch
};
BatchPlace batch_place(std::int64_t step, std::int64_t batch, std::int64_t count);

}  // namespace tutti
