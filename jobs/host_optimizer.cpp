#include "jobs/host_optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/optim/gradient_norm.h"
#include "kernels/optim/moving_average.h"

namespace tutti {

HostOptimizer::HostOptimizer(Comm& comm, const ArenaLayout& layout, std::int64_t leaves,
                             const OptimizerOptions& options, PhaseTimer& phases)
    : comm_(comm),
      layout_(layout),
      options_(options),
      phases_(phases),
      slices_(slices_of(layout, comm.size())),
      parameters_(layout.padded_size()),
      first_moment_(std::max<std::int64_t>(my_slice().size(), 1)),
      second_moment_(std::max<std::int64_t>(my_slice().size(), 1)),
      average_(averages() ? first_moment_.size() : 0),
      reduction_(comm, layout.padded_size(), leaves, slices_, options.order) {}

std::vector<ArraySlice> HostOptimizer::my_slices() {
  const std::int64_t size = layout_.padded_size();
  std::vector<ArraySlice> all = {
      slice_of("parameters", size, my_slice(), my_parameters()),
      slice_of("first_moment", size, my_slice(), my_part(first_moment_)),
      slice_of("second_moment", size, my_slice(), my_part(second_moment_))};
  if (averages()) all.push_back(slice_of("average", size, my_slice(), my_part(average_)));
  return all;
}

FinalGradients HostOptimizer::on_final() {
  if (!reduction_.in_last_leaf()) return {};
  return [this](std::int64_t begin) { reduction_.declare_final(begin); };
}

double HostOptimizer::reduce(double scale) {
  const auto timed = phases_.measure("reduce");
  gradient_ = reduction_.finish();
  phases_.add_hidden("reduce", reduction_.hidden_seconds());
  clear_frozen(layout_, options_.rules, my_slice().begin, gradient_);
  std::vector<double> squares(std::size_t(my_slice().size() / kArenaBlock));
  block_square_sums(gradient_, squares);
  scale_ = scale;
  norm_ = scale * std::sqrt(tree_sum(comm_, squares, layout_.block_count()));
  return norm_;
}

void HostOptimizer::update(std::int64_t step, double learning_rate) {
  const Range slice = my_slice();
  {
    const auto timed = phases_.measure("optimizer");
    AdamWOptions adamw = options_.adamw;
    adamw.learning_rate = float(learning_rate);
    const float scale = float(scale_ * clip_scale(norm_, options_.clip_norm));
    // More ranks than arena blocks leave some without any.
    if (slice.size() > 0)
      adamw_update(layout_, adamw, step + 1, scale,
                   {slice.begin, my_parameters(), gradient_, my_part(first_moment_),
                    my_part(second_moment_)},
                   options_.rules);
    if (averages())
      update_moving_average(float(options_.average_decay), my_parameters(), my_part(average_));
  }
  // Parameters of other ranks take the room of the gradient, see discard_parameters().
  if (comm_.size() > 1) reduction_.discard_sum();
  gather_parameters();
}

void HostOptimizer::start_average() {
  if (averages()) std::ranges::copy(my_parameters(), average_.begin());
}

void HostOptimizer::swap_average() {
  if (!averages()) return;
  std::ranges::swap_ranges(my_parameters(), my_part(average_));
  gather_parameters();
}

void HostOptimizer::gather_parameters() {
  const auto timed = phases_.measure("reduce");
  std::vector<std::int64_t> bytes;
  for (const Range& s : slices_) bytes.push_back(s.size() * std::int64_t(sizeof(float)));
  comm_.all_gather_bytes(std::as_bytes(my_parameters()), std::as_writable_bytes(parameters_.span()),
                         bytes);
  whole_ = true;
}

void HostOptimizer::discard_parameters(std::span<const ParameterPlace> places) {
  if (comm_.size() == 1) return;
  whole_ = false;
  const Range mine = my_slice();
  for (const ParameterPlace& place : places) {
    const std::int64_t end = place.offset + place.size;
    if (place.offset < mine.begin) parameters_.discard(place.offset, std::min(end, mine.begin));
    if (end > mine.end) parameters_.discard(std::max(place.offset, mine.end), end);
  }
}

void HostOptimizer::make_whole() {
  if (!whole_) gather_parameters();
}

}  // namespace tutti
