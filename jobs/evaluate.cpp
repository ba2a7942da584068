// evaluate: how often a held-out document's own query finds it, by the model, the untrained model,
// and BM25; and whether the model orders pairs of sentences as people do.
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "jobs/encoder_model.h"
#include "jobs/job.h"
#include "jobs/sentence_similarity.h"
#include "kernels/core/parallel.h"
#include "kernels/vector/scan.h"
#include "runtime/base/log.h"
#include "runtime/data/bm25.h"
#include "runtime/data/sampler.h"
#include "runtime/data/sequences.h"

namespace tutti {
namespace {

constexpr std::uint8_t kHeldOut = 1;

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
          "search in about so many: those of the held-out documents, filled up with whole training "
          "documents; 0: in all");
    s.key("evaluate.untrained", &untrained,
          "also measure a model of the same shape before any training");
    s.key("evaluate.bm25", &bm25, "also measure BM25, a search by words");
    s.key("evaluate.seed", &seed, "",
          "chooses queries, filling documents and the untrained parameters");
    s.choice("evaluate.dtype", &dtype, {"auto", "bf16", "f32"}, "type of the products");
    s.key("embed.block", &block, "passages", "passages that run at a time");
  }
};

// A document that takes part: its passages are pool entries [first, first + passages.size()).
struct PoolDocument {
  std::int64_t row = 0;
  Range passages;  // global rows of the passages table
  bool held_out = false;
};

class EvaluateRun {
 public:
  EvaluateRun(JobContext& context, const EvaluateConfig& config, const Dataset& dataset)
      : context_(context), comm_(context.comm), config_(config), dataset_(dataset) {
    choose_pool();
    choose_queries();
  }

  // The model's parameters are overwritten.
  void run(LoadedEncoder& model) {
    check_tokenizer(comm_, model.manifest, dataset_.manifest());
    log_info("{} queries of held-out documents, {} documents of {} passages to find them in",
             queries_.size(), pool_.size(), owner_.size());
    nlohmann::json& result = context_.result;
    result["queries"] = queries_.size();
    result["documents"] = pool_.size();
    result["passages"] = owner_.size();
    result["k"] = config_.k;
    result["model_digest"] = model.manifest.digest;
    tell("trained",
         by_model(model, config_.vectors.empty() ? std::nullopt : open_vectors(model.manifest)));
    if (config_.untrained) {
      model.encoder->initialize(model.parameters.span(), std::uint64_t(config_.seed));
      model.encoder->load_parameters(model.parameters.span());
      tell("untrained", by_model(model, std::nullopt));
    }
    if (config_.bm25) tell("bm25", by_words());
  }

 private:
  void tell(const std::string& name, double share) {
    context_.result[name + "_recall"] = share;
    context_.events.write("recall", {{"of", name}, {"recall", share}, {"k", config_.k}});
    log_info("{:<10} finds {:5.1f} % of the documents among the {} best passages", name,
             100 * share, config_.k);
  }

  void choose_pool() {
    const auto split = dataset_.column("documents", "split"),
               first = dataset_.column("documents", "first_passage"),
               count = dataset_.column("documents", "passages");
    std::vector<PoolDocument> filling;
    std::int64_t passages = 0;
    comm_.attempt([&] {
      for (std::int64_t shard = 0; shard < dataset_.manifest().shards(); ++shard) {
        const Range rows = dataset_.shard_rows("documents", shard);
        const std::int64_t base = dataset_.shard_rows("passages", shard).begin;
        std::vector<std::uint8_t> splits(std::size_t(rows.size()));
        std::vector<std::int64_t> firsts(splits.size());
        std::vector<std::int32_t> counts(splits.size());
        dataset_.read(split, rows.begin, rows.size(), std::span(splits));
        dataset_.read(first, rows.begin, rows.size(), std::span(firsts));
        dataset_.read(count, rows.begin, rows.size(), std::span(counts));
        for (std::size_t i = 0; i < splits.size(); ++i) {
          if (counts[i] == 0) continue;
          const Range mine{base + firsts[i], base + firsts[i] + counts[i]};
          (splits[i] == kHeldOut ? pool_ : filling)
              .push_back({rows.begin + std::int64_t(i), mine, splits[i] == kHeldOut});
        }
      }
    });
    for (const PoolDocument& d : pool_) passages += d.passages.size();
    const Sampler order(std::max<std::int64_t>(1, std::int64_t(filling.size())),
                        std::uint64_t(config_.seed));
    for (std::size_t i = 0; i < filling.size(); ++i) {
      const PoolDocument& d = filling[std::size_t(order.at(0, std::int64_t(i)))];
      if (config_.passages > 0 && passages + d.passages.size() > config_.passages) continue;
      pool_.push_back(d);
      passages += d.passages.size();
    }
    std::sort(pool_.begin(), pool_.end(),
              [](const auto& a, const auto& b) { return a.row < b.row; });
    for (std::size_t d = 0; d < pool_.size(); ++d)
      for (std::int64_t p = 0; p < pool_[d].passages.size(); ++p) {
        owner_.push_back(std::int64_t(d));
        passage_rows_.push_back(pool_[d].passages.begin + p);
      }
  }

  // Held-out documents that have a query, the first so many in a keyed order.
  void choose_queries() {
    const auto query = dataset_.column("documents", "query");
    std::vector<std::int64_t> candidates;
    comm_.attempt([&] {
      std::vector<std::int64_t> offsets;
      for (std::size_t d = 0; d < pool_.size(); ++d) {
        if (!pool_[d].held_out) continue;
        dataset_.read_offsets(query, pool_[d].row, 1, offsets);
        if (offsets[1] > 0) candidates.push_back(std::int64_t(d));
      }
      if (candidates.empty())
        throw Error(ExitCode::data, "no held-out document has both a query and a passage",
                    config_.dataset, "raise split.heldout of the shard job");
    });
    const Sampler order(std::int64_t(candidates.size()), std::uint64_t(config_.seed));
    for (std::int64_t i = 0; i < order.count(); ++i)
      if (config_.queries == 0 || i < config_.queries)
        queries_.push_back(candidates[std::size_t(order.at(0, i))]);
  }

  // Embeds rows [mine.begin, mine.end) of a list of rows of a column of tokens, block by block of
  // the whole list.
  std::vector<float> embed(const LoadedEncoder& model, const Dataset::Column& column,
                           const std::vector<std::int64_t>& rows, Range mine) const {
    const std::int64_t width = model.encoder->shape().width;
    std::vector<float> vectors(std::size_t(mine.size() * width));
    for (std::int64_t at = mine.begin; at < mine.end; at += config_.block) {
      Sequences sequences;
      const std::int64_t end = std::min(mine.end, at + config_.block);
      for (std::int64_t i = at; i < end; ++i) {
        const std::int64_t row = rows[std::size_t(i)];
        append_rows(dataset_, column, {row, row + 1}, model.form, sequences);
      }
      model.encoder->embed({sequences.tokens, sequences.offsets},
                           std::span(vectors).subspan(std::size_t((at - mine.begin) * width),
                                                      std::size_t((end - at) * width)));
    }
    return vectors;
  }

  // Ranks take whole blocks, so that what runs together does not depend on their number.
  Range my_blocks(std::size_t rows) const {
    const std::int64_t count = std::int64_t(rows),
                       blocks = (count + config_.block - 1) / config_.block;
    const Range mine = part_of(blocks, comm_.size(), comm_.rank());
    return {std::min(count, mine.begin * config_.block), std::min(count, mine.end * config_.block)};
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

  // Vectors of the pool's passages [mine.begin, mine.end) as the embed job left them: row for row
  // the passages.
  std::vector<float> stored(const Dataset& vectors, Range mine, std::int64_t width) const {
    const auto column = vectors.column("vectors", "vector");
    std::vector<float> values(std::size_t(mine.size() * width));
    for (std::int64_t i = mine.begin; i < mine.end; ++i)
      vectors.read(
          column, passage_rows_[std::size_t(i)], 1,
          std::span(values).subspan(std::size_t((i - mine.begin) * width), std::size_t(width)));
    return values;
  }

  double by_model(const LoadedEncoder& model, const std::optional<Dataset>& vectors) {
    const std::int64_t width = model.encoder->shape().width;
    std::vector<std::int64_t> query_rows;
    for (std::int64_t d : queries_) query_rows.push_back(pool_[std::size_t(d)].row);
    std::vector<float> queries, passages;
    const Range mine = my_blocks(passage_rows_.size());
    {
      const auto timed = context_.phases.measure("embed");
      comm_.attempt([&] {
        queries = embed(model, dataset_.column("documents", "query"), query_rows,
                        my_blocks(query_rows.size()));
        passages = vectors
                       ? stored(*vectors, mine, width)
                       : embed(model, dataset_.column("passages", "tokens"), passage_rows_, mine);
      });
    }
    const auto timed = context_.phases.measure("scan");
    queries = comm_.all_gather(std::span<const float>(queries));
    std::vector<TopK> nearest(queries_.size(), TopK(config_.k));
    scan(ConstMatrixView<float>(queries.data(), std::int64_t(queries_.size()), width),
         VectorRows(ConstMatrixView<float>(passages.data(), mine.size(), width)),
         VectorIds(mine.begin), Metric::cosine, nearest);
    return share_found(merge(nearest));
  }

  // Every rank's nearest, merged; entries of the pool, query by query.
  std::vector<std::vector<std::int64_t>> merge(std::span<const TopK> nearest) {
    std::vector<Neighbor> mine(nearest.size() * std::size_t(config_.k));
    for (std::size_t q = 0; q < nearest.size(); ++q)
      nearest[q].write_sorted(
          std::span(mine).subspan(q * std::size_t(config_.k), std::size_t(config_.k)));
    const std::vector<Neighbor> all = comm_.all_gather(std::span<const Neighbor>(mine));
    std::vector<std::vector<std::int64_t>> found(nearest.size());
    std::vector<Neighbor> best(std::size_t(config_.k));
    for (std::size_t q = 0; q < nearest.size(); ++q) {
      TopK merged(config_.k);
      for (std::size_t r = 0; r < std::size_t(comm_.size()); ++r)
        for (std::size_t i = 0; i < best.size(); ++i)
          merged.push(all[r * mine.size() + q * best.size() + i]);
      merged.write_sorted(best);
      for (const Neighbor& n : best)
        if (n.id >= 0) found[q].push_back(n.id);
    }
    return found;
  }

  double share_found(const std::vector<std::vector<std::int64_t>>& found) const {
    std::int64_t hits = 0;
    for (std::size_t q = 0; q < found.size(); ++q)
      hits += std::any_of(found[q].begin(), found[q].end(), [&](std::int64_t entry) {
        return owner_[std::size_t(entry)] == queries_[q];
      });
    return double(hits) / double(found.size());
  }

  std::string text_of(const Dataset::Column& column, std::int64_t row) const {
    std::vector<std::int64_t> offsets;
    std::vector<std::uint8_t> bytes;
    dataset_.read_ragged(column, row, 1, offsets, bytes);
    return {bytes.begin(), bytes.end()};
  }

  double by_words() {
    const auto timed = context_.phases.measure("bm25");
    const Range mine = part_of(std::int64_t(queries_.size()), comm_.size(), comm_.rank());
    std::int64_t hits = 0;
    comm_.attempt([&] {
      Bm25 words;
      for (std::int64_t row : passage_rows_)
        words.add(text_of(dataset_.column("passages", "text"), row));
      const auto query = dataset_.column("documents", "query_text");
      for (std::int64_t q = mine.begin; q < mine.end; ++q) {
        const std::int64_t document = queries_[std::size_t(q)];
        const auto best = words.best(text_of(query, pool_[std::size_t(document)].row), config_.k);
        hits += std::any_of(best.begin(), best.end(), [&](std::int64_t entry) {
          return owner_[std::size_t(entry)] == document;
        });
      }
    });
    return double(comm_.all_reduce_sum(hits)) / double(queries_.size());
  }

  JobContext& context_;
  Comm& comm_;
  const EvaluateConfig& config_;
  const Dataset& dataset_;
  std::vector<PoolDocument> pool_;          // in order of row
  std::vector<std::int64_t> passage_rows_;  // of the pool's passages, one after another
  std::vector<std::int64_t> owner_;         // their documents: places in pool_
  std::vector<std::int64_t> queries_;       // the documents that are looked for: places in pool_
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
    const double correlation =
        sentence_similarity(context, model, config_.model, pairs, config_.block);
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
