// index: vectors to inverted lists, over all ranks.
#include <algorithm>
#include <numeric>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "jobs/carried_columns.h"
#include "jobs/centroid_trainer.h"
#include "jobs/graph_builder.h"
#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "jobs/list_builder.h"
#include "jobs/recall_target.h"
#include "jobs/row_sample.h"
#include "jobs/trained_centroids.h"
#include "jobs/two_level_trainer.h"
#include "jobs/vector_reader.h"
#include "runtime/base/log.h"
#include "runtime/data/commit.h"
#include "runtime/data/paths.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

struct IndexConfig {
  std::string vectors, metric = "auto", storage = "f32", on_bad_record = "fail";
  std::int64_t memory = std::int64_t(1) << 30;
  ListOptions lists;
  KmeansOptions kmeans;
  RecallTarget target;
  GraphOptions graph;

  void describe(Schema& s) {
    s.key("vectors", &vectors, "folder of vectors, as the embed or shard job leaves it");
    s.require("vectors");
    s.key("index.nlist", &kmeans.nlist, "lists", "inverted lists; 0: about 4 * sqrt(vectors)");
    s.choice("index.metric", &metric, {"auto", "l2", "inner_product", "cosine"},
             "what near means; auto: what the vectors' metadata name, else l2");
    s.choice("index.storage", &storage, {"f32", "bf16"}, "type of the vectors in the lists");
    s.key("index.shards", &lists.shards, "shards",
          "files that the lists are written to; ranks share them out");
    s.key("kmeans.iterations", &kmeans.iterations, "", "Lloyd's iterations");
    s.key(
        "kmeans.sample", &kmeans.sample, "vectors",
        "at most so many vectors, spread over all, train the centroids; 0: 256 a list. For all of "
        "them, give a number that is larger than theirs");
    s.key(
        "kmeans.levels", &kmeans.levels, "levels",
        "1: each vector is compared with all centroids; 2: centroids are trained in groups, and a "
        "vector is compared with those of the nearest groups alone, in a fraction of the time; "
        "0: 2 from 16384 lists on");
    s.key("kmeans.balance", &kmeans.balance, "times the mean",
          "while the largest list holds more than this, and the smallest is as much smaller than "
          "the mean, an iteration gives the smallest up and splits the largest; not in the last "
          "three, in which lists settle. 0: lists are as large as they come");
    s.key("kmeans.seed", &kmeans.seed, "", "draws the sample and the first centroids");
    s.key("kmeans.block", &kmeans.block, "vectors",
          "the piece of the sample in which sums are ordered");
    s.choice("on_bad_record", &on_bad_record, {"fail", "skip"},
             "a vector that holds NaN or infinity, or is all zeros under cosine: end with code 65, "
             "or leave it out");
    s.bytes("memory_limit", &memory, "memory of a rank for vectors");
    target.describe(s);
    graph.describe(s);
    kmeans.checkpoint.describe(s);
  }

  // Checks, and fills in what follows from other keys.
  void resolve() {
    const auto wrong = [](const std::string& what, const char* key, const char* fix) {
      throw Error(ExitCode::usage, what, key, fix);
    };
    if (kmeans.nlist < 0)
      wrong("index.nlist is negative", "index.nlist", "give 0 to have it chosen");
    if (kmeans.nlist > std::int64_t(1) << 30)
      wrong("too many lists", "index.nlist", "give at most 2^30");
    if (lists.shards < 1 || lists.shards > kMaxShards)
      wrong("no number of shards", "index.shards", "give 1 to 100000");
    if (kmeans.iterations < 0 || kmeans.sample < 0)
      wrong("a count is negative", "kmeans.*", "give 0 or more");
    if (kmeans.levels < 0 || kmeans.levels > 2)
      wrong("there are one or two levels", "kmeans.levels", "give 0 to have it chosen");
    if (!(kmeans.balance == 0 || (kmeans.balance >= 1 && kmeans.balance <= 1e6)))
      wrong("lists cannot be that balanced", "kmeans.balance",
            "2 is usual; 0: as the data have it");
    if (kmeans.block < 1) wrong("a block is at least one vector", "kmeans.block", "4096 is usual");
    if (memory < std::int64_t(1) << 20)
      wrong("too little memory to work in", "memory_limit", "give at least 1MiB");
    target.check();
    graph.check();
    kmeans.checkpoint.check();
    kmeans.memory_bytes = memory / 2;
    lists.memory_bytes = memory / 2;
    lists.storage = dtype_from_name(storage);
  }

  // Throws Error(data) where the vectors' own metric is none.
  Metric metric_of(const Manifest& manifest) const {
    try {
      return metric_from_name(metric == "auto" ? manifest.metadata_text("metric", "l2") : metric);
    } catch (const std::exception&) {
      throw Error(ExitCode::data, "the vectors' manifest names no metric that there is", vectors,
                  "name one: index.metric");
    }
  }
};

// What a random vector's list is larger than the mean by: 1 where all lists are equal.
double imbalance(std::span<const std::int64_t> sizes) {
  double sum = 0, squares = 0;
  for (const std::int64_t size : sizes) {
    sum += double(size);
    squares += double(size) * double(size);
  }
  return sum > 0 ? double(sizes.size()) * squares / (sum * sum) : 1;
}

class IndexRun {
 public:
  IndexRun(JobContext& context, const IndexConfig& config, const VectorReader& vectors,
           const CarriedColumns& columns)
      : context_(context),
        comm_(context.comm),
        config_(config),
        vectors_(vectors),
        columns_(columns),
        digest_(vectors.dataset().manifest().digest),
        identity_({{"vectors", digest_},
                   {"index.metric", name_of(vectors.metric())},
                   {"on_bad_record", config.on_bad_record}}),
        lists_(context, vectors, columns, config.lists, identity_) {}

  ExitCode run() {
    if (train() == ExitCode::stopped) return ExitCode::stopped;
    if (lists_.assign(centroids_) == ExitCode::stopped) return ExitCode::stopped;
    ArtefactParts parts;
    if (lists_.write(parts.shards) == ExitCode::stopped) return ExitCode::stopped;
    comm_.attempt([&] {
      if (comm_.is_root()) write_files(parts.files);
    });
    Manifest index = commit(parts);
    if (config_.graph.wanted &&
        add_graph(context_, config_.graph.shape, index) == ExitCode::stopped)
      return ExitCode::stopped;
    if (config_.target.recall > 0) add_recall(index);
    lists_.forget();
    report(index);
    return ExitCode::done;
  }

 private:
  // The centroids, from where an earlier start left them.
  ExitCode train() {
    const std::filesystem::path building = context_.run_folder / kBuildingFolder;
    const std::string key = digest_of(config_.kmeans.identity(identity_).dump());
    std::optional<TrainedCentroids> trained;
    comm_.attempt([&] { trained = load_trained_centroids(building, key); });
    if (comm_.all_reduce_min(std::int64_t(trained.has_value()))) {
      centroids_ = std::move(*trained);
      log_info("the centroids are trained already");
      context_.events.write("ready",
                            {{"from", centroids_.iterations}, {"of", centroids_.iterations}});
      return ExitCode::done;
    }
    const std::int64_t groups = config_.kmeans.groups_for(vectors_.rows());
    if ((groups == 0 ? train_lists() : train_groups()) == ExitCode::stopped)
      return ExitCode::stopped;
    comm_.attempt([&] {
      if (comm_.is_root()) save_trained_centroids(building, centroids_, key);
    });
    return ExitCode::done;
  }

  ExitCode train_lists() {
    CentroidTrainer trainer(context_, vectors_, config_.kmeans, identity_);
    tell_size(trainer.centroids().rows);
    if (trainer.run() == ExitCode::stopped) return ExitCode::stopped;
    const ConstMatrixView<float> found = trainer.centroids();
    centroids_ = {
        found.cols, trainer.iterations(), {found.data, found.data + found.rows * found.cols}};
    return ExitCode::done;
  }

  ExitCode train_groups() {
    TwoLevelTrainer trainer(context_, vectors_, config_.kmeans, identity_);
    tell_size(config_.kmeans.lists_for(vectors_.rows()));
    if (trainer.run() == ExitCode::stopped) return ExitCode::stopped;
    centroids_ = std::move(trainer.result());
    return ExitCode::done;
  }

  void tell_size(std::int64_t lists) const {
    log_info("{} vectors of {} dimensions, {} lists, {}", vectors_.rows(), vectors_.dim(), lists,
             name_of(vectors_.metric()));
  }

  std::int64_t indexed() const { return vectors_.rows() - lists_.skipped(); }

  // Spread evenly over all vectors.
  VectorBatch code_sample() const {
    constexpr std::int64_t kSample = 16384, kPlaces = 1024;  // for the root reads them alone
    const std::int64_t count = std::min(kSample, vectors_.rows());
    const RowSample drawn(vectors_.rows(), vectors_.dim() * vectors_.element_bytes(), count,
                          std::uint64_t(config_.kmeans.seed), kPlaces);
    return vectors_.read(drawn.rows_of({0, count}));
  }

  void write_files(std::vector<FileRecord>& files) const {
    files.push_back(write_centroids(context_.run_folder, centroids_.view()));
    if (const VectorBatch sample = code_sample(); sample.count() > 0)
      files.push_back(write_code_space(
          context_.run_folder, CodeSpace::train(VectorRows(sample.view()), vectors_.metric())));
    const std::string columns = columns_.columns_file();
    if (columns.empty()) return;
    atomic_replace(context_.run_folder / kColumnsFile, columns);
    files.push_back(record_plain_file(context_.run_folder / kColumnsFile));
  }

  Manifest commit(const ArtefactParts& parts) {
    const auto timed = context_.phases.measure("commit");
    nlohmann::json metadata = {{"metric", name_of(vectors_.metric())},
                               {"dimension", vectors_.dim()},
                               {"count", indexed()},
                               {"nlist", centroids_.nlist()},
                               {"storage", config_.storage},
                               {"vectors_digest", digest_}};
    const nlohmann::json& source = vectors_.dataset().manifest().metadata;
    for (const char* key : {"dataset", "dataset_digest", "model_digest"})
      if (source.contains(key)) metadata[key] = source[key];
    return commit_artefact(
        comm_, context_.run_folder,
        {kIndexKind, index_tables(config_.lists.storage, vectors_.dim(), columns_.schemas()),
         metadata},
        parts);
  }

  // What the index is worth goes into its manifest, whose digest stays: the files' bytes decide it.
  void add_recall(Manifest& manifest) {
    std::optional<IndexFolder> index;
    comm_.attempt([&] { index.emplace(open_index(context_.run_folder)); });
    const nlohmann::json recall =
        measure_recall(context_, *index, vectors_, config_.target,
                       std::uint64_t(config_.kmeans.seed), config_.memory / 2);
    manifest.metadata.update(recall);
    context_.result.update(recall);
    replace_manifest(comm_, context_.run_folder, manifest);
  }

  void report(const Manifest& index) {
    const auto sizes = lists_.list_sizes();
    const double rate = double(vectors_.rows()) / context_.phases.total_seconds();
    context_.result.update({{"index_digest", index.digest},
                            {"vectors", indexed()},
                            {"vectors_skipped", lists_.skipped()},
                            {"nlist", centroids_.nlist()},
                            {"kmeans_iterations", centroids_.iterations},
                            {"vectors_assigned_this_start", lists_.assigned_now()},
                            {"list_size_min", std::ranges::min(sizes)},
                            {"list_size_mean", double(indexed()) / double(centroids_.nlist())},
                            {"list_size_max", std::ranges::max(sizes)},
                            {"list_imbalance", imbalance(sizes)},
                            {"vectors_per_second", rate}});
    if (lists_.skipped() > 0)
      log_warning("left out {} vectors that cannot be indexed", lists_.skipped());
    log_info("{} vectors in {} lists of {} to {}, {:.0f} vectors/s, digest {}", indexed(),
             centroids_.nlist(), std::ranges::min(sizes), std::ranges::max(sizes), rate,
             index.digest);
  }

  JobContext& context_;
  Comm& comm_;
  const IndexConfig& config_;
  const VectorReader& vectors_;
  const CarriedColumns& columns_;
  const std::string digest_;
  const nlohmann::json identity_;  // what all of the index follows from
  TrainedCentroids centroids_;
  ListBuilder lists_;
};

class IndexJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    std::optional<Dataset> dataset;
    std::optional<VectorReader> vectors;
    std::optional<CarriedColumns> columns;
    context.comm.attempt([&] {
      config_.resolve();
      refuse_changed_index(context.run_folder);
      dataset.emplace(Dataset::open(config_.vectors, kVectorsKind));
      vectors.emplace(*dataset, config_.metric_of(dataset->manifest()),
                      config_.on_bad_record == "skip");
      columns.emplace(*dataset);
      if (config_.kmeans.nlist > vectors->rows())
        throw Error(ExitCode::usage,
                    fmt::format("{} lists for {} vectors", config_.kmeans.nlist, vectors->rows()),
                    "index.nlist",
                    "give at most as many lists as there are vectors, or 0 to have it chosen");
      config_.graph.check_fits(vectors->rows(), vectors->dim(), config_.lists.storage,
                               config_.memory);
    });
    if (context.dry_run) {
      log_info("{} vectors of {} dimensions, {}", vectors->rows(), vectors->dim(),
               name_of(vectors->metric()));
      return ExitCode::done;
    }
    return IndexRun(context, config_, *vectors, *columns).run();
  }

 private:
  IndexConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_index_job() { return std::make_unique<IndexJob>(); }

}  // namespace tutti
