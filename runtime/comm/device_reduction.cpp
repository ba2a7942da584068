#include "runtime/comm/device_reduction.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace tutti {
namespace {

// Elements that travel together, which bounds the memory for what comes from others.
constexpr std::int64_t kBucket = 512 * kArenaBlock;

Range intersection(Range a, Range b) {
  const std::int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

}  // namespace

DeviceReduction::DeviceReduction(Comm& comm, DeviceMemory& memory, DeviceTransport* transport,
                                 std::int64_t size, std::int64_t leaves, std::vector<Range> slices,
                                 ReduceOrder order)
    : comm_(comm),
      memory_(memory),
      transport_(transport),
      size_(size),
      leaves_(leaves),
      slices_(std::move(slices)),
      order_(order),
      my_leaves_(part_of(leaves, comm.size(), comm.rank())),
      next_leaf_(my_leaves_.begin),
      nodes_(leaves) {
  CHECK(std::int64_t(slices_.size()) == comm.size() && (transport != nullptr || comm.size() == 1));
}

DeviceReduction::Slot DeviceReduction::take_slot() {
  if (free_slots_.empty()) {
    arrays_.push_back(memory_.make_array(size_));
    return arrays_.size() - 1;
  }
  const Slot slot = free_slots_.back();
  free_slots_.pop_back();
  memory_.zero(arrays_[slot]->span());
  return slot;
}

std::span<float> DeviceReduction::next_leaf() {
  CHECK(next_leaf_ < my_leaves_.end);
  // In fast mode, all leaves go into one array, one after another.
  if (order_ == ReduceOrder::exact || next_leaf_ == my_leaves_.begin) current_ = take_slot();
  return arrays_[current_]->span();
}

void DeviceReduction::push_leaf() {
  const std::int64_t leaf = next_leaf_++;
  if (order_ == ReduceOrder::fast) return;
  nodes_.push({0, leaf}, current_, [&](Slot left, Slot right) {
    memory_.add(arrays_[right]->span(), arrays_[left]->span());
    free_slots_.push_back(right);
  });
}

std::span<float> DeviceReduction::finish() {
  CHECK(next_leaf_ == my_leaves_.end);
  next_leaf_ = my_leaves_.begin;
  if (order_ == ReduceOrder::fast) return finish_fast();
  if (comm_.size() > 1) {
    if (!sum_) sum_ = memory_.make_array(std::max<std::int64_t>(1, my_slice().size()));
    for (std::int64_t begin = 0; begin < size_; begin += kBucket)
      exchange({begin, std::min(size_, begin + kBucket)});
    comm_.watched("reduce-scatter", [&] { transport_->finish(); });
  }
  const std::vector<Slot> mine = nodes_.items();
  free_slots_.insert(free_slots_.end(), mine.begin(), mine.end());
  nodes_.clear();
  if (comm_.size() > 1) return sum_->span().first(std::size_t(my_slice().size()));
  return part(mine.front(), my_slice());
}

// Every rank hands its nodes' sums of the elements to the ranks whose slices they belong to, and
// adds up those of its own slice.
void DeviceReduction::exchange(Range elements) {
  const Range mine = intersection(my_slice(), elements);
  std::vector<TreeNode> nodes;
  std::vector<float*> arrays;
  std::vector<DeviceTransport::Transfer> transfers;
  std::size_t taken = 0;
  for (int r = 0; r < comm_.size(); ++r) {
    const Range theirs = intersection(slices_[std::size_t(r)], elements);
    const std::vector<TreeNode> covering =
        covering_nodes(part_of(leaves_, comm_.size(), r), leaves_);
    for (std::size_t n = 0; n < covering.size(); ++n) {
      nodes.push_back(covering[n]);
      if (r == comm_.rank()) {
        arrays.push_back(part(nodes_.items()[n], mine).data());
        continue;
      }
      if (taken == received_.size())
        received_.push_back(memory_.make_array(std::min(kBucket, size_)));
      const std::span<float> to = received_[taken++]->span().first(std::size_t(mine.size()));
      arrays.push_back(to.data());
      if (!to.empty()) transfers.push_back({r, to, false});
    }
    if (r == comm_.rank() || theirs.size() == 0) continue;
    for (const Slot slot : nodes_.items()) transfers.push_back({r, part(slot, theirs), true});
  }
  transport_->exchange(transfers);
  if (mine.size() > 0) fold(mine, nodes, arrays);
}

void DeviceReduction::fold(Range mine, const std::vector<TreeNode>& nodes,
                           const std::vector<float*>& arrays) {
  const auto values = [&](float* array) { return std::span(array, std::size_t(mine.size())); };
  TreeStack<float*> pending(leaves_);
  for (std::size_t i = 0; i < nodes.size(); ++i)
    pending.push(nodes[i], arrays[i],
                 [&](float* left, float* right) { memory_.add(values(right), values(left)); });
  CHECK(pending.nodes().size() == 1);
  memory_.copy(
      values(arrays.front()),
      sum_->span().subspan(std::size_t(mine.begin - my_slice().begin), std::size_t(mine.size())));
}

std::span<float> DeviceReduction::finish_fast() {
  if (my_leaves_.size() == 0) current_ = take_slot();
  for (int r = 0; comm_.size() > 1 && r < comm_.size(); ++r)
    if (slices_[std::size_t(r)].size() > 0)
      transport_->reduce(part(current_, slices_[std::size_t(r)]), r);
  if (comm_.size() > 1) comm_.watched("reduce", [&] { transport_->finish(); });
  free_slots_.push_back(current_);
  return part(current_, my_slice());
}

void DeviceReduction::all_gather(std::span<float> whole) {
  if (comm_.size() == 1) return;
  for (int r = 0; r < comm_.size(); ++r) {
    const Range slice = slices_[std::size_t(r)];
    if (slice.size() > 0)
      transport_->broadcast(whole.subspan(std::size_t(slice.begin), std::size_t(slice.size())), r);
  }
  comm_.watched("all-gather", [&] { transport_->finish(); });
}

}  // namespace tutti
