// search: the nearest neighbours of a batch of queries, by an index over all ranks.
#include <algorithm>
#include <chrono>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "jobs/found_passages.h"
#include "jobs/index_set.h"
#include "jobs/job.h"
#include "jobs/neighbors_output.h"
#include "jobs/published_distance.h"
#include "jobs/query_source.h"
#include "jobs/range_search.h"
#include "jobs/recall_target.h"
#include "jobs/search_config.h"
#include "jobs/search_evaluation.h"
#include "jobs/set_searcher.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/commit.h"
#include "runtime/data/paths.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

using Found = std::span<const FoundNeighbor>;

Found row_of(Found neighbors, std::int64_t k, std::int64_t query) {
  return neighbors.subspan(std::size_t(query * k), std::size_t(k));
}

// Neighbours without their distances, in ascending order.
std::vector<std::pair<std::int32_t, std::int64_t>> ids_of(Found neighbors) {
  std::vector<std::pair<std::int32_t, std::int64_t>> ids;
  for (const FoundNeighbor& n : neighbors)
    if (n.id >= 0) ids.emplace_back(n.index, n.id);
  std::ranges::sort(ids);
  return ids;
}

// Those of one index.
std::vector<Neighbor> neighbors_of(Found found) {
  std::vector<Neighbor> neighbors;
  for (const FoundNeighbor& n : found) neighbors.push_back({n.distance, n.id});
  return neighbors;
}

// Neighbours that two answers to a query have in common.
std::int64_t common(Found a, Found b) {
  std::vector<std::pair<std::int32_t, std::int64_t>> both;
  std::ranges::set_intersection(ids_of(a), ids_of(b), std::back_inserter(both));
  return std::int64_t(both.size());
}

const char* name_of(IndexSearcher::Resident resident) {
  switch (resident) {
    case IndexSearcher::Resident::nothing:
      return "nothing";
    case IndexSearcher::Resident::codes:
      return "codes";
    case IndexSearcher::Resident::vectors:
      return "vectors";
  }
  CHECK(false);
}

class SearchRun {
 public:
  SearchRun(JobContext& context, const SearchConfig& config, const IndexSet& indexes,
            std::span<const EntryFilter> filters, QuerySource& queries)
      : context_(context),
        comm_(context.comm),
        config_(config),
        indexes_(indexes),
        queries_(queries),
        nprobe_(config.by_graph() ? config.breadth : std::min(config.nprobe, indexes.most_lists())),
        probing_(config.mode != "exact"),
        sample_(probing_ && !config.by_graph() ? load_sample(context, queries, indexes.front())
                                               : std::vector<float>()),
        searcher_(context, indexes, config.k, config.memory - config.memory / 8,
                  {queries.count(),
                   nprobe_,
                   looks_everywhere(filters),
                   filters,
                   config.plan(),
                   config.ranking(),
                   config.candidates,
                   config.code_parts(),
                   config.by_graph() ? SearchScope::By::graph : SearchScope::By::lists,
                   {sample_.data(), std::ssize(sample_) / indexes.dim(), indexes.dim()}}) {
    if (probing_) searcher_.prepare();
    if (!filters.empty()) tell_filter();
    if (!queries.texts.empty()) passages_.emplace(context, indexes, config.dataset, config.show);
    if (config.evaluation.wanted)
      evaluation_.emplace(
          context, config.evaluation, indexes.front(), searcher_.front(),
          EvaluatedSearch{queries.count(), config.k, nprobe_, probing_, config.by_graph()});
    if (probing_ && !config.by_graph() && nprobe_ < config.nprobe)
      log_info("search.nprobe is {}, but there are {} lists: looking into all of them",
               config.nprobe, nprobe_);
  }

  ExitCode run() {
    begin_artefact(comm_, context_.run_folder);
    output_.emplace(context_, indexes_, queries_.count(), config_.k);
    const std::int64_t batch = config_.batch_of(queries_);
    for (std::int64_t at = 0; at < queries_.count(); at += batch) {
      if (comm_.all_reduce_max(std::int64_t(stop_requested())) > 0) return ExitCode::stopped;
      search({at, std::min(queries_.count(), at + batch)});
    }
    const Manifest found = commit();
    report(found);
    report_memory();
    report_work();
    if (evaluation_) evaluation_->finish();
    return ExitCode::done;
  }

 private:
  // What nprobe_ is called.
  const char* setting() const { return config_.by_graph() ? "breadth" : "nprobe"; }

  // Perhaps: few vectors that pass a filter are looked at in all lists.
  bool looks_everywhere(std::span<const EntryFilter> filters) const {
    return !probing_ || config_.mode == "both" || config_.evaluation.wanted || !filters.empty();
  }

  void tell_filter() {
    const std::vector<ProbePlan> plans = searcher_.plans(nprobe_);
    const bool all = !probing_ || std::ranges::all_of(plans, &ProbePlan::exact);
    std::vector<std::int64_t> lists;
    for (const ProbePlan& plan : plans) lists.push_back(plan.lists);
    const double share =
        double(searcher_.passing()) / double(std::max<std::int64_t>(1, indexes_.vectors()));
    log_info("{} of {} vectors pass the filter, {:.4g} %: looking {}", searcher_.passing(),
             indexes_.vectors(), 100 * share,
             all ? "at all of them" : fmt::format("into {} lists", fmt::join(lists, " and ")));
    context_.result.update({{"where", config_.where},
                            {"where_plan", all ? "exact" : "lists"},
                            {"where_passing", searcher_.passing()},
                            {"selectivity", share}});
    if (all) return;
    if (indexes_.several())
      context_.result["where_lists"] = lists;
    else
      context_.result["where_lists"] = lists.front();
  }

  void search(Range range) {
    const std::vector<float> vectors = load_checked(context_, queries_, range, indexes_.front());
    const ConstMatrixView<float> queries(vectors.data(), range.size(), indexes_.dim());
    std::vector<FoundNeighbor> probed, exact;
    if (probing_) {
      const auto start = Clock::now();
      probed = searcher_.probe(queries, nprobe_);
      probe_seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
    }
    if (config_.mode != "probe" || (evaluation_ && evaluation_->needs_exact())) {
      const auto start = Clock::now();
      exact = searcher_.exact(queries);
      exact_seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
    }
    if (evaluation_) evaluation_->measure(range, queries, neighbors_of(exact));
    const std::vector<FoundNeighbor>& found = probing_ ? probed : exact;
    output_->append(found);
    if (comm_.is_root()) judge(range, found, exact);
    log_info("{} of {} queries", range.end, queries_.count());
  }

  // The root's: counts what was found for some queries is worth, and keeps what is to be shown.
  void judge(Range range, Found found, Found exact) {
    for (std::int64_t q = range.begin; q < range.end; ++q) {
      const auto mine = row_of(found, config_.k, q - range.begin);
      if (!exact.empty()) {
        const auto truth = row_of(exact, config_.k, q - range.begin);
        true_neighbors_ += std::int64_t(ids_of(truth).size());
        recalled_ += common(mine, truth);
      }
      if (!queries_.own_passages.empty()) {
        const Range own = queries_.own_passages[std::size_t(q)];
        own_found_ +=
            std::ranges::any_of(mine, [&](const FoundNeighbor& n) { return own.contains(n.id); });
      }
      if (passages_) passages_->keep(mine);
    }
  }

  Manifest commit() {
    const auto timed = context_.phases.measure("commit");
    ArtefactParts parts;
    parts.files = output_->finish();
    nlohmann::json metadata = {{"queries", queries_.count()},
                               {"k", config_.k},
                               {"metric", name_of(indexes_.metric())},
                               {"mode", probing_ ? "probe" : "exact"}};
    indexes_.describe(metadata);
    if (config_.by_graph()) metadata["by"] = config_.by;
    if (probing_) metadata[setting()] = nprobe_;
    if (probing_) metadata["candidates"] = searcher_.front().candidates();
    if (probing_ && config_.code_parts() == CodeParts::prefix) metadata["codes"] = config_.codes;
    for (const char* told : {"where", "where_plan", "where_lists"})
      if (context_.result.contains(told)) metadata[told] = context_.result[told];
    return commit_artefact(comm_, context_.run_folder, {kNeighborsKind, {}, metadata}, parts);
  }

  void report(const Manifest& found) {
    nlohmann::json& result = context_.result;
    const double count = double(queries_.count());
    result.update({{"neighbors_digest", found.digest},
                   {"queries", queries_.count()},
                   {"k", config_.k},
                   {"queries_per_second", count / (probing_ ? probe_seconds_ : exact_seconds_)}});
    if (probing_) result[setting()] = nprobe_;
    if (probing_) result["candidates"] = searcher_.front().candidates();
    if (config_.mode == "both") {
      result["exact_queries_per_second"] = count / exact_seconds_;
      result["recall_at_k"] = true_neighbors_ ? double(recalled_) / double(true_neighbors_) : 1;
    }
    if (!queries_.own_passages.empty()) result["document_recall_at_k"] = double(own_found_) / count;
    log_info("{} queries, {:.0f} queries/s, digest {}", queries_.count(),
             result["queries_per_second"].get<double>(), found.digest);
    for (const char* figure : {"recall_at_k", "document_recall_at_k"})
      if (result.contains(figure))
        log_info("{} {:.4f}, k {}", figure, result[figure].get<double>(), config_.k);
    if (passages_) passages_->tell(queries_.texts);
  }

  void report_memory() {
    std::vector<std::string> resident;
    for (const IndexSearcher::Resident r : searcher_.resident()) resident.emplace_back(name_of(r));
    const auto held = double(comm_.all_reduce_sum(searcher_.held_bytes()));
    const double each = held / double(std::max<std::int64_t>(1, indexes_.vectors()));
    nlohmann::json& result = context_.result;
    result["memory_bytes_per_vector"] = each;
    if (indexes_.several())
      result["in_memory"] = resident;
    else
      result["in_memory"] = resident.front();
    log_info("in memory: {}; {:.4g} bytes a vector at most", fmt::join(resident, " and "), each);
  }

  void report_work() {
    const std::int64_t mine = searcher_.compared();
    const std::vector<std::int64_t> all = comm_.all_gather(std::span(&mine, 1));
    context_.result["vectors_compared_by_rank"] = all;
    const double mean = double(std::reduce(all.begin(), all.end())) / double(all.size());
    if (all.size() > 1 && mean > 0)
      log_info("of the vectors that are compared with queries, one rank has {:.3f} of the mean",
               double(std::ranges::max(all)) / mean);
  }

  JobContext& context_;
  Comm& comm_;
  const SearchConfig& config_;
  const IndexSet& indexes_;
  QuerySource& queries_;
  const std::int64_t nprobe_;  // by the graph, its walks' breadth
  const bool probing_;
  const std::vector<float> sample_;
  SetSearcher searcher_;
  std::optional<SearchEvaluation> evaluation_;
  std::optional<NeighborsOutput> output_;
  std::optional<FoundPassages> passages_;  // where there are questions
  std::int64_t true_neighbors_ = 0, recalled_ = 0, own_found_ = 0;
  double probe_seconds_ = 0, exact_seconds_ = 0;
};

class SearchJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    std::optional<IndexSet> indexes;
    std::vector<EntryFilter> filters;
    context.comm.attempt([&] { config_.check(); });
    indexes.emplace(context.comm, config_.index);
    context.comm.attempt([&] {
      if (config_.radius) check_radius(*config_.radius, indexes->metric(), "search.radius");
      if (!config_.where.empty()) filters = indexes->filters(config_.where);
      if (config_.target_recall > 0) choose_nprobe(context, *indexes);
    });
    const std::unique_ptr<QuerySource> queries =
        open_queries(context, config_.queries, indexes->embedded());
    if (indexes->several()) queries->own_passages.clear();  // which are those of one index
    if (context.dry_run) {
      context.comm.attempt([&] { config_.evaluation.open_truth(queries->count()); });
      log_info("{} queries; {} vectors of {} dimensions in {} lists, {}", queries->count(),
               indexes->vectors(), indexes->dim(), indexes->lists(), name_of(indexes->metric()));
      return ExitCode::done;
    }
    context.events.write("ready");
    if (config_.radius) return run_range_search(context, config_, *indexes, filters, *queries);
    return SearchRun(context, config_, *indexes, filters, *queries).run();
  }

 private:
  // Of several indexes, what suffices for each.
  void choose_nprobe(JobContext& context, const IndexSet& indexes) {
    config_.nprobe = 0;
    for (std::int64_t i = 0; i < indexes.size(); ++i) {
      const ChosenProbes chosen = choose_probes(indexes[i], config_.target_recall);
      config_.nprobe = std::max(config_.nprobe, chosen.nprobe);
      log_info("search.target_recall {}: nprobe {}, {}", config_.target_recall, chosen.nprobe,
               chosen.measured);
    }
    context.result["target_recall"] = config_.target_recall;
  }

  SearchConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_search_job() { return std::make_unique<SearchJob>(); }

}  // namespace tutti
