// The fixed-order sum: the heart of "the same bytes on any number of ranks".
//
// P leaves (micro-batches, blocks of vectors) stand in a row; their number never follows from the
// rank count. Node (level, i) covers leaves [i * 2^level, (i + 1) * 2^level) cut at P; it is the
// sum of its left and right child, in that order, or its left child alone where there is no right
// one. Every rank adds up the whole nodes inside its own contiguous range of leaves, and the owners
// of the slices of the result add up the nodes that cross ranks. So each element sees the same
// additions in the same order, whoever does them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/arena.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"

namespace tutti {

struct TreeNode {
  int level = 0;
  std::int64_t index = 0;
  bool operator==(const TreeNode&) const = default;
};

// The largest whole nodes that cover leaves [range.begin, range.end) of `leaves`, from left to
// right; at most 2 * log2(leaves) of them. The partial node at the right end counts as whole where
// the range reaches the end.
std::vector<TreeNode> covering_nodes(Range range, std::int64_t leaves);

// Adds up this rank's leaves, one after another. T is float, double or int64_t. Memory: one array
// of `size` a pending node, at most log2(leaves) + 1 of them beside the whole ones. Local.
template <class T>
class TreeSum {
 public:
  TreeSum(std::int64_t size, Range range, std::int64_t leaves);

  // A zeroed array for the next leaf of the range; fill it, then push().
  std::span<T> next();
  void push() {
    push_unadded();
    add({0, size_});
  }
  // push() in two parts, for the last leaf of the range: what nodes there are, while the leaf is
  // still being filled, then the adding, piece by piece as elements become final.
  void push_unadded();
  void add(Range elements);
  // Forgets all leaves, keeps the memory: ready for the range once more.
  void reset();
  // Forgets the sums too: their memory goes back to the system until the next leaf. After reset().
  void discard();

  bool complete() const { return next_leaf_ == range_.end; }
  std::int64_t size() const { return size_; }
  std::int64_t leaves() const { return leaves_; }
  // The covering nodes of the range, once it is complete, and their sums.
  const std::vector<TreeNode>& nodes() const { return nodes_; }
  std::span<T> values(std::size_t node) {
    return {arrays_[slots_[node]].data(), std::size_t(size_)};
  }

 private:
  void merge_top();
  std::size_t take_slot();

  struct Addition {
    std::size_t to, from;  // slots
  };

  std::int64_t size_, leaves_;
  Range range_;
  std::int64_t next_leaf_;
  std::vector<AlignedBuffer<T>> arrays_;
  std::vector<std::size_t> free_slots_;
  std::vector<TreeNode> nodes_;      // pending nodes, left to right
  std::vector<std::size_t> slots_;   // their arrays
  std::vector<Addition> additions_;  // of the last leaf pushed, in order
  std::size_t current_slot_ = 0;
};

// A reduce-scatter of some of the elements, in flight: each rank hands the nodes' sums to the ranks
// whose slices they belong to. All ranks must start the same ones in the same order; those elements
// must have been added, and not change until local_done().
template <class T>
class TreeExchange {
 public:
  // The ranks' ranges of leaves must be part_of(leaves, size, rank), the slices contiguous in rank
  // order and the same on all ranks. Does not wait.
  TreeExchange(Comm& comm, TreeSum<T>& sum, std::span<const Range> slices, Range elements);

  // Whether all has arrived. Makes progress, does not wait.
  bool local_done() { return pending_.local_done(); }
  // Waits for that.
  void wait(Comm& comm) { comm.wait(pending_); }
  // After that: the sums of the elements that are in this rank's slice, into their places of
  // `mine`, the whole slice, which may be part of the sum's first array. Local.
  void finish(std::span<T> mine);

 private:
  std::int64_t leaves_;
  Range part_;  // of the elements: what is in this rank's slice
  std::int64_t slice_begin_ = 0;
  std::vector<TreeNode> nodes_;  // of all ranks
  std::vector<T*> arrays_;       // their sums over part_
  std::vector<AlignedBuffer<T>> received_;
  Comm::Pending pending_;
};

// The sum over all ranks' leaves of elements [slices[r].begin, slices[r].end), left on rank r in
// `mine`. Collective; the ranks' ranges must be part_of(leaves, size, rank), the slices contiguous
// in rank order and the same on all ranks.
template <class T>
void reduce_scatter(Comm& comm, TreeSum<T>& sum, std::span<const Range> slices, std::span<T> mine);

// The whole sum on every rank. Collective.
template <class T>
void all_reduce(Comm& comm, TreeSum<T>& sum, std::span<T> result);

// The sum of one value a leaf, in the same order; `mine` holds this rank's leaves part_of(leaves,
// size, rank).
double tree_sum(Comm& comm, std::span<const double> mine, std::int64_t leaves);

extern template class TreeSum<float>;
extern template class TreeSum<double>;
extern template class TreeSum<std::int64_t>;
extern template class TreeExchange<float>;
extern template class TreeExchange<double>;
extern template class TreeExchange<std::int64_t>;

}  // namespace tutti
