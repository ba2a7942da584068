#include "jobs/range_search.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "jobs/found_passages.h"
#include "jobs/published_distance.h"
#include "jobs/ranges_output.h"
#include "jobs/set_searcher.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/commit.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

// One more than are wanted tells whether there are more.
std::int64_t most_kept(const SearchConfig& config) {
  return config.range_limit > 0 ? config.range_limit + 1 : TopK::kAll;
}

class RangeSearch {
 public:
  RangeSearch(JobContext& context, const SearchConfig& config, const IndexSet& indexes,
              std::span<const EntryFilter> filters, QuerySource& queries)
      : context_(context),
        comm_(context.comm),
        config_(config),
        indexes_(indexes),
        queries_(queries),
        nprobe_(std::min(config.nprobe, indexes.most_lists())),
        probing_(config.mode != "exact"),
        limit_(distance_limit(*config.radius, indexes.metric())),
        sample_(probing_ ? load_sample(context, queries, indexes.front()) : std::vector<float>()),
        searcher_(
            context, indexes, most_kept(config), config.memory - config.memory / 8,
            {.queries = queries.count(),
             .nprobe = nprobe_,
             .all_lists = config.mode != "probe" || !filters.empty(),
             .filters = filters,
             .plan = config.plan(),
             .sample = {sample_.data(), std::ssize(sample_) / indexes.dim(), indexes.dim()}}) {
    if (!queries.texts.empty()) passages_.emplace(context, indexes, config.dataset, config.show);
    if (filters.empty()) return;
    context_.result["where"] = config.where;
    context_.result["where_passing"] = searcher_.passing();
  }

  ExitCode run() {
    begin_artefact(comm_, context_.run_folder);
    output_.emplace(context_, indexes_);
    const std::int64_t batch = config_.batch_of(queries_);
    for (std::int64_t at = 0; at < queries_.count(); at += batch) {
      if (comm_.all_reduce_max(std::int64_t(stop_requested())) > 0) return ExitCode::stopped;
      search({at, std::min(queries_.count(), at + batch)});
    }
    report(commit());
    return ExitCode::done;
  }

 private:
  void search(Range range) {
    const std::vector<float> vectors = load_checked(context_, queries_, range, indexes_.front());
    const ConstMatrixView<float> queries(vectors.data(), range.size(), indexes_.dim());
    const auto start = Clock::now();
    FoundLists found = probing_ ? searcher_.probe_within(queries, nprobe_, limit_)
                                : searcher_.exact_within(queries, limit_);
    seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
    if (config_.mode == "both")
      true_neighbors_ += std::ssize(searcher_.exact_within(queries, limit_).neighbors);
    found = within_limit(std::move(found));
    found_ += std::ssize(found.neighbors);
    output_->append(found);
    if (passages_)
      for (std::int64_t q = 0; q < found.queries(); ++q) passages_->keep(found.of(q));
    log_info("{} of {} queries", range.end, queries_.count());
  }

  // Without what is beyond search.range_limit; counts the queries that had more.
  FoundLists within_limit(FoundLists found) {
    if (config_.range_limit == 0) return found;
    FoundLists kept;
    for (std::int64_t q = 0; q < found.queries(); ++q) {
      const auto all = found.of(q);
      const bool cut = std::ssize(all) > config_.range_limit;
      cut_ += cut;
      kept.add(cut ? all.first(std::size_t(config_.range_limit)) : all);
    }
    return kept;
  }

  Manifest commit() {
    const auto timed = context_.phases.measure("commit");
    ArtefactParts parts;
    parts.files = output_->finish();
    nlohmann::json metadata = {{"queries", queries_.count()},
                               {"radius", *config_.radius},
                               {"neighbors", found_},
                               {"metric", name_of(indexes_.metric())},
                               {"mode", probing_ ? "probe" : "exact"}};
    indexes_.describe(metadata);
    if (probing_) metadata["nprobe"] = nprobe_;
    if (!config_.where.empty()) metadata["where"] = config_.where;
    if (config_.range_limit > 0)
      metadata.update({{"range_limit", config_.range_limit}, {"cut_queries", cut_}});
    return commit_artefact(comm_, context_.run_folder, {kRangesKind, {}, metadata}, parts);
  }

  void report(const Manifest& manifest) {
    nlohmann::json& result = context_.result;
    const auto count = double(queries_.count());
    result.update({{"ranges_digest", manifest.digest},
                   {"queries", queries_.count()},
                   {"radius", *config_.radius},
                   {"neighbors", found_},
                   {"queries_per_second", count / seconds_}});
    if (probing_) result["nprobe"] = nprobe_;
    if (config_.range_limit > 0) result["cut_queries"] = cut_;
    log_info("{} queries, {} neighbours within {}, {:.0f} queries/s, digest {}", queries_.count(),
             found_, *config_.radius, count / seconds_, manifest.digest);
    if (cut_ > 0)
      log_warning(
          "{} queries have more than search.range_limit = {} neighbours: the nearest of "
          "them are kept",
          cut_, config_.range_limit);
    if (config_.mode == "both") {
      result["recall_in_radius"] = true_neighbors_ ? double(found_) / double(true_neighbors_) : 1;
      log_info("recall_in_radius {:.4f}", result["recall_in_radius"].get<double>());
    }
    if (passages_) passages_->tell(queries_.texts);
  }

  JobContext& context_;
  Comm& comm_;
  const SearchConfig& config_;
  const IndexSet& indexes_;
  QuerySource& queries_;
  const std::int64_t nprobe_;
  const bool probing_;
  const float limit_;
  const std::vector<float> sample_;
  SetSearcher searcher_;
  std::optional<RangesOutput> output_;
  std::optional<FoundPassages> passages_;                  // where there are questions
  std::int64_t found_ = 0, true_neighbors_ = 0, cut_ = 0;  // the root's
  double seconds_ = 0;
};

}  // namespace

ExitCode run_range_search(JobContext& context, const SearchConfig& config, const IndexSet& indexes,
                          std::span<const EntryFilter> filters, QuerySource& queries) {
  return RangeSearch(context, config, indexes, filters, queries).run();
}

}  // namespace tutti
