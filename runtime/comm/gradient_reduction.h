// The gradient's way over the ranks: every rank's leaves are summed up and scattered, bucket by
// bucket, behind the backward pass of the last leaf.
//
// A backward pass finishes the arena from its end to its beginning. As soon as a bucket's elements
// are final on a rank, a thread of its own adds them up and exchanges them, while the main thread
// goes on with the layers before (Li et al., 2020).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "kernels/core/arena.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"
#include "runtime/comm/tree_sum.h"

namespace tutti {

enum class ReduceOrder : std::uint8_t {
  exact,  // the fixed tree over leaves: the same bytes on any number of ranks
  fast    // a rank's leaves one after another, then ranks in MPI's order
};

class GradientReduction {
 public:
  // Sums `size` elements over `leaves`, of which a rank has part_of(leaves, ranks, rank), and
  // leaves elements slices[r] on rank r; slices are contiguous in rank order and the same on all
  // ranks.
  GradientReduction(Comm& comm, std::int64_t size, std::int64_t leaves, std::vector<Range> slices,
                    ReduceOrder order);
  ~GradientReduction();
  GradientReduction(const GradientReduction&) = delete;
  GradientReduction& operator=(const GradientReduction&) = delete;

  std::int64_t leaves() const { return leaves_; }
  Range my_leaves() const { return my_leaves_; }

  // This rank's leaves, one after another, each added to the array of next_leaf(), then
  // push_leaf(). In the last of them, elements may be declared final before: [begin, size), `begin`
  // falling. From the first such call on until finish() returns, this rank must not use Comm.
  // Local.
  std::span<float> next_leaf();
  void declare_final(std::int64_t begin);
  void push_leaf();
  bool in_last_leaf() const { return next_leaf_ == my_leaves_.end; }

  // The sum of this rank's slice, until the next step's first leaf. Collective; once a step.
  std::span<float> finish();

  // The sum is of no more use: its memory, and that of the leaves, goes back to the system until
  // the next step's first leaf. Local.
  void discard_sum();

  // Time that the last step's exchange took while the main thread was at something else.
  double hidden_seconds() const { return hidden_seconds_; }

 private:
  // An exchange in flight; which of the two follows from the order.
  struct Bucket {
    std::unique_ptr<TreeExchange<float>> exchange;
    std::vector<Comm::Pending> reductions;
    bool local_done();
  };

  Range my_slice() const { return slices_[std::size_t(comm_.rank())]; }
  std::int64_t buckets() const;
  Range bucket(std::int64_t index) const;
  std::span<float> slice_sum();
  void clear_plain();
  void start_thread();
  void exchange_all();
  // Whether elements from `begin` on are final; where `idle`, waits for that.
  bool wait_until_final(std::int64_t begin, bool idle);
  Bucket start_bucket(Range elements);
  void finish_bucket(Bucket& bucket);

  Comm& comm_;
  const std::int64_t size_, leaves_;
  const std::vector<Range> slices_;
  const ReduceOrder order_;
  const Range my_leaves_;
  TreeSum<float> tree_;         // exact
  AlignedBuffer<float> plain_;  // fast: the sum of this rank's leaves
  AlignedBuffer<float> alone_;  // exact: the slice of a rank without leaves
  std::int64_t next_leaf_;

  std::thread thread_;
  std::exception_ptr failure_;
  std::mutex mutex_;
  std::condition_variable condition_;
  std::int64_t final_from_;  // elements behind it are final
  std::atomic<bool> cancelled_{false};
  double busy_seconds_ = 0, hidden_seconds_ = 0;
};

}  // namespace tutti
