// search: the nearest neighbours of a batch of queries, by an index over all ranks.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>

#include <fmt/format.h>

#include "jobs/answers.h"
#include "jobs/entry_filter.h"
#include "jobs/index_folder.h"
#include "jobs/index_searcher.h"
#include "jobs/job.h"
#include "jobs/neighbors_output.h"
#include "jobs/query_source.h"
#include "jobs/recall_target.h"
#include "jobs/search_evaluation.h"
#include "jobs/vector_reader.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/commit.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kScreenWidth = 100;

struct SearchConfig {
  std::string index, dataset, mode = "probe", where, where_plan = "auto", rank_by = "auto";
  QueryConfig queries;
  EvaluationConfig evaluation;
  std::int64_t k = 10, nprobe = 16, candidates = 0, batch = 16384, show = 5;
  double target_recall = 0;
  std::int64_t memory = std::int64_t(1) << 30;

  void describe(Schema& s) {
    s.key("index", &index, "folder of an index, as the index job leaves it");
    s.require("index");
    queries.describe(s);
    s.key("dataset", &dataset,
          "folder of the text dataset that was indexed, for its passages; default: where it was");
    s.key("search.k", &k, "neighbours", "so many nearest neighbours of each query");
    s.choice("search.mode", &mode, {"probe", "exact", "both"},
             "probe: the nearest lists only; exact: all vectors; both: probe, and its recall "
             "against exact");
    s.key("search.nprobe", &nprobe, "lists", "lists to look into for each query");
    s.key("search.target_recall", &target_recall, "",
          "look into as many lists as reach this recall by what was measured when the index was "
          "built (index.target_recall), whatever search.nprobe is; 0: search.nprobe");
    s.choice("search.rank_by", &rank_by, {"auto", "codes", "distances"},
             "what decides in these lists: the vectors' codes, a byte a dimension, by which "
             "candidates are found whose distances are then measured, or the distances of all; "
             "auto: codes, where the index has a space for them");
    s.key("search.candidates", &candidates, "vectors",
          "candidates of each query; 0: half as many again as search.k, and 6 more at least");
    s.key(
        "search.where", &where,
        "a filter in the manner of SQL over the index's columns of metadata, such as \"lang = 'en' "
        "and year >= 2020\": only vectors that it is true of are found");
    s.choice("search.where_plan", &where_plan, {"auto", "exact", "lists"},
             "with search.where, look at all vectors that pass, or into as many lists as hold as "
             "many of them as search.nprobe lists have vectors; auto: what costs less");
    s.key("search.batch", &batch, "queries", "queries that are searched for at a time");
    s.key("search.show", &show, "passages", "best passages to print for each question");
    s.bytes("memory_limit", &memory, "memory of a rank for the index's vectors");
    evaluation.describe(s);
  }

  SearchScope scope(std::int64_t probes, const EntryFilter* filter) const {
    using RankBy = SearchScope::RankBy;
    const RankBy by = rank_by == "codes"       ? RankBy::codes
                      : rank_by == "distances" ? RankBy::distances
                                               : RankBy::automatic;
    return {probes, filter, plan(), by, candidates};
  }

  SearchScope::Plan plan() const {
    using Plan = SearchScope::Plan;
    return where_plan == "exact"   ? Plan::exact
           : where_plan == "lists" ? Plan::lists
                                   : Plan::automatic;
  }

  void check() const {
    const auto wrong = [](const std::string& what, const char* key, const char* fix) {
      throw Error(ExitCode::usage, what, key, fix);
    };
    if (k < 1) wrong("at least one neighbour is wanted", "search.k", "10 is usual");
    if (nprobe < 1) wrong("at least one list must be looked into", "search.nprobe", "16 is usual");
    if (!(target_recall >= 0 && target_recall <= 1))
      wrong("a recall is at most 1", "search.target_recall", "0.95 is usual");
    if (candidates < 0) wrong("search.candidates is negative", "search.candidates", "0 is usual");
    if (candidates > 0 && candidates < k)
      wrong("there are fewer candidates than neighbours wanted", "search.candidates",
            "give at least search.k, or 0");
    if (batch < 1) wrong("a batch is at least one query", "search.batch", "16384 is usual");
    if (show < 0) wrong("search.show is negative", "search.show", "give 0 or more");
    if (memory < std::int64_t(1) << 20)
      wrong("too little memory to work in", "memory_limit", "give at least 1MiB");
    queries.check();
    evaluation.check();
  }
};

std::span<const Neighbor> row_of(std::span<const Neighbor> neighbors, std::int64_t k,
                                 std::int64_t query) {
  return neighbors.subspan(std::size_t(query * k), std::size_t(k));
}

std::vector<std::int64_t> ids_of(std::span<const Neighbor> neighbors) {
  std::vector<std::int64_t> ids;
  for (const Neighbor& n : neighbors)
    if (n.id >= 0) ids.push_back(n.id);
  std::ranges::sort(ids);
  return ids;
}

// Neighbours that two answers to a query have in common.
std::int64_t common(std::span<const Neighbor> a, std::span<const Neighbor> b) {
  std::vector<std::int64_t> both;
  std::ranges::set_intersection(ids_of(a), ids_of(b), std::back_inserter(both));
  return std::int64_t(both.size());
}

class SearchRun {
 public:
  SearchRun(JobContext& context, const SearchConfig& config, const IndexFolder& index,
            const EntryFilter* filter, QuerySource& queries)
      : context_(context),
        comm_(context.comm),
        config_(config),
        index_(index),
        queries_(queries),
        nprobe_(std::min(config.nprobe, index.nlist)),
        probing_(config.mode != "exact"),
        searcher_(context, index, config.k, config.memory - config.memory / 8,
                  config.scope(expected_probes(filter), filter)) {
    if (filter) tell_filter();
    if (!queries.texts.empty() && config.show > 0) comm_.attempt([&] { open_passages(); });
    if (config.evaluation.wanted)
      evaluation_.emplace(context, config.evaluation, index, searcher_,
                          EvaluatedSearch{queries.count(), config.k, nprobe_, probing_});
    if (probing_ && nprobe_ < config.nprobe)
      log_info("search.nprobe is {}, but there are {} lists: looking into all of them",
               config.nprobe, index.nlist);
  }

  ExitCode run() {
    begin_artefact(comm_, context_.run_folder);
    output_.emplace(context_, index_, queries_.count(), config_.k);
    const std::int64_t granule = queries_.granule();
    const std::int64_t batch = (config_.batch + granule - 1) / granule * granule;
    for (std::int64_t at = 0; at < queries_.count(); at += batch) {
      if (comm_.all_reduce_max(std::int64_t(stop_requested())) > 0) return ExitCode::stopped;
      search({at, std::min(queries_.count(), at + batch)});
    }
    const Manifest found = commit();
    report(found);
    if (evaluation_) evaluation_->finish();
    return ExitCode::done;
  }

 private:
  // At most: few vectors that pass a filter are looked at in all lists.
  std::int64_t expected_probes(const EntryFilter* filter) const {
    const bool all = !probing_ || config_.mode == "both" || config_.evaluation.wanted || filter;
    return queries_.count() * (all ? index_.nlist : nprobe_);
  }

  bool all_that_pass() const { return !probing_ || searcher_.plan(nprobe_).exact; }

  void tell_filter() {
    const double share = double(searcher_.passing()) / double(index_.vectors);
    log_info("{} of {} vectors pass the filter, {:.4g} %: looking {}", searcher_.passing(),
             index_.vectors, 100 * share,
             all_that_pass() ? "at all of them"
                             : fmt::format("into {} lists", searcher_.plan(nprobe_).lists));
    context_.result.update({{"where", config_.where},
                            {"where_plan", all_that_pass() ? "exact" : "lists"},
                            {"where_passing", searcher_.passing()},
                            {"selectivity", share}});
    if (!all_that_pass()) context_.result["where_lists"] = searcher_.plan(nprobe_).lists;
  }

  void search(Range range) {
    std::vector<float> vectors = load(range);
    const ConstMatrixView<float> queries(vectors.data(), range.size(), index_.dim);
    std::vector<Neighbor> probed, exact;
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
    if (evaluation_) evaluation_->measure(range, queries, exact);
    const std::vector<Neighbor>& found = probing_ ? probed : exact;
    output_->append(found);
    if (comm_.is_root()) judge(range, found, exact);
    log_info("{} of {} queries", range.end, queries_.count());
  }

  // The queries as the index wants them.
  std::vector<float> load(Range range) {
    std::vector<float> vectors = queries_.load(range);
    const auto timed = context_.phases.measure("load");
    comm_.attempt([&] {
      for (std::int64_t q = 0; q < range.size(); ++q) {
        const auto row =
            std::span(vectors).subspan(std::size_t(q * index_.dim), std::size_t(index_.dim));
        if (const std::string defect = vector_defect(row, index_.metric); !defect.empty())
          throw Error(ExitCode::data, "a query cannot be searched for: " + defect,
                      queries_.place_of(range.begin + q), "");
      }
    });
    if (index_.metric == Metric::cosine) normalise({vectors.data(), range.size(), index_.dim});
    return vectors;
  }

  // The root's: counts what was found for some queries is worth, and keeps what is to be shown.
  void judge(Range range, std::span<const Neighbor> found, std::span<const Neighbor> exact) {
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
            std::ranges::any_of(mine, [&](const Neighbor& n) { return own.contains(n.id); });
      }
      if (passages_)
        best_.emplace_back(mine.begin(), mine.begin() + std::min(config_.show, config_.k));
    }
  }

  Manifest commit() {
    const auto timed = context_.phases.measure("commit");
    ArtefactParts parts;
    parts.files = output_->finish();
    nlohmann::json metadata = {{"queries", queries_.count()},
                               {"k", config_.k},
                               {"metric", name_of(index_.metric)},
                               {"mode", probing_ ? "probe" : "exact"},
                               {"index_digest", index_.dataset.manifest().digest}};
    if (probing_) metadata["nprobe"] = nprobe_;
    if (probing_) metadata["candidates"] = searcher_.candidates();
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
    if (probing_) result["nprobe"] = nprobe_;
    if (probing_) result["candidates"] = searcher_.candidates();
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
    comm_.attempt([&] {
      if (comm_.is_root() && !best_.empty()) tell_passages();
    });
  }

  // The dataset whose passages are shown: the one that is named, or the one that was indexed, where
  // it still is.
  void open_passages() {
    const Manifest& index = index_.dataset.manifest();
    const std::string indexed = index.metadata_text("dataset_digest");
    const std::string folder =
        config_.dataset.empty() ? index.metadata_text("dataset") : config_.dataset;
    if (config_.dataset.empty() &&
        !std::filesystem::exists(std::filesystem::path(folder) / kManifestFile)) {
      log_warning(
          "the dataset that was indexed is not where it was ({}): give dataset = ... to see "
          "passages",
          folder);
      return;
    }
    passages_.emplace(Dataset::open(folder, kDatasetKind));
    if (const std::string& found = passages_->manifest().digest;
        !indexed.empty() && indexed != found)
      throw Error(ExitCode::usage,
                  fmt::format("the index was built from dataset {}, this is {}", indexed, found),
                  folder, "give the dataset whose passages were embedded: dataset = ...");
  }

  void tell_passages() {
    nlohmann::json all = nlohmann::json::array();
    for (std::size_t q = 0; q < best_.size(); ++q) {
      const nlohmann::json answers = answers_of(*passages_, best_[q], index_.metric);
      all.push_back({{"question", queries_.texts[q]}, {"passages", answers}});
      if (!context_.json)
        std::cout << (q ? "\n\n" : "") << answers_text(queries_.texts[q], answers, kScreenWidth);
    }
    std::cout << std::flush;
    context_.result["answers"] = all;
  }

  JobContext& context_;
  Comm& comm_;
  const SearchConfig& config_;
  const IndexFolder& index_;
  QuerySource& queries_;
  const std::int64_t nprobe_;
  const bool probing_;
  IndexSearcher searcher_;
  std::optional<SearchEvaluation> evaluation_;
  std::optional<NeighborsOutput> output_;
  std::optional<Dataset> passages_;          // where there are questions to show passages for
  std::vector<std::vector<Neighbor>> best_;  // of each question
  std::int64_t true_neighbors_ = 0, recalled_ = 0, own_found_ = 0;
  double probe_seconds_ = 0, exact_seconds_ = 0;
};

class SearchJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    std::optional<IndexFolder> index;
    std::optional<EntryFilter> filter;
    context.comm.attempt([&] {
      config_.check();
      index.emplace(open_index(config_.index));
      if (!config_.where.empty()) filter.emplace(*index, config_.where);
      if (config_.target_recall > 0) choose_nprobe(context, *index);
    });
    const std::unique_ptr<QuerySource> queries = open_queries(context, config_.queries, *index);
    if (context.dry_run) {
      context.comm.attempt([&] { config_.evaluation.open_truth(queries->count()); });
      log_info("{} queries; {} vectors of {} dimensions in {} lists, {}", queries->count(),
               index->vectors, index->dim, index->nlist, name_of(index->metric));
      return ExitCode::done;
    }
    context.events.write("ready");
    return SearchRun(context, config_, *index, filter ? &*filter : nullptr, *queries).run();
  }

 private:
  void choose_nprobe(JobContext& context, const IndexFolder& index) {
    const ChosenProbes chosen = choose_probes(index, config_.target_recall);
    config_.nprobe = chosen.nprobe;
    context.result["target_recall"] = config_.target_recall;
    log_info("search.target_recall {}: nprobe {}, {}", config_.target_recall, chosen.nprobe,
             chosen.measured);
  }

  SearchConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_search_job() { return std::make_unique<SearchJob>(); }

}  // namespace tutti
