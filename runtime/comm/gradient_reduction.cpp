#include "runtime/comm/gradient_reduction.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "kernels/core/parallel.h"
#include "runtime/base/check.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

// Elements that travel together: long enough for the network, short enough to follow the backward
// pass closely and to take little memory at the receiver.
constexpr std::int64_t kBucket = 64 * kArenaBlock;
// Buckets under way: one travels while the next is added up. More would take memory and time from
// the receiver alone, which is the same for neighbouring buckets, as slices are contiguous.
constexpr std::size_t kInFlight = 2;
// Between two looks at what is under way; the processor belongs to the backward pass.
constexpr auto kPause = std::chrono::microseconds(50);

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

GradientReduction::GradientReduction(Comm& comm, std::int64_t size, std::int64_t leaves,
                                     std::vector<Range> slices, ReduceOrder order)
    : comm_(comm),
      size_(size),
      leaves_(leaves),
      slices_(std::move(slices)),
      order_(order),
      my_leaves_(part_of(leaves, comm.size(), comm.rank())),
      tree_(size, my_leaves_, leaves),
      next_leaf_(my_leaves_.begin),
      final_from_(size) {
  CHECK(std::int64_t(slices_.size()) == comm.size());
  if (order == ReduceOrder::fast)
    plain_.grow(size);
  else if (my_leaves_.size() == 0)
    alone_.grow(std::max<std::int64_t>(my_slice().size(), 1));
}

GradientReduction::~GradientReduction() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  condition_.notify_one();
  thread_.join();
}

std::int64_t GradientReduction::buckets() const { return (size_ + kBucket - 1) / kBucket; }

Range GradientReduction::bucket(std::int64_t index) const {
  return {index * kBucket, std::min(size_, (index + 1) * kBucket)};
}

std::span<float> GradientReduction::next_leaf() {
  CHECK(next_leaf_ < my_leaves_.end);
  ++next_leaf_;
  if (order_ == ReduceOrder::exact) {
    const std::span<float> leaf = tree_.next();
    if (in_last_leaf()) tree_.push_unadded();
    return leaf;
  }
  if (next_leaf_ == my_leaves_.begin + 1) clear_plain();
  return plain_.span().first(std::size_t(size_));
}

void GradientReduction::clear_plain() {
  parallel_for(buckets(), [&](std::int64_t b) {
    std::fill(plain_.data() + bucket(b).begin, plain_.data() + bucket(b).end, 0.0f);
  });
}

void GradientReduction::declare_final(std::int64_t begin) {
  CHECK(in_last_leaf());
  if (!thread_.joinable() && comm_.size() > 1 && comm_.local_may_delegate()) start_thread();
  {
    const std::lock_guard lock(mutex_);
    final_from_ = begin;
  }
  condition_.notify_one();
}

void GradientReduction::push_leaf() {
  if (in_last_leaf())
    declare_final(0);
  else if (order_ == ReduceOrder::exact)
    tree_.push();
}

void GradientReduction::start_thread() {
  thread_ = std::thread([this] {
    use_one_thread();
    try {
      exchange_all();
    } catch (...) {
      failure_ = std::current_exception();
    }
  });
}

std::span<float> GradientReduction::finish() {
  CHECK(next_leaf_ == my_leaves_.end);
  const Clock::time_point start = Clock::now();
  comm_.watched("reduce-scatter", [&] {
    if (thread_.joinable()) return thread_.join();
    if (order_ == ReduceOrder::fast && my_leaves_.size() == 0)
      clear_plain();  // it holds the last step's sum
    final_from_ = 0;
    exchange_all();
  });
  hidden_seconds_ = std::max(0.0, std::exchange(busy_seconds_, 0) - seconds_since(start));
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  const std::span<float> sum = slice_sum();
  tree_.reset();
  next_leaf_ = my_leaves_.begin;
  final_from_ = size_;
  return sum;
}

// The slice is summed up where it stands in this rank's first array, so that it takes no memory.
std::span<float> GradientReduction::slice_sum() {
  const std::size_t begin = std::size_t(my_slice().begin), size = std::size_t(my_slice().size());
  if (order_ == ReduceOrder::fast) return plain_.span().subspan(begin, size);
  if (my_leaves_.size() == 0) return alone_.span().first(size);
  return tree_.values(0).subspan(begin, size);
}

void GradientReduction::discard_sum() {
  tree_.discard();
  plain_.discard(0, plain_.size());
}

bool GradientReduction::wait_until_final(std::int64_t begin, bool idle) {
  std::unique_lock lock(mutex_);
  const auto is_final = [&] { return final_from_ <= begin; };
  if (idle) condition_.wait(lock, [&] { return cancelled_ || is_final(); });
  return !cancelled_ && is_final();
}

void GradientReduction::exchange_all() {
  std::deque<Bucket> under_way;
  Clock::time_point busy_from;
  for (std::int64_t next = buckets() - 1; !cancelled_ && (next >= 0 || !under_way.empty());) {
    const bool idle = under_way.empty();
    if (next >= 0 && under_way.size() < kInFlight && wait_until_final(bucket(next).begin, idle)) {
      if (idle) busy_from = Clock::now();
      under_way.push_back(start_bucket(bucket(next--)));
    } else if (!under_way.empty() && under_way.front().local_done()) {
      finish_bucket(under_way.front());
      under_way.pop_front();
      if (under_way.empty()) busy_seconds_ += seconds_since(busy_from);
    } else {
      std::this_thread::sleep_for(kPause);
    }
  }
}

GradientReduction::Bucket GradientReduction::start_bucket(Range elements) {
  Bucket started;
  if (order_ == ReduceOrder::exact) {
    if (my_leaves_.size() > 0) tree_.add(elements);
    started.exchange = std::make_unique<TreeExchange<float>>(comm_, tree_, slices_, elements);
    return started;
  }
  for (int r = 0; r < comm_.size() && comm_.size() > 1; ++r) {
    const std::int64_t begin = std::max(elements.begin, slices_[std::size_t(r)].begin),
                       end = std::min(elements.end, slices_[std::size_t(r)].end);
    if (begin < end)
      started.reductions.push_back(comm_.start_reduce(
          plain_.span().subspan(std::size_t(begin), std::size_t(end - begin)), r));
  }
  return started;
}

bool GradientReduction::Bucket::local_done() {
  if (exchange) return exchange->local_done();
  return std::all_of(reductions.begin(), reductions.end(),
                     [](Comm::Pending& pending) { return pending.local_done(); });
}

void GradientReduction::finish_bucket(Bucket& bucket) {
  if (bucket.exchange) bucket.exchange->finish(slice_sum());
}

}  // namespace tutti
