// generate: batch text generation by a language model, over a file of prompts.
#include <algorithm>
#include <array>
#include <iostream>
#include <optional>

#include <fmt/format.h>

#include "jobs/completion.h"
#include "jobs/decoder_model.h"
#include "jobs/job.h"
#include "kernels/core/random.h"
#include "kernels/ops/next_token.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/comm/partition.h"
#include "runtime/data/commit.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"
#include "runtime/data/prompt_file.h"
#include "runtime/data/tokenizer.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

struct GenerateConfig {
  std::string model, prompts, dtype = "auto", style = "model";
  std::vector<std::string> text;
  std::int64_t max_tokens = 64, seed = 1, batch = 64;
  SamplingOptions sampling;
  bool separator = true;

  void describe(Schema& s) {
    s.key("model", &model, "folder of a language model");
    s.require("model");
    s.key("prompts", &prompts,
          "JSON lines: {\"prompt\": ...} or {\"messages\": [...]}, or requests of OpenAI's batch "
          "interface");
    s.key("prompt.text", &text,
          "prompts to complete on the terminal instead, as --text gives them");
    s.key("prompt.separator", &separator,
          "put the token in front that stands in front of documents, where the tokenizer names no "
          "other frame");
    std::vector<std::string> styles = chat_style_names();
    styles.insert(styles.begin(), "model");
    s.choice("prompt.template", &style, styles,
             "how messages become a prompt; model: as the model was fine-tuned");
    s.key("generate.max_tokens", &max_tokens, "tokens",
          "the most to generate for a prompt, unless its request says otherwise");
    s.key("generate.temperature", &sampling.temperature, "",
          "0: the most probable token; else logits are divided by it and tokens drawn");
    s.key("generate.top_k", &sampling.top_k, "tokens", "draw from the most probable ones; 0: all");
    s.key("generate.top_p", &sampling.top_p, "",
          "draw from the fewest most probable tokens whose share reaches this");
    s.key("generate.seed", &seed, "", "all chance follows from it");
    s.key("batch.size", &batch, "prompts", "prompts that are completed together");
    s.choice("generate.dtype", &dtype, {"auto", "bf16", "f32"},
             "type of the products; auto: bf16 where the processor multiplies it, else f32");
  }

  void check() const {
    const auto wrong = [](const char* what, const char* key, const char* fix) {
      throw Error(ExitCode::usage, what, key, fix);
    };
    if (prompts.empty() == text.empty())
      wrong("expected a file of prompts or --text, one of both", "prompts", "");
    if (max_tokens < 1 || batch < 1 || sampling.top_k < 0)
      wrong("a count is too small", "generate.*", "");
    if (sampling.temperature < 0 || sampling.top_p < 0 || sampling.top_p > 1)
      wrong("expected a temperature of 0 or more, and a share", "generate.*", "");
  }
};

class GenerateRun {
 public:
  GenerateRun(JobContext& context, const GenerateConfig& config)
      : context_(context), comm_(context.comm), config_(config) {
    for (const char* phase : {"load", "prefill", "decode", "write"})
      (void)context.phases.measure(phase);  // ranks without prompts must know them too
  }

  ExitCode run() {
    open();
    if (context_.dry_run) return ExitCode::done;
    context_.events.write("ready");
    if (!config_.text.empty()) return answer();
    make_room();
    if (make_batches() == ExitCode::stopped) return ExitCode::stopped;
    commit();
    return ExitCode::done;
  }

 private:
  void open() {
    const auto timed = context_.phases.measure("load");
    comm_.attempt([&] {
      if (config_.text.empty()) {
        prompts_ = read_prompts(config_.prompts);
      } else {
        for (const std::string& text : config_.text) prompts_.push_back({.text = text});
      }
    });
    model_ = load_decoder(comm_, config_.model, config_.dtype);
    comm_.attempt([&] {
      tokenizer_.emplace(load_tokenizer(config_.model, model_.manifest));
      frame_.emplace(*tokenizer_, model_.separator, config_.separator, style());
      frame_->require_for(prompts_);
    });
    batches_ = (std::ssize(prompts_) + config_.batch - 1) / config_.batch;
    mine_ = part_of(batches_, comm_.size(), comm_.rank());
    log_info("{} prompts in {} batches, {} in {}", prompts_.size(), batches_,
             model_.manifest.digest, name_of(model_.decoder->compute()));
  }

  std::string style() const {
    return config_.style == "model" ? template_of(model_.manifest) : config_.style;
  }

  std::int64_t context_tokens() const { return model_.decoder->shape().body.max_tokens; }

  Completion prepare(const Prompt& prompt) const {
    Completion c = frame_->begin(prompt);
    if (!c.problem.empty()) return c;
    const std::int64_t room = context_tokens() - std::ssize(c.prompt);
    c.most = std::min(room, prompt.max_tokens.value_or(config_.max_tokens));
    if (room < 1)
      c.problem = fmt::format("the prompt has {} tokens, the model's context {}", c.prompt.size(),
                              context_tokens());
    return c;
  }

  // Completes the prompts [first, end), which are always the same together: so no completion
  // depends on who computed it.
  std::vector<Completion> complete(std::int64_t first, std::int64_t end) {
    std::vector<Completion> all;
    std::vector<std::int64_t> open;  // by place in `all`
    for (std::int64_t i = first; i < end; ++i) {
      all.push_back(prepare(prompts_[std::size_t(i)]));
      if (all.back().problem.empty()) open.push_back(i - first);
    }
    if (open.empty()) return all;
    std::vector<float> logits = prefill(all, open);
    const auto timed = context_.phases.measure("decode");
    // What of the open ones is a sequence of the cache.
    std::vector<std::int64_t> sequences(open.size());
    for (std::size_t s = 0; s < open.size(); ++s) sequences[s] = std::int64_t(s);
    while (true) {
      choose(all, open, sequences, logits, first);
      if (open.empty()) return all;
      std::vector<std::int32_t> last;
      for (const std::int64_t i : open) last.push_back(all[std::size_t(i)].tokens.back());
      logits.resize(open.size() * std::size_t(vocabulary()));
      model_.decoder->append(last, sequences, logits);
    }
  }

  std::int64_t vocabulary() const { return model_.decoder->shape().body.vocabulary; }

  std::vector<float> prefill(const std::vector<Completion>& all,
                             const std::vector<std::int64_t>& open) {
    const auto timed = context_.phases.measure("prefill");
    std::vector<std::int64_t> capacities;
    for (const std::int64_t i : open)
      capacities.push_back(std::ssize(all[std::size_t(i)].prompt) + all[std::size_t(i)].most);
    model_.decoder->start_generation(capacities);
    std::vector<float> logits(open.size() * std::size_t(vocabulary()));
    for (std::size_t done = 0; done < open.size();) {
      std::vector<std::int32_t> tokens, offsets{0};
      const std::size_t begin = done;
      while (done < open.size() && (done == begin || std::ssize(tokens) < kPrefillTokens)) {
        const Completion& c = all[std::size_t(open[done++])];
        tokens.insert(tokens.end(), c.prompt.begin(), c.prompt.end());
        offsets.push_back(std::int32_t(tokens.size()));
      }
      model_.decoder->prefill(
          {tokens, offsets}, std::int64_t(begin),
          std::span(logits).subspan(begin * std::size_t(vocabulary()),
                                    (done - begin) * std::size_t(vocabulary())));
    }
    return logits;
  }

  // Takes a token for each open prompt, and closes those that are at their end.
  void choose(std::vector<Completion>& all, std::vector<std::int64_t>& open,
              std::vector<std::int64_t>& sequences, const std::vector<float>& logits,
              std::int64_t first) const {
    std::vector<std::int64_t> still_open, still;
    for (std::size_t s = 0; s < open.size(); ++s) {
      Completion& c = all[std::size_t(open[s])];
      const Prompt& prompt = prompts_[std::size_t(first + open[s])];
      SamplingOptions sampling = config_.sampling;
      sampling.temperature = prompt.temperature.value_or(sampling.temperature);
      sampling.top_p = prompt.top_p.value_or(sampling.top_p);
      const double chance =
          random_uniform(std::uint64_t(config_.seed), std::uint64_t(first + open[s]),
                         std::uint64_t(c.tokens.size()));
      // Embeddings are often padded beyond the tokenizer's pieces: what stands for no text is not
      // chosen.
      const auto pieces = std::min<std::int64_t>(vocabulary(), tokenizer_->vocabulary());
      const std::int32_t token =
          next_token(std::span(logits).subspan(s * std::size_t(vocabulary()), std::size_t(pieces)),
                     sampling, chance);
      c.stopped = frame_->is_end(prompt, token);
      if (!c.stopped) c.tokens.push_back(token);
      if (c.stopped || std::ssize(c.tokens) == c.most) continue;
      still_open.push_back(open[s]);
      still.push_back(sequences[s]);
    }
    open = std::move(still_open);
    sequences = std::move(still);
  }

  ExitCode answer() {
    if (!comm_.is_root()) return ExitCode::done;
    for (std::int64_t batch = 0; batch < batches_; ++batch) {
      const std::int64_t first = batch * config_.batch,
                         end = std::min(std::ssize(prompts_), first + config_.batch);
      const std::vector<Completion> done = complete(first, end);
      for (std::int64_t i = first; i < end; ++i) {
        const Completion& c = done[std::size_t(i - first)];
        const Prompt& prompt = prompts_[std::size_t(i)];
        std::cout << "\n"
                  << prompt.text << text_of(*tokenizer_, prompt, c) << c.problem << std::endl;
      }
    }
    return ExitCode::done;
  }

  // What completions follow from: batches of an earlier run with another are removed.
  std::string identity() const {
    const GenerateConfig& c = config_;
    nlohmann::json all = {
        {"model", model_.manifest.digest},
        {"compute", name_of(model_.decoder->compute())},
        {"sampling", {c.sampling.temperature, double(c.sampling.top_k), c.sampling.top_p}},
        {"max_tokens", c.max_tokens},
        {"seed", c.seed},
        {"batch", c.batch},
        {"separator", c.separator},
        {"template", style()},
        {"prompts", nlohmann::json::array()}};
    for (const Prompt& p : prompts_) all["prompts"].push_back(to_json(p));
    return digest_of(all.dump());
  }

  void make_room() {
    comm_.attempt([&] {
      if (comm_.is_root()) {
        const std::filesystem::path key = context_.run_folder / kBatchKeyFile;
        if (!std::filesystem::exists(key) || read_file(key) != identity()) remove_batches();
        atomic_replace(key, identity());
      }
    });
    begin_artefact(comm_, context_.run_folder);
  }

  void remove_batches() const {
    for (const auto& entry : std::filesystem::directory_iterator(context_.run_folder))
      if (is_batch_file(entry.path().filename().string())) remove_file(entry.path());
  }

  ExitCode make_batches() {
    for (std::int64_t round = 0;; ++round) {
      const std::int64_t batch = mine_.begin + round;
      std::array<std::int64_t, 2> state = {batch < mine_.end, stop_requested()};
      comm_.all_reduce_sum(std::span(state));
      if (!state[0]) return ExitCode::done;
      if (state[1]) return ExitCode::stopped;
      comm_.attempt([&] {
        if (batch < mine_.end) make_batch(batch);
      });
    }
  }

  void make_batch(std::int64_t batch) {
    const std::filesystem::path file = context_.run_folder / batch_file(batch);
    if (std::filesystem::exists(file)) return;  // by an earlier start of this run
    const std::int64_t first = batch * config_.batch,
                       end = std::min(std::ssize(prompts_), first + config_.batch);
    const std::vector<Completion> done = complete(first, end);
    std::string lines;
    for (std::int64_t i = first; i < end; ++i) {
      const Prompt& prompt = prompts_[std::size_t(i)];
      const Completion& c = done[std::size_t(i - first)];
      const std::string text = c.problem.empty() ? text_of(*tokenizer_, prompt, c) : "";
      lines += response_to(prompt, c, text, i, model_.manifest.digest).dump() + "\n";
      generated_ += std::ssize(c.tokens);
    }
    const auto timed = context_.phases.measure("write");
    atomic_replace(file, lines);
    log_info("batch {} of {}", batch + 1, batches_);
  }

  // All batches in order become one file, and that the artefact.
  void commit() {
    const auto timed = context_.phases.measure("write");
    ArtefactParts parts;
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      std::string all;
      for (std::int64_t batch = 0; batch < batches_; ++batch)
        all += read_file(context_.run_folder / batch_file(batch));
      atomic_replace(context_.run_folder / kCompletionsFile, all);
      parts.files.push_back(record_plain_file(context_.run_folder / kCompletionsFile));
    });
    const nlohmann::json metadata = {{"prompts", prompts_.size()},
                                     {"model", model_.manifest.digest}};
    const Manifest manifest =
        commit_artefact(comm_, context_.run_folder, {kCompletionsKind, {}, metadata}, parts);
    comm_.attempt([&] {
      if (comm_.is_root()) remove_batches();
    });
    generated_ = comm_.all_reduce_sum(generated_);
    context_.result.update({{"prompts", prompts_.size()},
                            {"generated_tokens_this_start", generated_},
                            {"completions_digest", manifest.digest}});
    log_info("{} completions in {}", prompts_.size(),
             (context_.run_folder / kCompletionsFile).string());
  }

  static constexpr std::int64_t kPrefillTokens = 4096;  // of prompts that run at a time

  JobContext& context_;
  Comm& comm_;
  const GenerateConfig& config_;
  std::vector<Prompt> prompts_;
  LoadedDecoder model_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<PromptFrame> frame_;
  std::int64_t batches_ = 0, generated_ = 0;
  Range mine_;  // batches
};

class GenerateJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    context.comm.attempt([&] { config_.check(); });
    return GenerateRun(context, config_).run();
  }

 private:
  GenerateConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_generate_job() { return std::make_unique<GenerateJob>(); }

}  // namespace tutti
