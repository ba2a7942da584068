// The gradient's way over ranks whose gradients stand in devices' memory: as GradientReduction, in
// the devices' queues.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/core/device_memory.h"
#include "kernels/core/device_transport.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/gradient_reduction.h"
#include "runtime/comm/partition.h"
#include "runtime/comm/tree_stack.h"

namespace tutti {

class DeviceReduction {
 public:
  // Sums `size` elements over `leaves`, of which a rank has part_of(leaves, ranks, rank), and
  // leaves elements slices[r] on rank r; slices are contiguous in rank order and the same on all
  // ranks. One rank needs no transport.
  DeviceReduction(Comm& comm, DeviceMemory& memory, DeviceTransport* transport, std::int64_t size,
                  std::int64_t leaves, std::vector<Range> slices, ReduceOrder order);

  std::int64_t leaves() const { return leaves_; }
  Range my_leaves() const { return my_leaves_; }

  // This rank's leaves, one after another, each added to the array of next_leaf(), then
  // push_leaf(). Local.
  std::span<float> next_leaf();
  void push_leaf();

  // The sum of this rank's slice, until the next step's first leaf. Collective; once a step.
  std::span<float> finish();

  // Every rank's slice of `whole` on every rank. Collective.
  void all_gather(std::span<float> whole);

 private:
  using Slot = std::size_t;

  Range my_slice() const { return slices_[std::size_t(comm_.rank())]; }
  std::span<float> part(Slot slot, Range elements) {
    return arrays_[slot]->span().subspan(std::size_t(elements.begin), std::size_t(elements.size()));
  }
  Slot take_slot();
  void exchange(Range elements);
  void fold(Range mine, const std::vector<TreeNode>& nodes, const std::vector<float*>& arrays);
  std::span<float> finish_fast();

  Comm& comm_;
  DeviceMemory& memory_;
  DeviceTransport* const transport_;
  const std::int64_t size_, leaves_;
  const std::vector<Range> slices_;
  const ReduceOrder order_;
  const Range my_leaves_;
  std::int64_t next_leaf_;
  std::vector<std::unique_ptr<DeviceArray>> arrays_;
  std::vector<Slot> free_slots_;
  Slot current_ = 0;                                    // of the leaf that is being filled
  TreeStack<Slot> nodes_;                               // exact: of this rank's leaves
  std::vector<std::unique_ptr<DeviceArray>> received_;  // other ranks' nodes of a bucket
  std::unique_ptr<DeviceArray> sum_;                    // where several ranks make it
};

}  // namespace tutti
