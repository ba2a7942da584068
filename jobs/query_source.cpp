#include "jobs/query_source.h"

#include <algorithm>
#include <fstream>

#include <fmt/format.h>

#include "jobs/encoder_model.h"
#include "jobs/vector_reader.h"
#include "kernels/vector/packed_vectors.h"
#include "runtime/base/error.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"
#include "runtime/data/sequences.h"
#include "runtime/data/split.h"
#include "runtime/data/utf8.h"
#include "runtime/data/vector_file.h"

namespace tutti {
namespace {

[[noreturn]] void throw_dimension(std::int64_t found, const std::string& place,
                                  const IndexFolder& index) {
  throw Error(ExitCode::data,
              fmt::format("the queries have {} dimensions, the index has {}", found, index.dim),
              place, "search with queries of the kind that was indexed");
}

// A file of vectors.
class VectorQueries : public QuerySource {
 public:
  // Local.
  VectorQueries(JobContext& context, const std::string& file, const IndexFolder& index)
      : context_(context), comm_(context.comm), file_(file, "", "test") {
    if (file_.dimension() != index.dim) throw_dimension(file_.dimension(), file, index);
  }

  std::int64_t count() const override { return file_.rows(); }

  std::vector<float> load(Range range) override {
    const auto timed = context_.phases.measure("load");
    const Range part = part_of(range.size(), comm_.size(), comm_.rank());
    std::vector<float> mine(std::size_t(part.size() * file_.dimension()));
    comm_.attempt([&] {
      std::vector<std::byte> stored(std::size_t(part.size() * file_.row_bytes()));
      file_.read_rows(range.begin + part.begin, part.size(), stored);
      const VectorRows rows(stored.data(), file_.dtype(), part.size(), file_.dimension(),
                            file_.dimension());
      for (std::int64_t i = 0; i < part.size(); ++i)
        copy_row(rows, i, mine.data() + i * file_.dimension());
    });
    return comm_.all_gather(std::span<const float>(mine));
  }

  std::string place_of(std::int64_t query) const override {
    return fmt::format("{}, row {}", file_.path().string(), query);
  }

 private:
  JobContext& context_;
  Comm& comm_;
  VectorFile file_;
};

// Queries as tokens, embedded by a model.
class TokenQueries : public QuerySource {
 public:
  TokenQueries(JobContext& context, const QueryConfig& config, const IndexFolder& index)
      : context_(context),
        comm_(context.comm),
        block_(config.block),
        model_(load_encoder(comm_, config.model, config.dtype)) {
    comm_.attempt([&] {
      const std::string built =
          index.dataset.manifest().metadata_text("model_digest", model_.manifest.digest);
      if (built != model_.manifest.digest)
        throw Error(
            ExitCode::usage,
            fmt::format(
                "the index was built with model {}, the queries would be embedded with model {}",
                built, model_.manifest.digest),
            config.model, "give the model that embedded the index's vectors");
      if (model_.encoder->shape().width != index.dim)
        throw_dimension(model_.encoder->shape().width, config.model, index);
    });
  }

  std::int64_t count() const override { return tokens_.count(); }
  std::int64_t granule() const override { return block_; }
  std::string place_of(std::int64_t query) const override { return places_[std::size_t(query)]; }

  // Ranks take whole blocks, so that what runs together does not depend on their number.
  std::vector<float> load(Range range) override {
    const auto timed = context_.phases.measure("embed");
    const std::int64_t width = model_.encoder->shape().width;
    const Range blocks = part_of((range.size() + block_ - 1) / block_, comm_.size(), comm_.rank());
    const Range mine{std::min(range.end, range.begin + blocks.begin * block_),
                     std::min(range.end, range.begin + blocks.end * block_)};
    std::vector<float> vectors(std::size_t(mine.size() * width));
    for (std::int64_t at = mine.begin; at < mine.end; at += block_) {
      const std::int64_t end = std::min(mine.end, at + block_);
      Sequences block;
      for (std::int64_t q = at; q < end; ++q) block.add(tokens_of(q), model_.form);
      model_.encoder->embed({block.tokens, block.offsets},
                            std::span(vectors).subspan(std::size_t((at - mine.begin) * width),
                                                       std::size_t((end - at) * width)));
    }
    return comm_.all_gather(std::span<const float>(vectors));
  }

 protected:
  const LoadedEncoder& model() const { return model_; }

  // Local. Throws Error(data) for an empty query.
  void add(std::span<const std::int32_t> tokens, std::string place) {
    if (tokens.empty())
      throw Error(ExitCode::data, "a query holds no words", place, "give every query some text");
    tokens_.add(tokens, model_.form.room());
    places_.push_back(std::move(place));
  }

 private:
  std::span<const std::int32_t> tokens_of(std::int64_t query) const {
    const auto begin = std::size_t(tokens_.offsets[std::size_t(query)]);
    return std::span(tokens_.tokens)
        .subspan(begin, std::size_t(tokens_.offsets[std::size_t(query) + 1]) - begin);
  }

  JobContext& context_;
  Comm& comm_;
  std::int64_t block_;
  LoadedEncoder model_;
  Sequences tokens_;
  std::vector<std::string> places_;
};

struct Question {
  std::string text, place;
};

bool is_jsonl(const std::filesystem::path& file) {
  return file.extension() == ".jsonl" || file.extension() == ".ndjson";
}

std::string question_in(const std::string& line, const std::string& place) {
  const auto object = nlohmann::json::parse(line, nullptr, false);
  if (!object.is_object() || !object.contains("query") || !object["query"].is_string())
    throw Error(ExitCode::data, "a line is no JSON object with a text \"query\"", place,
                "write {\"query\": \"...\"}");
  return object["query"];
}

// One question a line; empty lines are none.
std::vector<Question> read_questions(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in)
    throw Error(ExitCode::usage, "the file of queries cannot be read", file.string(),
                "check query.file");
  std::vector<Question> questions;
  std::string line;
  for (std::int64_t number = 1; std::getline(in, line); ++number) {
    const std::string place = fmt::format("{}:{}", file.string(), number);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    questions.push_back({is_jsonl(file) ? question_in(line, place) : line, place});
  }
  return questions;
}

class TextQueries : public TokenQueries {
 public:
  TextQueries(JobContext& context, const QueryConfig& config, const IndexFolder& index)
      : TokenQueries(context, config, index) {
    context.comm.attempt([&] {
      std::vector<Question> questions;
      for (std::size_t i = 0; i < config.text.size(); ++i)
        questions.push_back({config.text[i], fmt::format("query.text, question {}", i + 1)});
      if (config.text.empty()) questions = read_questions(config.file);
      const Tokenizer tokenizer = load_tokenizer(config.model, model().manifest);
      if (tokenizer.vocabulary() > model().encoder->shape().vocabulary)
        throw Error(ExitCode::data,
                    fmt::format("the model embeds {} tokens, its tokenizer has {}",
                                model().encoder->shape().vocabulary, tokenizer.vocabulary()),
                    config.model, "give a model that the train job wrote");
      for (const Question& question : questions) {
        if (utf8_prefix(question.text) < question.text.size())
          throw Error(ExitCode::data, "a query is no UTF-8 text", question.place,
                      "convert it to UTF-8");
        add(tokenizer.encode(question.text), question.place);
      }
      texts = config.text;
    });
  }
};

// The queries of a dataset's documents that have both a query and passages.
class DocumentQueries : public TokenQueries {
 public:
  DocumentQueries(JobContext& context, const QueryConfig& config, const IndexFolder& index)
      : TokenQueries(context, config, index) {
    std::optional<Dataset> dataset;
    context.comm.attempt([&] { dataset.emplace(Dataset::open(config.dataset, kDatasetKind)); });
    check_tokenizer(context.comm, model().manifest, dataset->manifest());
    context.comm.attempt([&] {
      for (std::int64_t shard = 0; shard < dataset->manifest().shards(); ++shard)
        add_shard(*dataset, shard, config.split);
    });
    // Passages of another dataset than the index's have other numbers.
    if (index.dataset.manifest().metadata_text("dataset_digest") != dataset->manifest().digest)
      own_passages.clear();
  }

 private:
  void add_shard(const Dataset& dataset, std::int64_t shard, const std::string& split) {
    const Range rows = dataset.shard_rows("documents", shard);
    const Range passages = dataset.shard_rows("passages", shard);
    std::vector<std::uint8_t> splits(std::size_t(rows.size()));
    std::vector<std::int64_t> firsts(splits.size()), offsets;
    std::vector<std::int32_t> tokens;
    dataset.read(dataset.column("documents", "split"), rows.begin, rows.size(), std::span(splits));
    dataset.read(dataset.column("documents", "first_passage"), rows.begin, rows.size(),
                 std::span(firsts));
    read_tokens(dataset, dataset.column("documents", "query"), rows, offsets, tokens);
    firsts.push_back(passages.size());
    for (std::size_t i = 0; i < splits.size(); ++i) {
      const bool wanted = split == "all" || (splits[i] == kHeldoutSplit) == (split == "heldout");
      const auto query = std::span(tokens).subspan(std::size_t(offsets[i]),
                                                   std::size_t(offsets[i + 1] - offsets[i]));
      if (!wanted || firsts[i] == firsts[i + 1] || query.empty()) continue;
      add(query,
          fmt::format("{}, document {}", dataset.folder().string(), rows.begin + std::int64_t(i)));
      own_passages.push_back({passages.begin + firsts[i], passages.begin + firsts[i + 1]});
    }
  }
};

bool is_vector_file(const std::filesystem::path& file) {
  const std::string ending = file.extension().string();
  return ending == ".h5" ||
         (!ending.empty() && std::ranges::count(vector_formats(), ending.substr(1)) > 0);
}

}  // namespace

void QueryConfig::describe(Schema& s) {
  s.key("query.text", &text, "questions; --text \"...\" adds one");
  s.key("query.file", &file,
        "file of queries: JSON lines {\"query\": \"...\"} (.jsonl), vectors (.fvecs, .fbin, .npy, "
        ".hdf5 and so on), or "
        "else a question a line");
  s.key("query.dataset", &dataset, "folder of a text dataset whose documents' queries to ask");
  s.choice("query.split", &split, {"heldout", "train", "all"},
           "documents of query.dataset to take");
  s.key("model", &model,
        "folder of the model that embeds texts: the one that the index's vectors are from");
  s.choice("search.dtype", &dtype, {"auto", "bf16", "f32"},
           "type of the model's products; auto: bf16 where the processor multiplies it, else f32");
  s.key("embed.block", &block, "queries", "texts that the model embeds at a time");
}

void QueryConfig::check() const {
  const int sources = !text.empty() + !file.empty() + !dataset.empty();
  if (sources != 1)
    throw Error(
        ExitCode::usage,
        sources == 0 ? "there is nothing to search for" : "queries come from several places",
        "query.*", "give one of --text, query.file and query.dataset");
  if (model.empty() && !is_vector_file(file))
    throw Error(ExitCode::usage, "no model to embed the queries with", "model",
                "give the folder of the model that embedded the index's vectors");
  if (block < 1) throw Error(ExitCode::usage, "a block is at least one query", "embed.block", "");
}

std::unique_ptr<QuerySource> open_queries(JobContext& context, const QueryConfig& config,
                                          const IndexFolder& index) {
  const auto timed = context.phases.measure("load");
  std::unique_ptr<QuerySource> queries;
  if (!config.dataset.empty()) {
    queries = std::make_unique<DocumentQueries>(context, config, index);
  } else if (is_vector_file(config.file)) {
    context.comm.attempt(
        [&] { queries = std::make_unique<VectorQueries>(context, config.file, index); });
  } else {
    queries = std::make_unique<TextQueries>(context, config, index);
  }
  if (queries->count() == 0)
    throw Error(ExitCode::data, "there are no queries",
                config.dataset.empty() ? config.file : config.dataset,
                "documents count that have a query and passages")
        .as_agreed();
  return queries;
}

std::vector<float> load_checked(JobContext& context, QuerySource& source, Range range,
                                const IndexFolder& index) {
  std::vector<float> vectors = source.load(range);
  const auto timed = context.phases.measure("load");
  context.comm.attempt([&] {
    for (std::int64_t q = 0; q < range.size(); ++q) {
      const auto row =
          std::span(vectors).subspan(std::size_t(q * index.dim), std::size_t(index.dim));
      if (const std::string defect = vector_defect(row, index.metric); !defect.empty())
        throw Error(ExitCode::data, "a query cannot be searched for: " + defect,
                    source.place_of(range.begin + q), "");
    }
  });
  if (index.metric == Metric::cosine) normalise({vectors.data(), range.size(), index.dim});
  return vectors;
}

std::vector<float> load_sample(JobContext& context, QuerySource& source, const IndexFolder& index) {
  constexpr std::int64_t kSample = 512, kStretch = 16, kWorth = 8;
  std::vector<float> sample;
  const std::int64_t stretch = std::max(kStretch, source.granule()), parts = kSample / stretch;
  if (context.comm.size() == 1 || source.count() < kWorth * kSample) return sample;
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t begin = source.count() / parts * part / source.granule() * source.granule();
    const std::vector<float> some = load_checked(context, source, {begin, begin + stretch}, index);
    sample.insert(sample.end(), some.begin(), some.end());
  }
  return sample;
}

}  // namespace tutti
