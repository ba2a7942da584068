// evaluate: how often a held-out document's own query finds it, by the model, the untrained model,
// and BM25; and whether the model orders pairs of sentences as people do.
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "jobs/encoder_model.h"
#include "jobs/job.h"
#include "jobs/retrieval_recall.h"
#include "jobs/sentence_similarity.h"
#include "runtime/base/log.h"
#include "runtime/data/model_file.h"

namespace tutti {
namespace {

struct EvaluateConfig {
  std::string dataset, model, vectors, sts, dtype = "auto";
  std::int64_t k = 10, queries = 1000, passages = 0, block = 128, seed = 1;
  bool untrained = true, bm25 = true;

  void describe(Schema& s) {
    s.key("dataset", &dataset,
          "folder of a text dataset; with sts.file it may be left out, and with it all that is "
          "measured on documents");
    s.key("model", &model, "folder of a model");
    s.require("model");
    s.key("vectors", &vectors,
          "folder of the dataset's passages embedded by the model; \"\": embed them here");
    s.key(
        "sts.file", &sts,
        "pairs of sentences with a score each (JSON lines with sentence1, sentence2 and score, or "
        "the three between tabs): measure Spearman's correlation of scores and cosines; \"\": no");
    s.key("evaluate.k", &k, "passages",
          "a query finds its document where one of so many best passages is the document's");
    s.key("evaluate.queries", &queries, "queries",
          "at most so many held-out documents' queries; 0: all");
    s.key("evaluate.passages", &passages, "passages",
          "search in about so many: those of the documents whose queries are asked, filled up with "
          "other whole documents, held-out ones first; 0: in all");
    s.key("evaluate.untrained", &untrained,
          "also measure a model of the same shape before any training");
    s.key("evaluate.bm25", &bm25, "also measure BM25, a search by words");
    s.key("evaluate.seed", &seed, "",
          "chooses queries, filling documents and the untrained parameters");
    s.choice("evaluate.dtype", &dtype, {"auto", "bf16", "f32"}, "type of the products");
    s.key("embed.block", &block, "passages", "passages that run at a time");
  }
};

class EvaluateRun {
 public:
  EvaluateRun(JobContext& context, const EvaluateConfig& config, const Dataset& dataset)
      : context_(context),
        comm_(context.comm),
        config_(config),
        dataset_(dataset),
        pool_(
            context.comm, dataset,
            {config.k, config.queries, config.passages, config.block, std::uint64_t(config.seed)}) {
    if (pool_.queries() == 0)
      throw Error(ExitCode::data, "no held-out document has both a query and a passage",
                  config.dataset, "raise split.heldout of the shard job")
          .as_agreed();
  }

  // The model's parameters are overwritten.
  void run(LoadedEncoder& model) {
    check_tokenizer(comm_, model.manifest, dataset_.manifest());
    log_info("{} queries of held-out documents, {} documents of {} passages to find them in",
             pool_.queries(), pool_.documents(), pool_.passages());
    nlohmann::json& result = context_.result;
    result["queries"] = pool_.queries();
    result["documents"] = pool_.documents();
    result["passages"] = pool_.passages();
    result["k"] = config_.k;
    result["model_digest"] = model.manifest.digest;
    tell("trained",
         by_model(model, config_.vectors.empty() ? std::nullopt : open_vectors(model.manifest)));
    if (config_.untrained) {
      model.encoder->initialize(model.parameters.span(), std::uint64_t(config_.seed));
      model.encoder->load_parameters(model.parameters.span());
      tell("untrained", by_model(model, std::nullopt));
    }
    if (config_.bm25) {
      const auto timed = context_.phases.measure("bm25");
      tell("bm25", pool_.recall_by_words());
    }
  }

 private:
  void tell(const std::string& name, double share) {
    context_.result[name + "_recall"] = share;
    context_.events.write("recall", {{"of", name}, {"recall", share}, {"k", config_.k}});
    log_info("{:<10} finds {:5.1f} % of the documents among the {} best passages", name,
             100 * share, config_.k);
  }

  std::optional<Dataset> open_vectors(const Manifest& model) {
    std::optional<Dataset> vectors;
    comm_.attempt([&] {
      vectors.emplace(Dataset::open(config_.vectors, kVectorsKind));
      const Manifest& from = vectors->manifest();
      if (from.metadata_text("model_digest") != model.digest ||
          from.metadata_text("dataset_digest") != dataset_.manifest().digest)
        throw Error(ExitCode::usage, "the vectors are of another model or dataset", config_.vectors,
                    "embed this dataset with this model, or leave the key \"vectors\" out");
    });
    return vectors;
  }

  double by_model(const LoadedEncoder& model, const std::optional<Dataset>& vectors) {
    RecallVectors embedded;
    {
      const auto timed = context_.phases.measure("embed");
      embedded = pool_.embed(*model.encoder, model.form, vectors ? &*vectors : nullptr);
    }
    const auto timed = context_.phases.measure("scan");
    return pool_.recall(embedded);
  }

  JobContext& context_;
  Comm& comm_;
  const EvaluateConfig& config_;
  const Dataset& dataset_;
  const RetrievalPool pool_;
};

class EvaluateJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    std::optional<Dataset> dataset;
    std::vector<PlacedPair> pairs;
    context.comm.attempt([&] {
      if (config_.dataset.empty() && config_.sts.empty())
        throw Error(ExitCode::usage, "there is nothing to evaluate on", "dataset",
                    "give dataset, sts.file or both");
      if (config_.k < 1 || config_.block < 1 || config_.queries < 0 || config_.passages < 0)
        throw Error(ExitCode::usage, "a count is too small", "evaluate.*",
                    "see tutti evaluate --help");
      if (!config_.dataset.empty()) dataset.emplace(Dataset::open(config_.dataset, kDatasetKind));
      if (!config_.sts.empty()) pairs = read_sentence_pairs(config_.sts);
    });
    if (context.dry_run) return ExitCode::done;
    LoadedEncoder model = load_encoder(context.comm, config_.model, config_.dtype);
    context.events.write("ready");
    if (!pairs.empty()) measure_similarity(context, model, pairs);
    if (dataset) EvaluateRun(context, config_, *dataset).run(model);
    return ExitCode::done;
  }

 private:
  void measure_similarity(JobContext& context, const LoadedEncoder& model,
                          const std::vector<PlacedPair>& pairs) const {
    const auto timed = context.phases.measure("similarity");
    std::optional<SentenceSimilarity> similarity;
    context.comm.attempt([&] {
      similarity.emplace(pairs, load_tokenizer(config_.model, model.manifest), model.form,
                         config_.block);
    });
    const double correlation = similarity->correlation(context.comm, *model.encoder);
    if (!std::isfinite(correlation))
      throw Error(ExitCode::data, "all scores or all cosines of the pairs are the same", "sts.file",
                  "a correlation needs pairs that differ")
          .as_agreed();
    context.result["sts_pairs"] = pairs.size();
    context.result["sts_spearman"] = correlation;
    context.events.write("similarity", {{"pairs", pairs.size()}, {"spearman", correlation}});
    log_info("{} pairs of sentences: Spearman's correlation {:.4f}", pairs.size(), correlation);
  }

  EvaluateConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_evaluate_job() { return std::make_unique<EvaluateJob>(); }

}  // namespace tutti
