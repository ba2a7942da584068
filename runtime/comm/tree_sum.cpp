#include "runtime/comm/tree_sum.h"

#include <algorithm>

#include "kernels/core/parallel.h"
#include "runtime/base/check.h"
#include "runtime/comm/tree_stack.h"

namespace tutti {
namespace {

constexpr std::int64_t kAddBlock = 16384;

template <class T>
void add_into(T* __restrict left, const T* __restrict right, std::int64_t size) {
  parallel_for((size + kAddBlock - 1) / kAddBlock, [&](std::int64_t block) {
    const std::int64_t end = std::min(size, (block + 1) * kAddBlock);
    for (std::int64_t i = block * kAddBlock; i < end; ++i) left[i] += right[i];
  });
}

Range intersection(Range a, Range b) {
  const std::int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

// Adds nodes that stand from left to right and cover all leaves; the sum ends in the first one's
// array.
template <class T>
void fold(std::span<const TreeNode> nodes, std::span<T* const> arrays, std::int64_t size,
          std::int64_t leaves) {
  TreeStack<T*> pending(leaves);
  for (std::size_t i = 0; i < nodes.size(); ++i)
    pending.push(nodes[i], arrays[i], [&](T* left, T* right) { add_into(left, right, size); });
  CHECK(pending.nodes().size() == 1);
}

}  // namespace

std::vector<TreeNode> covering_nodes(Range range, std::int64_t leaves) {
  TreeStack<bool> nodes(leaves);
  for (std::int64_t leaf = range.begin; leaf < range.end; ++leaf)
    nodes.push({0, leaf}, true, [](bool, bool) {});
  return nodes.nodes();
}

template <class T>
TreeSum<T>::TreeSum(std::int64_t size, Range range, std::int64_t leaves)
    : size_(size), leaves_(leaves), range_(range), next_leaf_(range.begin) {
  CHECK(range.begin >= 0 && range.end <= leaves && size >= 0);
}

template <class T>
std::size_t TreeSum<T>::take_slot() {
  if (free_slots_.empty()) {
    arrays_.emplace_back(std::max<std::int64_t>(size_, 1));
    return arrays_.size() - 1;
  }
  const std::size_t slot = free_slots_.back();
  free_slots_.pop_back();
  T* values = arrays_[slot].data();
  parallel_for((size_ + kAddBlock - 1) / kAddBlock, [&](std::int64_t block) {
    std::fill(values + block * kAddBlock, values + std::min(size_, (block + 1) * kAddBlock), T(0));
  });
  return slot;
}

template <class T>
std::span<T> TreeSum<T>::next() {
  CHECK(next_leaf_ < range_.end);
  current_slot_ = take_slot();
  return {arrays_[current_slot_].data(), std::size_t(size_)};
}

template <class T>
void TreeSum<T>::push_unadded() {
  additions_.clear();
  nodes_.push_back({0, next_leaf_++});
  slots_.push_back(current_slot_);
  promote(nodes_.back(), leaves_);
  while (nodes_.size() > 1 && are_siblings(nodes_[nodes_.size() - 2], nodes_.back())) merge_top();
}

template <class T>
void TreeSum<T>::merge_top() {
  const std::size_t right = slots_.back();
  nodes_.pop_back();
  slots_.pop_back();
  additions_.push_back({slots_.back(), right});
  free_slots_.push_back(right);
  nodes_.back() = {nodes_.back().level + 1, nodes_.back().index / 2};
  promote(nodes_.back(), leaves_);
}

template <class T>
void TreeSum<T>::add(Range elements) {
  for (const Addition& a : additions_)
    add_into(arrays_[a.to].data() + elements.begin, arrays_[a.from].data() + elements.begin,
             elements.size());
}

template <class T>
void TreeSum<T>::reset() {
  free_slots_.insert(free_slots_.end(), slots_.begin(), slots_.end());
  nodes_.clear();
  slots_.clear();
  next_leaf_ = range_.begin;
}

template <class T>
void TreeSum<T>::discard() {
  CHECK(nodes_.empty());
  for (AlignedBuffer<T>& array : arrays_) array.discard(0, array.size());
}

template <class T>
TreeExchange<T>::TreeExchange(Comm& comm, TreeSum<T>& sum, std::span<const Range> slices,
                              Range elements)
    : leaves_(sum.leaves()) {
  CHECK(sum.complete() && std::int64_t(slices.size()) == comm.size());
  const Range slice = slices[std::size_t(comm.rank())];
  slice_begin_ = slice.begin;
  part_ = intersection(slice, elements);
  const auto bytes = [](T* values, Range range) {
    return std::as_writable_bytes(std::span(values, std::size_t(range.size())));
  };

  // What every rank has is known without asking; the nodes of one rank travel under tags 0, 1, ...
  std::vector<Comm::Transfer> transfers;
  for (int r = 0; r < comm.size(); ++r) {
    const Range theirs = intersection(slices[std::size_t(r)], elements);
    const std::vector<TreeNode> nodes = covering_nodes(part_of(leaves_, comm.size(), r), leaves_);
    for (std::size_t n = 0; n < nodes.size(); ++n) {
      nodes_.push_back(nodes[n]);
      if (r == comm.rank()) {
        arrays_.push_back(sum.values(n).data() + part_.begin);
        continue;
      }
      received_.emplace_back(std::max<std::int64_t>(part_.size(), 1));
      arrays_.push_back(received_.back().data());
      transfers.push_back({r, bytes(arrays_.back(), part_), false, int(n)});
    }
    if (r == comm.rank()) continue;
    for (std::size_t n = 0; n < sum.nodes().size(); ++n)
      transfers.push_back({r, bytes(sum.values(n).data() + theirs.begin, theirs), true, int(n)});
  }
  pending_ = comm.local_start(transfers);
}

template <class T>
void TreeExchange<T>::finish(std::span<T> mine) {
  if (part_.size() == 0) return;
  fold<T>(nodes_, arrays_, part_.size(), leaves_);
  T* const place = mine.data() + (part_.begin - slice_begin_);
  if (place != arrays_.front()) std::copy_n(arrays_.front(), part_.size(), place);
}

template <class T>
void reduce_scatter(Comm& comm, TreeSum<T>& sum, std::span<const Range> slices, std::span<T> mine) {
  CHECK(std::int64_t(mine.size()) == slices[std::size_t(comm.rank())].size());
  TreeExchange<T> exchange(comm, sum, slices, {0, sum.size()});
  exchange.wait(comm);
  exchange.finish(mine);
}

template <class T>
void all_reduce(Comm& comm, TreeSum<T>& sum, std::span<T> result) {
  CHECK(std::int64_t(result.size()) == sum.size());
  std::vector<Range> slices;
  std::vector<std::int64_t> bytes;
  for (int r = 0; r < comm.size(); ++r) {
    slices.push_back(part_of(sum.size(), comm.size(), r));
    bytes.push_back(slices.back().size() * std::int64_t(sizeof(T)));
  }
  const Range mine = slices[std::size_t(comm.rank())];
  const std::span<T> part = result.subspan(std::size_t(mine.begin), std::size_t(mine.size()));
  reduce_scatter<T>(comm, sum, slices, part);
  comm.all_gather_bytes(std::as_bytes(part), std::as_writable_bytes(result), bytes);
}

double tree_sum(Comm& comm, std::span<const double> mine, std::int64_t leaves) {
  std::vector<double> all = comm.all_gather(mine);
  CHECK(std::int64_t(all.size()) == leaves && leaves > 0);
  std::vector<TreeNode> nodes;
  std::vector<double*> arrays;
  for (std::int64_t i = 0; i < leaves; ++i) {
    nodes.push_back({0, i});
    arrays.push_back(&all[std::size_t(i)]);
  }
  fold<double>(nodes, arrays, 1, leaves);
  return all[0];
}

template class TreeSum<float>;
template class TreeSum<double>;
template class TreeSum<std::int64_t>;
template class TreeExchange<float>;
template class TreeExchange<double>;
template class TreeExchange<std::int64_t>;
template void reduce_scatter(Comm&, TreeSum<float>&, std::span<const Range>, std::span<float>);
template void reduce_scatter(Comm&, TreeSum<double>&, std::span<const Range>, std::span<double>);
template void reduce_scatter(Comm&, TreeSum<std::int64_t>&, std::span<const Range>,
                             std::span<std::int64_t>);
template void all_reduce(Comm&, TreeSum<float>&, std::span<float>);
template void all_reduce(Comm&, TreeSum<double>&, std::span<double>);
template void all_reduce(Comm&, TreeSum<std::int64_t>&, std::span<std::int64_t>);

}  // namespace tutti
