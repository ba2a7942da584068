#include "jobs/centroid_trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "kernels/vector/assign.h"
#include "kernels/vector/kmeans.h"
#include "kernels/vector/kmeans_cluster.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/data/paths.h"
#include "runtime/data/sampler.h"

namespace tutti {
namespace {

std::int64_t blocks_of(std::int64_t count, std::int64_t block) {
  return (count + block - 1) / block;
}

}  // namespace

nlohmann::json KmeansOptions::identity(nlohmann::json vectors) const {
  vectors.update({{"index.nlist", nlist},
                  {"kmeans.iterations", iterations},
                  {"kmeans.sample", sample},
                  {"kmeans.levels", levels},
                  {"kmeans.balance", balance},
                  {"kmeans.seed", seed},
                  {"kmeans.block", block}});
  return vectors;
}

std::int64_t KmeansOptions::lists_for(std::int64_t rows) const {
  return nlist > 0 ? nlist : std::lround(4 * std::sqrt(double(rows)));
}

// A vector is compared with the groups once, and with the lists of its own in each iteration.
std::int64_t KmeansOptions::groups_for(std::int64_t rows) const {
  const std::int64_t lists = lists_for(rows);
  if (levels == 1 || (levels == 0 && lists < kTwoLevels)) return 0;
  return std::min(lists, std::lround(2 * std::sqrt(double(lists))));
}

RowSample KmeansOptions::sample_of(const VectorReader& vectors) const {
  const std::int64_t rows = vectors.rows(), enough = kSampleOfList * lists_for(rows);
  return {rows, vectors.dim() * vectors.element_bytes(),
          std::min(rows, sample == 0 ? enough : sample), std::uint64_t(seed)};
}

void KmeansOptions::check_usable(std::int64_t lists, std::int64_t usable) const {
  if (lists <= usable) return;
  throw Error(ExitCode::usage,
              fmt::format("{} lists need as many vectors; there are {} to train on", lists, usable),
              "index.nlist",
              "lower index.nlist, raise kmeans.sample, or leave index.nlist at 0 to have it chosen")
      .as_agreed();
}

CentroidTrainer::CentroidTrainer(JobContext& context, const VectorReader& vectors,
                                 const KmeansOptions& options, nlohmann::json identity)
    : context_(context),
      comm_(context.comm),
      vectors_(vectors),
      options_(options),
      identity_(options.identity(std::move(identity))),
      sample_(options.sample_of(vectors)),
      leaves_(blocks_of(sample_.size(), options.block)),
      mine_(part_of(leaves_, comm_.size(), comm_.rank())),
      tree_(0, mine_, leaves_),
      checkpoints_(context, options.checkpoint, "iteration") {
  const std::int64_t count = mine_.size() * options.block;
  const std::int64_t vector_bytes = count * vectors.dim() * std::int64_t(sizeof(float));
  const std::int64_t code_bytes = count * QueryCodes::most_bytes(vectors.dim());
  if (vector_bytes <= options.memory_bytes) kept_.resize(std::size_t(mine_.size()));
  if (vector_bytes + code_bytes <= options.memory_bytes) codes_.resize(kept_.size());
  lists_.resize(std::size_t(mine_.size()));
  count_usable();
  choose_nlist();
  identity_.update({{"index.nlist", nlist_}, {"kmeans.sample", sample_.size()}});
  comm_.attempt([&] {
    centroids_.grow(nlist_ * vectors.dim());
    sums_.grow(nlist_ * vectors.dim());
    tree_ = TreeSum<double>(nlist_ * vectors.dim(), mine_, leaves_);
  });
}

std::vector<std::int64_t> CentroidTrainer::rows_of(std::int64_t leaf) const {
  const std::int64_t begin = leaf * options_.block;
  return sample_.rows_of({begin, std::min(sample_.size(), begin + options_.block)});
}

const VectorBatch& CentroidTrainer::load(std::int64_t leaf) {
  if (kept_.empty()) {
    if (streamed_leaf_ != leaf) streamed_ = vectors_.read(rows_of(leaf));
    streamed_leaf_ = leaf;
    return streamed_;
  }
  VectorBatch& batch = kept_[std::size_t(leaf - mine_.begin)];
  if (batch.dim == 0) batch = vectors_.read(rows_of(leaf));
  return batch;
}

void CentroidTrainer::count_usable() {
  const auto timed = context_.phases.measure("load");
  std::vector<std::int64_t> mine;
  comm_.attempt([&] {
    for (std::int64_t leaf = mine_.begin; leaf < mine_.end; ++leaf)
      mine.push_back(load(leaf).count());
  });
  const std::vector<std::int64_t> all = comm_.all_gather(std::span<const std::int64_t>(mine));
  usable_.assign(1, 0);
  std::partial_sum(all.begin(), all.end(), std::back_inserter(usable_));
}

void CentroidTrainer::choose_nlist() {
  const std::int64_t usable = usable_.back();
  nlist_ = options_.lists_for(vectors_.rows());
  if (options_.nlist == 0) nlist_ = std::min(nlist_, usable);
  if (usable == 0)
    throw Error(ExitCode::data, "none of the vectors can be indexed",
                vectors_.dataset().folder().string(),
                "all of them hold a NaN or an infinity, or are all zeros")
        .as_agreed();
  options_.check_usable(nlist_, usable);
}

// Centroid i is the usable vector of the sample at place i of a keyed permutation.
void CentroidTrainer::draw_centroids() {
  const Sampler order(usable_.back(), std::uint64_t(options_.seed));
  struct Draw {
    std::int64_t leaf, place, centroid;  // the place within the leaf
  };
  std::vector<Draw> draws;
  for (std::int64_t i = 0; i < nlist_; ++i) {
    const std::int64_t drawn = order.at(0, i);
    const std::int64_t leaf =
        std::upper_bound(usable_.begin(), usable_.end(), drawn) - usable_.begin() - 1;
    draws.push_back({leaf, drawn - usable_[std::size_t(leaf)], i});
  }
  std::ranges::stable_sort(draws, {}, &Draw::leaf);
  std::vector<float> chosen;
  comm_.attempt([&] {
    for (const Draw& d : draws) {
      if (!mine_.contains(d.leaf)) continue;
      const VectorBatch& batch = load(d.leaf);  // in order of leaf, so that each is read once
      const auto row = batch.values.begin() + d.place * batch.dim;
      chosen.insert(chosen.end(), row, row + batch.dim);
    }
  });
  const std::vector<float> all = comm_.all_gather(std::span<const float>(chosen));
  for (std::size_t i = 0; i < draws.size(); ++i)
    std::copy_n(all.begin() + std::ptrdiff_t(i) * vectors_.dim(), vectors_.dim(),
                centroids_.begin() + draws[i].centroid * vectors_.dim());
}

std::vector<ArraySlice> CentroidTrainer::slices(Range elements) {
  const std::span<float> all(centroids_.data(), std::size_t(nlist_ * vectors_.dim()));
  return {slice_of("centroids", std::int64_t(all.size()), elements,
                   all.subspan(std::size_t(elements.begin), std::size_t(elements.size())))};
}

Snapshot CentroidTrainer::snapshot() {
  return {slices(part_of(nlist_ * vectors_.dim(), comm_.size(), comm_.rank())),
          {{"iteration", iteration_}},
          identity_};
}

void CentroidTrainer::restore() {
  const auto saved = checkpoints_.restore(identity_, slices({0, nlist_ * vectors_.dim()}));
  if (saved) {
    iteration_ = saved->at("iteration");
    return;
  }
  const auto timed = context_.phases.measure("load");
  draw_centroids();
}

ExitCode CentroidTrainer::run() {
  restore();
  context_.events.write("ready", {{"from", iteration_}, {"of", options_.iterations}});
  const std::int64_t first = iteration_;
  while (iteration_ < options_.iterations) {
    if (checkpoints_.boundary([&] { return snapshot(); })) return ExitCode::stopped;
    iterate();
  }
  if (iteration_ > first) checkpoints_.save(snapshot());
  return ExitCode::done;
}

void CentroidTrainer::train_space() {
  VectorBatch sample;
  for (std::int64_t leaf = mine_.begin; leaf < mine_.end && sample.count() == 0; ++leaf)
    sample = load(leaf);
  if (sample.count() == 0)
    sample = {vectors_.dim(), std::vector<float>(std::size_t(vectors_.dim())), {0}, 0};
  space_.emplace(CodeSpace::train(VectorRows(std::as_const(sample).view()), vectors_.metric()));
}

const QueryCodes& CentroidTrainer::codes_of(std::int64_t leaf, const VectorBatch& batch) {
  QueryCodes& codes = codes_.empty() ? streamed_codes_ : codes_[std::size_t(leaf - mine_.begin)];
  if (codes_.empty() || codes.code_dim == 0)
    codes = space_->encode_queries(VectorRows(batch.view()));
  return codes;
}

void CentroidTrainer::iterate() {
  comm_.set_step(iteration_);
  tree_.reset();
  counts_.assign(std::size_t(nlist_), 0);
  std::vector<double> distances;
  {
    const auto timed = context_.phases.measure("k-means");
    comm_.attempt([&] {
      if (mine_.size() == 0) return;
      if (!space_) train_space();
      const CodedCentroids coded(*space_, centroids());
      for (std::int64_t leaf = mine_.begin; leaf < mine_.end; ++leaf)
        distances.push_back(add_leaf(leaf, coded));
    });
  }
  const auto timed = context_.phases.measure("reduce");
  const std::span<double> sums(sums_.data(), std::size_t(nlist_ * vectors_.dim()));
  all_reduce(comm_, tree_, sums);
  comm_.all_reduce_sum(std::span(counts_));
  const double mean = tree_sum(comm_, distances, leaves_) / double(usable_.back());
  const ListRepairs repaired = kmeans_update(
      MatrixView<const double>(sums_.data(), nlist_, vectors_.dim()), counts_,
      vectors_.metric() != Metric::l2, MatrixView<float>(centroids_.data(), nlist_, vectors_.dim()),
      kmeans_balance(options_.balance, iteration_, options_.iterations));
  ++iteration_;
  log_info("k-means {}/{}  mean distance {:.6g}  {} empty lists filled, {} large ones split",
           iteration_, options_.iterations, mean, repaired.empty, repaired.small);
  context_.events.write("kmeans", {{"iteration", iteration_},
                                   {"iterations", options_.iterations},
                                   {"mean_distance", mean},
                                   {"empty_lists", repaired.empty},
                                   {"split_lists", repaired.small}});
}

// Adds a leaf's vectors to the tree and the counts; returns the sum of their distances.
double CentroidTrainer::add_leaf(std::int64_t leaf, const CodedCentroids& centroids) {
  const VectorBatch& batch = load(leaf);
  std::vector<std::int32_t>& lists = lists_[std::size_t(leaf - mine_.begin)];
  lists.resize(std::size_t(batch.count()), -1);
  nearest_.assign(lists.size(), Neighbor{});
  for (std::size_t i = 0; i < lists.size(); ++i) nearest_[i].id = lists[i];
  centroids.assign_nearest({batch.view(), &codes_of(leaf, batch)}, nearest_);
  if (const auto lost = std::ranges::find(nearest_, -1, &Neighbor::id); lost != nearest_.end())
    throw vectors_.too_large(batch.rows[std::size_t(lost - nearest_.begin())]);
  std::ranges::transform(nearest_, lists.begin(),
                         [](const Neighbor& n) { return std::int32_t(n.id); });
  const std::span<double> sums = tree_.next();
  kmeans_accumulate(VectorRows(batch.view()), nearest_,
                    MatrixView<double>(sums.data(), nlist_, vectors_.dim()), counts_);
  tree_.push();
  return std::accumulate(nearest_.begin(), nearest_.end(), 0.0,
                         [](double sum, const Neighbor& n) { return sum + double(n.distance); });
}

}  // namespace tutti
