#include "jobs/two_level_trainer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "jobs/list_builder.h"
#include "jobs/share_lists.h"
#include "kernels/vector/assign.h"
#include "kernels/vector/grouped_centroids.h"
#include "kernels/vector/kmeans_cluster.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/paths.h"
#include "runtime/io/digest.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

// Ranks meet after so many seconds: a failure or a wish to stop on one reaches all.
constexpr double kRoundSeconds = 3;
constexpr std::int64_t kLargestChunk = std::int64_t(1) << 15;  // vectors read at a time

constexpr std::int64_t kRefinements = 2;  // more move few vectors

void append_bytes(std::vector<std::byte>& to, const void* from, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(from);
  to.insert(to.end(), begin, begin + bytes);
}

}  // namespace

// The vectors of one round's groups of this rank, in the order in which they came.
struct TwoLevelTrainer::Arrivals {
  std::vector<std::int64_t> groups;  // consecutive
  std::int64_t dim = 0;
  std::vector<std::int64_t> starts, next;  // of each group's vectors
  std::vector<SampleHeader> headers;
  std::vector<float> values;

  Range of(std::size_t index) const { return {starts[index], starts[index + 1]}; }
};

TwoLevelTrainer::TwoLevelTrainer(JobContext& context, const VectorReader& vectors,
                                 const KmeansOptions& options, nlohmann::json identity)
    : context_(context),
      comm_(context.comm),
      vectors_(vectors),
      options_(options),
      identity_(options.identity(std::move(identity))),
      nlist_(options.lists_for(vectors.rows())),
      sample_(options.sample_of(vectors)),
      coarse_options_(options),
      mine_(part_of(sample_.size(), comm_.size(), comm_.rank())) {
  coarse_options_.nlist = options.groups_for(vectors.rows());
  coarse_options_.sample = std::min(sample_.size(), kSampleOfList * coarse_options_.nlist);
  const std::int64_t vector_bytes = vectors.dim() * std::int64_t(sizeof(float));
  chunk_rows_ =
      std::clamp<std::int64_t>(options.memory_bytes / 4 / (5 * vector_bytes), 64, kLargestChunk);
  chunks_ = comm_.all_reduce_max((mine_.size() + chunk_rows_ - 1) / chunk_rows_);
}

std::vector<Range> TwoLevelTrainer::my_chunks() const {
  std::vector<Range> chunks;
  for (std::int64_t c = 0; c < chunks_; ++c)
    chunks.push_back({std::min(mine_.end, mine_.begin + c * chunk_rows_),
                      std::min(mine_.end, mine_.begin + (c + 1) * chunk_rows_)});
  return chunks;
}

ExitCode TwoLevelTrainer::run() {
  const std::int64_t stages = 1 + std::min(kRefinements, options_.iterations);
  stage_ = restore(stages);
  if (stage_ == 0 && train_groups() == ExitCode::stopped) return ExitCode::stopped;
  for (; stage_ < stages; ++stage_) {
    if (assign_sample() == ExitCode::stopped) return ExitCode::stopped;
    if (stage_ == 0) share_out();
    groups_of_rank_ = balance_lists(sizes_, comm_.size());
    find_finished();
    plan_rounds();
    for (std::int64_t round = 0; round < rounds_; ++round)
      if (work_on(gather(round)) == ExitCode::stopped) return ExitCode::stopped;
    collect();
    comm_.attempt([&] {
      if (comm_.is_root()) save_trained_centroids(folder_of(stage_), result_, key());
    });
  }
  return ExitCode::done;
}

std::string TwoLevelTrainer::key() const { return digest_of(identity_.dump()); }

std::filesystem::path TwoLevelTrainer::folder_of(std::int64_t stage) const {
  return context_.run_folder / kBuildingFolder / fmt::format("stage-{}", stage);
}

// The first stage that is not done.
std::int64_t TwoLevelTrainer::restore(std::int64_t stages) {
  for (std::int64_t stage = stages - 1; stage >= 0; --stage) {
    std::optional<TrainedCentroids> trained;
    comm_.attempt([&] { trained = load_trained_centroids(folder_of(stage), key()); });
    if (comm_.all_reduce_min(std::int64_t(trained.has_value())) == 0) continue;
    result_ = std::move(*trained);
    std::adjacent_difference(result_.starts.begin(), result_.starts.end(),
                             std::back_inserter(shares_));
    shares_.erase(shares_.begin());
    log_info("stage {} of k-means is done already", stage + 1);
    context_.events.write("ready", {{"from", result_.iterations}, {"of", result_.iterations}});
    return stage + 1;
  }
  return 0;
}

// The groups' own centroids.
ExitCode TwoLevelTrainer::train_groups() {
  nlohmann::json identity = identity_;
  identity["lists"] = nlist_;
  CentroidTrainer trainer(context_, vectors_, coarse_options_, identity);
  log_info("{} groups of lists", trainer.centroids().rows);
  if (trainer.run() == ExitCode::stopped) return ExitCode::stopped;
  const ConstMatrixView<float> found = trainer.centroids();
  result_.dim = found.cols;
  result_.iterations = trainer.iterations();
  result_.coarse.assign(found.data, found.data + found.rows * found.cols);
  return ExitCode::done;
}

// Where each vector of the sample belongs.
ExitCode TwoLevelTrainer::assign_sample() {
  std::optional<CodeSpace> space;  // of this rank's vectors: it only makes finding them faster
  std::optional<CodedCentroids> coarse;
  std::optional<GroupedCentroids> grouped;
  sizes_.assign(std::size_t(result_.groups()), 0);
  places_.assign(std::size_t(mine_.size()), Neighbor{});
  for (const Range& chunk : my_chunks()) {
    const auto timed = context_.phases.measure("k-means");
    comm_.attempt([&] {
      const std::vector<std::int64_t> rows = sample_.rows_of(chunk);
      const VectorBatch batch = vectors_.read(rows);
      if (batch.count() == 0) return;
      if (!space) {
        space.emplace(CodeSpace::train(VectorRows(batch.view()), vectors_.metric()));
        if (stage_ == 0)
          coarse.emplace(*space, result_.coarse_view());
        else
          grouped.emplace(*space,
                          CentroidGroups{result_.view(), result_.coarse_view(), result_.starts});
      }
      const QueryCodes codes = space->encode_queries(VectorRows(batch.view()));
      std::vector<Neighbor> nearest(std::size_t(batch.count()));
      const CodedQueries coded{batch.view(), &codes};
      coarse ? coarse->assign_nearest(coded, nearest) : grouped->assign_nearest(coded, nearest);
      note(chunk, rows, batch, nearest);
    });
    if (comm_.all_reduce_max(std::int64_t(stop_requested())) > 0) return ExitCode::stopped;
  }
  comm_.all_reduce_sum(std::span(sizes_));
  return ExitCode::done;
}

void TwoLevelTrainer::note(Range chunk, std::span<const std::int64_t> rows,
                           const VectorBatch& batch, std::span<const Neighbor> nearest) {
  for (std::size_t i = 0, at = 0; i < nearest.size(); ++i, ++at) {
    if (nearest[i].id < 0) throw vectors_.too_large(batch.rows[i]);
    while (rows[at] != batch.rows[i]) ++at;  // bad ones are left out
    places_[std::size_t(chunk.begin - mine_.begin) + at] = nearest[i];
    ++sizes_[std::size_t(group_of(nearest[i].id))];
  }
}

std::int64_t TwoLevelTrainer::group_of(std::int64_t place) const {
  if (stage_ == 0) return place;
  return std::ranges::upper_bound(result_.starts, place) - result_.starts.begin() - 1;
}

// Lists to groups.
void TwoLevelTrainer::share_out() {
  const std::int64_t usable = std::reduce(sizes_.begin(), sizes_.end());
  if (options_.nlist == 0) nlist_ = std::min(nlist_, usable);
  options_.check_usable(nlist_, usable);
  shares_ = share_lists(sizes_, nlist_);
  result_.starts.assign(1, 0);
  std::partial_sum(shares_.begin(), shares_.end(), std::back_inserter(result_.starts));
}

std::size_t TwoLevelTrainer::bytes_of(std::int64_t group) const {
  return sizeof(double) + std::size_t(shares_[std::size_t(group)] * vectors_.dim()) * sizeof(float);
}

// Groups of this rank that earlier starts are done with.
void TwoLevelTrainer::find_finished() {
  const Range groups = groups_of_rank_[std::size_t(comm_.rank())];
  finished_.assign(std::size_t(groups.size()), "");
  nlohmann::json all = identity_;
  const std::vector<float>& before = stage_ == 0 ? result_.coarse : result_.values;
  all["before"] =
      digest_of({reinterpret_cast<const char*>(before.data()), before.size() * sizeof(float)});
  kept_.emplace(folder_of(stage_), kGroupFiles, digest_of(all.dump()), 1);
  comm_.attempt([&] {
    kept_->each([&](Range found, std::string_view bytes) {
      for (std::int64_t g = found.begin; g < found.end; ++g) {
        if (g >= result_.groups() || bytes.size() < bytes_of(g)) return;
        if (groups.contains(g))
          finished_[std::size_t(g - groups.begin)] = bytes.substr(0, bytes_of(g));
        bytes.remove_prefix(bytes_of(g));
      }
    });
  });
}

// Each rank takes as many of its groups in a round as fit its memory, at least one.
void TwoLevelTrainer::plan_rounds() {
  const Range groups = groups_of_rank_[std::size_t(comm_.rank())];
  std::vector<std::int32_t> mine;
  std::int32_t round = 0;
  std::int64_t used = 0;
  for (std::int64_t g = groups.begin; g < groups.end; ++g) {
    if (!finished_[std::size_t(g - groups.begin)].empty()) {
      mine.push_back(-1);
      continue;
    }
    const std::int64_t bytes =
        sizes_[std::size_t(g)] *
        (vectors_.dim() * std::int64_t(sizeof(float)) + std::int64_t(sizeof(std::int64_t)));
    if (used > 0 && used + bytes > options_.memory_bytes / 2) {
      ++round;
      used = 0;
    }
    used += bytes;
    mine.push_back(round);
  }
  round_of_ = comm_.all_gather(std::span<const std::int32_t>(mine));
  rounds_ = round_of_.empty() ? 0 : std::ranges::max(round_of_) + 1;
  if (const auto found = std::ranges::count(round_of_, -1); found > 0)
    log_info("{} of {} groups are done already", found, result_.groups());
}

TwoLevelTrainer::Arrivals TwoLevelTrainer::gather(std::int64_t round) {
  Arrivals arrivals;
  arrivals.dim = vectors_.dim();
  arrivals.starts.assign(1, 0);
  comm_.attempt([&] {
    const Range groups = groups_of_rank_[std::size_t(comm_.rank())];
    for (std::int64_t g = groups.begin; g < groups.end; ++g) {
      if (round_of_[std::size_t(g)] != round) continue;
      arrivals.groups.push_back(g);
      arrivals.starts.push_back(arrivals.starts.back() + sizes_[std::size_t(g)]);
    }
    arrivals.next.assign(arrivals.starts.begin(), arrivals.starts.end() - 1);
    arrivals.headers.resize(std::size_t(arrivals.starts.back()));
    arrivals.values.resize(std::size_t(arrivals.starts.back() * arrivals.dim));
  });
  for (const Range& chunk : my_chunks()) {
    const auto timed = context_.phases.measure("exchange");
    ByteLists to_ranks;
    comm_.attempt([&] { to_ranks = pack(chunk, round); });
    for (const auto& message : comm_.all_to_all(to_ranks)) place(message, arrivals);
  }
  return arrivals;
}

ByteLists TwoLevelTrainer::pack(Range chunk, std::int64_t round) const {
  const std::vector<std::int64_t> all = sample_.rows_of(chunk);
  std::vector<std::int64_t> rows;
  std::vector<SampleHeader> headers;
  for (std::int64_t position = chunk.begin; position < chunk.end; ++position) {
    const Neighbor& place = places_[std::size_t(position - mine_.begin)];
    if (place.id < 0 || round_of_[std::size_t(group_of(place.id))] != round) continue;
    rows.push_back(all[std::size_t(position - chunk.begin)]);
    headers.push_back({place.id, position, double(place.distance)});
  }
  ByteLists to_ranks(std::size_t(comm_.size()));
  if (rows.empty()) return to_ranks;
  const VectorBatch batch = vectors_.read(rows);
  CHECK(batch.skipped == 0);  // they have no group
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const std::int64_t group = group_of(headers[i].place);
    const auto owner =
        std::ranges::find_if(groups_of_rank_, [&](Range groups) { return groups.contains(group); });
    std::vector<std::byte>& message = to_ranks[std::size_t(owner - groups_of_rank_.begin())];
    append_bytes(message, &headers[i], sizeof(SampleHeader));
    append_bytes(message, batch.view().row(std::int64_t(i)),
                 std::size_t(batch.dim) * sizeof(float));
  }
  return to_ranks;
}

void TwoLevelTrainer::place(std::span<const std::byte> message, Arrivals& arrivals) const {
  const std::size_t vector_bytes = std::size_t(arrivals.dim) * sizeof(float);
  for (; !message.empty(); message = message.subspan(sizeof(SampleHeader) + vector_bytes)) {
    SampleHeader header;
    std::memcpy(&header, message.data(), sizeof(header));
    const auto group = std::ranges::lower_bound(arrivals.groups, group_of(header.place));
    const auto to = std::size_t(arrivals.next[std::size_t(group - arrivals.groups.begin())]++);
    arrivals.headers[to] = header;
    std::memcpy(arrivals.values.data() + to * std::size_t(arrivals.dim),
                message.data() + sizeof(header), vector_bytes);
  }
}

ExitCode TwoLevelTrainer::work_on(const Arrivals& arrivals) {
  for (std::size_t next = 0;;) {
    const auto timed = context_.phases.measure("k-means");
    comm_.attempt([&] { work_for(kRoundSeconds, arrivals, next); });
    const std::int64_t done = comm_.all_reduce_sum(std::ranges::count_if(
        finished_, [](const std::string& result) { return !result.empty(); }));
    context_.events.write("groups",
                          {{"stage", stage_ + 1}, {"groups", done}, {"of", result_.groups()}});
    std::array<std::int64_t, 2> state = {next < arrivals.groups.size(), stop_requested()};
    comm_.all_reduce_sum(std::span(state));
    if (state[0] && !state[1]) continue;
    comm_.attempt([&] { kept_->flush(); });
    return state[1] ? ExitCode::stopped : ExitCode::done;
  }
}

void TwoLevelTrainer::work_for(double seconds, const Arrivals& arrivals, std::size_t& next) {
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  const std::int64_t first = groups_of_rank_[std::size_t(comm_.rank())].begin;
  for (; next < arrivals.groups.size() && Clock::now() < end && !stop_requested(); ++next) {
    const std::int64_t group = arrivals.groups[next];
    std::string& result = finished_[std::size_t(group - first)];
    result = finish_group(next, arrivals);
    kept_->add({group, group + 1}, result);
  }
}

// The vectors in order of the sample, so that nothing shows of the way they came.
std::string TwoLevelTrainer::finish_group(std::size_t index, const Arrivals& arrivals) const {
  const std::int64_t group = arrivals.groups[index];
  const Range its = arrivals.of(index);
  std::vector<std::int64_t> order(std::size_t(its.size()));
  std::iota(order.begin(), order.end(), its.begin);
  std::ranges::sort(order, {},
                    [&](std::int64_t i) { return arrivals.headers[std::size_t(i)].position; });
  SampleGroup sample{arrivals.dim, {}, {}};
  for (const std::int64_t i : order) {
    const auto row = arrivals.values.begin() + i * arrivals.dim;
    sample.values.insert(sample.values.end(), row, row + arrivals.dim);
    sample.headers.push_back(arrivals.headers[std::size_t(i)]);
  }
  std::vector<float> centroids(std::size_t(shares_[std::size_t(group)] * arrivals.dim));
  const MatrixView<float> view(centroids.data(), shares_[std::size_t(group)], arrivals.dim);
  const double sum = stage_ == 0 ? cluster(group, sample, view) : refine(group, sample, view);
  std::string result(bytes_of(group), '\0');
  std::memcpy(result.data(), &sum, sizeof(double));
  std::memcpy(result.data() + sizeof(double), centroids.data(), centroids.size() * sizeof(float));
  return result;
}

double TwoLevelTrainer::cluster(std::int64_t group, const SampleGroup& sample,
                                MatrixView<float> centroids) const {
  const Clustering done =
      kmeans_cluster(sample.view(),
                     {vectors_.metric(), options_.iterations,
                      std::uint64_t(options_.seed) + std::uint64_t(group), options_.balance},
                     centroids);
  if (!done.lost) return done.distance_sum;
  const std::int64_t position = sample.headers[std::size_t(*done.lost)].position;
  throw vectors_.too_large(sample_.rows_of({position, position + 1})[0]);
}

// An iteration over all of the sample: what came was nearest to the group's lists.
double TwoLevelTrainer::refine(std::int64_t group, const SampleGroup& sample,
                               MatrixView<float> centroids) const {
  const std::int64_t first = result_.starts[std::size_t(group)];
  std::copy_n(result_.view().row(first), centroids.rows * centroids.cols, centroids.data);
  return refine_centroids(sample, first, vectors_.metric(), centroids);
}

void TwoLevelTrainer::collect() {
  std::vector<double> sums;
  std::vector<float> values;
  for (const std::string& result : finished_) {
    sums.emplace_back();
    std::memcpy(&sums.back(), result.data(), sizeof(double));
    const std::size_t before = values.size();
    values.resize(before + (result.size() - sizeof(double)) / sizeof(float));
    std::memcpy(values.data() + before, result.data() + sizeof(double),
                result.size() - sizeof(double));
  }
  result_.values = comm_.all_gather(std::span<const float>(values));
  sums = comm_.all_gather(std::span<const double>(sums));
  const double mean = std::accumulate(sums.begin(), sums.end(), 0.0) /
                      double(std::reduce(sizes_.begin(), sizes_.end()));
  log_info("k-means of {} groups, stage {}  mean distance {:.6g}", result_.groups(), stage_ + 1,
           mean);
}

}  // namespace tutti
