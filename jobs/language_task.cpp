#include "jobs/language_task.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include <fmt/format.h>

#include "jobs/decoder_model.h"
#include "jobs/decoder_source.h"
#include "jobs/encoder_model.h"
#include "jobs/hugging_face_model.h"
#include "jobs/peft_adapters.h"
#include "kernels/core/random.h"
#include "kernels/model/decoder.h"
#include "runtime/base/log.h"
#include "runtime/data/model_file.h"
#include "runtime/data/packed_examples.h"
#include "runtime/data/paths.h"
#include "runtime/data/token_stream.h"
#include "runtime/data/tokenizer.h"

namespace tutti {
namespace {

constexpr const char* kSeparator = "</s>";

// Keeps the streams of random numbers for dropout, one a step, apart from others.
constexpr std::uint64_t kDropoutStream = std::uint64_t(1) << 60;

// The model that training starts from; nothing where the parameters start at random. Collective.
std::optional<DecoderSource> open_start(Comm& comm, const ModelConfig& config,
                                        const Dataset& dataset) {
  std::optional<DecoderSource> start;
  comm.attempt([&] {
    if (config.from.empty()) return;
    start = open_decoder(config.from);
    require_same_tokenizer(start->manifest, dataset.manifest());
    if (vocabulary_of(dataset) > start->shape.body.vocabulary)
      throw Error(ExitCode::data,
                  fmt::format("the dataset's tokenizer has {} entries, the model embeds {}",
                              vocabulary_of(dataset), start->shape.body.vocabulary),
                  config.from);
    if (config.max_tokens > start->shape.body.max_tokens)
      throw Error(ExitCode::usage,
                  fmt::format("sequences of {} tokens are longer than the {} of the model",
                              config.max_tokens, start->shape.body.max_tokens),
                  "model.max_tokens", "lower it");
  });
  return start;
}

// The same model with tables of rotary positions that are no longer than the sequences.
DecoderShape shape_for(DecoderShape shape, std::int64_t tokens) {
  if (!shape.body.learned_positions) shape.body.max_tokens = tokens;
  return shape;
}

// Adapters beside the model that training starts from, nothing where it is trained itself.
// Collective.
std::optional<AdapterShape> choose_adapters(Comm& comm, const LoraConfig& config,
                                            const std::optional<DecoderSource>& start) {
  std::optional<AdapterShape> adapters;
  comm.attempt([&] {
    if (config.rank == 0) return;
    if (start->adapters)
      throw Error(ExitCode::usage, "the model consists of adapters itself", "model.from",
                  "export it with export.merge = true, import that, and give its folder");
    adapters = adapters_for(start->shape, config.rank, config.alpha, config.modules);
  });
  return adapters;
}

// What a dataset of examples says of them; null where it is of documents. See FORMAT.md.
nlohmann::json examples_of(const Dataset& dataset) {
  if (!has_examples(dataset)) return {};
  const auto it = dataset.manifest().metadata.find("examples");
  if (it == dataset.manifest().metadata.end() || !it->is_object() || !it->contains("end") ||
      !it->at("end").is_number_integer() || it->at("end") < 0 ||
      it->at("end") >= vocabulary_of(dataset))
    throw Error(ExitCode::data, "the manifest does not say which token ends an example",
                (dataset.folder() / kManifestFile).string(), "make the dataset again");
  return *it;
}

// The token in front of each document: the configured piece's.
std::int32_t separator_of(const Dataset& dataset, const std::string& piece) {
  const Tokenizer tokenizer = Tokenizer::from_file(dataset.folder() / kTokenizerFile);
  const auto id = tokenizer.id_of(piece);
  if (!id)
    throw Error(ExitCode::usage, fmt::format("the dataset's tokenizer has no piece \"{}\"", piece),
                "data.separator",
                "name the piece that stands between documents, such as </s> or <|endoftext|>");
  return *id;
}

class LanguageTask : public TrainTask {
 public:
  LanguageTask(Comm& comm, const TrainConfig& config, const Dataset& dataset, DType compute,
               PhaseTimer& phases, DeviceSession* device)
      : comm_(comm),
        config_(config),
        phases_(phases),
        start_(open_start(comm, config.model, dataset)),
        adapters_(choose_adapters(comm, config.lora, start_)),
        device_(device),
        decoder_(make_decoder(start_ ? shape_for(start_->shape, config.model.max_tokens)
                                     : config.model.decoder(vocabulary_of(dataset)),
                              compute)),
        optimizer_(
            make_sharded_optimizer(comm, decoder_.layout(), config.global_batch / config.leaf(),
                                   config.optimizer_options(decoder_.layout()), phases, device)) {
    decoder_.recompute_activations(config.recomputes());
    comm.attempt([&] {
      if (adapters_) load_frozen_parameters(*start_, decoder_);
      examples_ = examples_of(dataset);
      separator_ = choose_separator(dataset);
      data_ = open_split(dataset, kTrainSplit);
      open_heldout(dataset);
      if (config.steps > 0 && data_->sequences() < config.global_batch)
        throw Error(ExitCode::usage,
                    fmt::format("a batch of {} sequences of {} tokens is more than the {} "
                                "sequences that the dataset has",
                                config.global_batch, config.model.max_tokens, data_->sequences()),
                    "batch.global",
                    "lower batch.global or model.max_tokens, or shard more documents");
    });
  }

  const ArenaLayout& layout() const override { return decoder_.layout(); }
  ShardedOptimizer& optimizer() override { return *optimizer_; }
  DType compute() const override { return decoder_.compute(); }
  void initialize() override {
    if (!start_ || adapters_)
      return optimizer_->fill_parameters([&](std::span<float> parameters) {
        decoder_.initialize(parameters, std::uint64_t(config_.seed));
      });
    comm_.attempt([&] {
      optimizer_->fill_parameters(
          [&](std::span<float> parameters) { load_decoder_parameters(*start_, parameters); });
    });
  }
  void parameters_changed() override { decoder_.load_parameters(optimizer_->parameters()); }

  StepResult step(std::int64_t step, double learning_rate) override {
    StepResult result;
    const TokenCount count = data_->count(samples(step));
    result.tokens = count.tokens;
    const std::vector<double> losses = add_gradients(step, load_leaves(step));
    const double per_token = 1.0 / double(count.asked);
    result.gradient_norm = optimizer_->reduce(per_token);
    {
      const auto timed = phases_.measure("reduce");
      result.loss = tree_sum(comm_, losses, optimizer_->leaves()) * per_token;
    }
    result.applied = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
    if (!result.applied) return result;
    optimizer_->update(step, learning_rate);
    const auto timed = phases_.measure("optimizer");
    parameters_changed();
    return result;
  }

  // The mean loss of the first held-out sequences, in pieces whose order of sums is fixed. Bits a
  // byte are those of the loss over all bytes that as many tokens stand for.
  nlohmann::json evaluate() override {
    if (!heldout_) return {};
    optimizer_->make_whole();
    const auto timed = phases_.measure("evaluate");
    const std::int64_t count = std::min(heldout_->sequences(), config_.evaluate_sequences);
    const std::int64_t m = config_.micro_batch, pieces = (count + m - 1) / m;
    const Range mine = part_of(pieces, comm_.size(), comm_.rank());
    std::vector<double> losses;
    for (std::int64_t piece = mine.begin; piece < mine.end; ++piece) {
      const LanguageBatch batch =
          heldout_->load_in_order({piece * m, std::min(count, (piece + 1) * m)});
      losses.push_back(
          decoder_.loss({batch.sequences.tokens, batch.sequences.offsets}, batch.targets));
    }
    const double loss =
        tree_sum(comm_, losses, pieces) / double(heldout_->count_in_order({0, count}).asked);
    nlohmann::json figures = {{"heldout_loss", loss}, {"heldout_perplexity", std::exp(loss)}};
    if (const auto bytes = heldout_->bytes_per_token())
      figures["heldout_bits_per_byte"] = loss / std::numbers::ln2 / *bytes;
    return figures;
  }

  std::vector<std::int64_t> samples(std::int64_t step) const override {
    return data_->numbers(step, config_.global_batch, {0, config_.global_batch});
  }

  nlohmann::json identity() const override {
    return {{"data.separator", separator_},
            {"model.max_tokens", config_.model.max_tokens},
            {"batch.leaf", config_.leaf()},
            {"train.dropout", config_.dropout},
            {"train.label_smoothing", config_.label_smoothing},
            {"train.z_loss", config_.z_loss}};
  }
  nlohmann::json model_metadata() const override {
    nlohmann::json metadata = {
        {"architecture", "decoder"},
        {"shape", decoder_metadata(start_ ? start_->shape : decoder_.shape())},
        {"separator", separator_}};
    if (!examples_.is_null()) metadata["examples"] = examples_;
    if (!start_) return metadata;
    if (adapters_) metadata[kAdaptersKey] = adapters_metadata(*adapters_, start_->base);
    metadata["from_digest"] = start_->manifest.digest;
    if (start_->manifest.metadata.contains(kHuggingFaceKey))
      metadata[kHuggingFaceKey] = start_->manifest.metadata[kHuggingFaceKey];
    return metadata;
  }
  double product_flops(std::int64_t tokens) const override {
    return double(decoder_.product_flops(tokens));
  }

 private:
  Decoder make_decoder(const DecoderShape& shape, DType compute) const {
    if (device_ != nullptr) return make_device_decoder(shape, compute);
    return adapters_ ? Decoder(shape, *adapters_, compute) : Decoder(shape, compute);
  }

  Decoder make_device_decoder(const DecoderShape& shape, DType compute) const {
    const auto refuse = [](const std::string& what, const char* key) {
      throw Error(ExitCode::unavailable, "device = \"cuda\", but " + what, key,
                  "use device = \"cpu\"")
          .as_agreed();
    };
    if (adapters_) refuse("adapters are trained on CPUs alone", "lora.rank");
    if (config_.dropout > 0) refuse("dropout is for CPUs alone", "train.dropout");
    try {
      return {shape, compute, device_->make_decoder(shape, compute)};
    } catch (const std::invalid_argument& e) {
      refuse(e.what(), "model");
      throw;
    }
  }

  std::unique_ptr<LanguageData> open_split(const Dataset& dataset, std::uint8_t split) const {
    const auto seed = std::uint64_t(config_.seed);
    const std::int64_t length = config_.model.max_tokens;
    if (examples_.is_null())
      return std::make_unique<TokenStream>(dataset,
                                           TokenStreamOptions{seed, length, separator_, split});
    auto packed =
        std::make_unique<PackedExamples>(dataset, PackedExamplesOptions{seed, length, split});
    log_info(
        "{} {} examples in {} sequences of {}, {:.1f}% full: {} tokens, {} of them to predict; {} "
        "cut, {} left out",
        packed->examples(), split == kTrainSplit ? "training" : "held-out", packed->sequences(),
        length, 100 * packed->fill(), packed->total().tokens, packed->total().asked, packed->cut(),
        packed->left_out());
    return packed;
  }

  // Nothing is measured where the held-out documents do not fill a sequence.
  void open_heldout(const Dataset& dataset) {
    if (config_.evaluate_sequences == 0) return;
    try {
      heldout_ = open_split(dataset, kHeldoutSplit);
    } catch (const Error& e) {
      if (e.code() != ExitCode::data) throw;
    }
  }

  // Examples whose template has no tokens of its own have their end in front of them as well, as
  // `generate` puts the separator in front of a prompt.
  std::int32_t choose_separator(const Dataset& dataset) const {
    if (!examples_.is_null()) {
      if (!config_.separator.empty())
        throw Error(ExitCode::usage, "the dataset's examples say themselves how they end",
                    "data.separator", "leave it out");
      const bool has_own_tokens = examples_.value("template", "plain") != "plain";
      if (!has_own_tokens || !start_) return examples_["end"];
      return decoder_separator(start_->manifest, start_->shape).value_or(examples_["end"]);
    }
    if (config_.separator.empty() && start_)
      if (const auto token = decoder_separator(start_->manifest, start_->shape)) return *token;
    return separator_of(dataset, config_.separator.empty() ? kSeparator : config_.separator);
  }

  // The micro-batches of this rank's leaves. From here to the update, it holds no more of other
  // ranks' parameters than these need.
  std::vector<LanguageBatch> load_leaves(std::int64_t step) {
    const std::int64_t m = config_.micro_batch, each = config_.leaf() / m;
    const Range leaves = optimizer_->my_leaves();
    std::vector<LanguageBatch> batches;
    for (std::int64_t i = leaves.begin * each; i < leaves.end * each; ++i)
      batches.push_back(load(step, {i * m, (i + 1) * m}));
    if (comm_.size() == 1 || device_ != nullptr) return batches;
    std::vector<std::int32_t> tokens;
    for (const LanguageBatch& batch : batches)
      tokens.insert(tokens.end(), batch.sequences.tokens.begin(), batch.sequences.tokens.end());
    optimizer_->make_whole();  // a step that was skipped has gathered none
    optimizer_->discard_parameters(decoder_.unread_places(tokens));
    return batches;
  }

  // The gradients of this rank's leaves, each over its micro-batches one after another. Returns the
  // leaves' losses.
  std::vector<double> add_gradients(std::int64_t step, std::vector<LanguageBatch> batches) {
    const std::int64_t leaf_size = config_.leaf(), m = config_.micro_batch;
    const CrossEntropyOptions options{float(config_.label_smoothing), float(config_.z_loss)};
    std::vector<double> losses;
    const Range leaves = optimizer_->my_leaves();
    auto next = batches.begin();
    for (std::int64_t leaf = leaves.begin; leaf < leaves.end; ++leaf) {
      const std::span<float> gradients = optimizer_->next_leaf();
      double sum = 0;
      for (std::int64_t first = leaf * leaf_size; first < (leaf + 1) * leaf_size; first += m) {
        const LanguageBatch batch = std::move(*next++);
        const TokenBatch tokens{batch.sequences.tokens, batch.sequences.offsets};
        {
          const auto timed = phases_.measure("forward");
          const std::vector<std::uint64_t> keys = dropout_keys(step, {first, first + m});
          decoder_.forward(tokens, {float(config_.dropout), keys});
        }
        const auto timed = phases_.measure("backward");
        const bool ends_leaf = first + m == (leaf + 1) * leaf_size;
        sum += decoder_.backward(tokens, batch.targets, gradients, options,
                                 ends_leaf ? optimizer_->on_final() : FinalGradients());
      }
      optimizer_->push_leaf();
      losses.push_back(sum);
    }
    return losses;
  }

  // One a token, whatever batch it stands in: of its sample and its place in the sample.
  std::vector<std::uint64_t> dropout_keys(std::int64_t step, Range samples) const {
    std::vector<std::uint64_t> keys;
    if (config_.dropout == 0) return keys;
    const std::vector<std::int64_t> numbers = data_->numbers(step, config_.global_batch, samples);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const std::uint64_t sample =
          random_u64(std::uint64_t(config_.seed), kDropoutStream + std::uint64_t(step),
                     std::uint64_t(samples.begin) + i);
      const std::int64_t tokens = data_->count(std::span(&numbers[i], 1)).tokens;
      for (std::int64_t t = 0; t < tokens; ++t)
        keys.push_back(random_u64(sample, 0, std::uint64_t(t)));
    }
    return keys;
  }

  LanguageBatch load(std::int64_t step, Range samples) {
    const auto timed = phases_.measure("load");
    return data_->load(step, config_.global_batch, samples);
  }

  Comm& comm_;
  const TrainConfig& config_;
  PhaseTimer& phases_;
  std::optional<DecoderSource> start_;
  std::optional<AdapterShape> adapters_;
  DeviceSession* const device_;
  Decoder decoder_;
  std::unique_ptr<ShardedOptimizer> optimizer_;
  std::int32_t separator_ = 0;
  nlohmann::json examples_;  // what the dataset says of its examples; null: it is of documents
  std::unique_ptr<LanguageData> data_, heldout_;
};

}  // namespace

std::unique_ptr<TrainTask> make_language_task(Comm& comm, const TrainConfig& config,
                                              const Dataset& dataset, DType compute,
                                              PhaseTimer& phases, DeviceSession* device) {
  return std::make_unique<LanguageTask>(comm, config, dataset, compute, phases, device);
}

}  // namespace tutti
