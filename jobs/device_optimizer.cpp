#include "jobs/device_optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/optim/gradient_norm.h"
#include "runtime/comm/tree_sum.h"

namespace tutti {
namespace {

// Ranks find each other by an identifier that the root makes. Collective.
std::unique_ptr<DeviceTransport> connect(Comm& comm, DeviceSession& device) {
  if (comm.size() == 1) return nullptr;
  const std::string id =
      comm.broadcast_string(comm.is_root() ? device.make_transport_id() : std::string());
  return device.connect(id, comm.size(), comm.rank());
}

}  // namespace

DeviceShardedOptimizer::DeviceShardedOptimizer(Comm& comm, DeviceSession& device,
                                               const ArenaLayout& layout, std::int64_t leaves,
                                               const OptimizerOptions& options, PhaseTimer& phases)
    : comm_(comm),
      device_(device),
      layout_(layout),
      options_(options),
      phases_(phases),
      slices_(slices_of(layout, comm.size())),
      parameters_(device.memory().make_array(layout.padded_size())),
      first_moment_(make_slice()),
      second_moment_(make_slice()),
      average_(averages() ? make_slice() : nullptr),
      transport_(connect(comm, device)),
      reduction_(comm, device.memory(), transport_.get(), layout.padded_size(), leaves, slices_,
                 options.order) {}

std::unique_ptr<DeviceArray> DeviceShardedOptimizer::make_slice() {
  return device_.memory().make_array(std::max<std::int64_t>(my_slice().size(), 1));
}

void DeviceShardedOptimizer::fill_parameters(const std::function<void(std::span<float>)>& fill) {
  AlignedBuffer<float> host(layout_.padded_size());
  fill(host.span());
  device_.memory().copy(host.span(), parameters_->span());
  device_.memory().synchronize();
}

std::span<const float> DeviceShardedOptimizer::host_parameters() {
  host_parameters_.grow(layout_.padded_size());
  device_.memory().copy(parameters_->span(), host_parameters_.span());
  device_.memory().synchronize();
  return host_parameters_.span();
}

void DeviceShardedOptimizer::add_saved(const char* name, std::span<float> device) {
  saved_.push_back(
      {name, device,
       device_.memory().make_host_array(std::max<std::int64_t>(1, std::ssize(device)))});
}

std::vector<ArraySlice> DeviceShardedOptimizer::my_slices() {
  if (saved_.empty()) {
    add_saved("parameters", my_parameters());
    add_saved("first_moment", my_part(*first_moment_));
    add_saved("second_moment", my_part(*second_moment_));
    if (averages()) add_saved("average", my_part(*average_));
  }
  std::vector<ArraySlice> all;
  for (Saved& saved : saved_) {
    const std::span<float> host = saved.host->span().first(saved.device.size());
    device_.memory().copy(saved.device, host);
    all.push_back(slice_of(saved.name, layout_.padded_size(), my_slice(), host));
  }
  device_.memory().synchronize();
  return all;
}

void DeviceShardedOptimizer::slices_restored() {
  for (Saved& saved : saved_)
    device_.memory().copy(saved.host->span().first(saved.device.size()), saved.device);
  device_.memory().synchronize();
  reduction_.all_gather(parameters_->span());
}

double DeviceShardedOptimizer::reduce(double scale) {
  const auto timed = phases_.measure("reduce");
  gradient_ = reduction_.finish();
  device_.optimizer().clear_frozen(layout_, options_.rules, my_slice().begin, gradient_);
  std::vector<double> squares(std::size_t(my_slice().size() / kArenaBlock));
  device_.optimizer().block_square_sums(gradient_, squares);
  scale_ = scale;
  norm_ = scale * std::sqrt(tree_sum(comm_, squares, layout_.block_count()));
  return norm_;
}

void DeviceShardedOptimizer::update(std::int64_t step, double learning_rate) {
  const auto timed = phases_.measure("optimizer");
  AdamWOptions adamw = options_.adamw;
  adamw.learning_rate = float(learning_rate);
  const float scale = float(scale_ * clip_scale(norm_, options_.clip_norm));
  device_.optimizer().adamw_update(layout_, adamw, step + 1, scale,
                                   {my_slice().begin, my_parameters(), gradient_,
                                    my_part(*first_moment_), my_part(*second_moment_)},
                                   options_.rules);
  if (averages())
    device_.optimizer().update_moving_average(float(options_.average_decay), my_parameters(),
                                              my_part(*average_));
  reduction_.all_gather(parameters_->span());
}

void DeviceShardedOptimizer::start_average() {
  if (averages()) device_.memory().copy(my_parameters(), my_part(*average_));
}

void DeviceShardedOptimizer::swap_average() {
  if (!averages()) return;
  device_.memory().swap(my_parameters(), my_part(*average_));
  reduction_.all_gather(parameters_->span());
}

}  // namespace tutti
