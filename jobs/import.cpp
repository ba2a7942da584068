// import: a model of Hugging Face's transformers becomes a model of ours.
#include <optional>

#include "jobs/hugging_face_model.h"
#include "jobs/job.h"
#include "runtime/base/log.h"
#include "runtime/data/model_file.h"

namespace tutti {
namespace {

class ImportJob : public Job {
 public:
  void describe(Schema& schema) override {
    schema.key(
        "import.from", &from_,
        "folder of a model of Hugging Face's transformers (gpt2, llama, mistral, qwen2; bert, "
        "an encoder, also of sentence-transformers): config.json, model.safetensors, "
        "tokenizer.json");
    schema.require("import.from");
    schema.key("import.tokenizer", &tokenizer_,
               "the tokenizer's file; empty: tokenizer.json or tokenizer.model of the folder");
  }

  ExitCode run(JobContext& context) override {
    std::optional<HuggingFaceModel> model;
    AlignedBuffer<float> parameters;
    context.events.write("ready");
    context.comm.attempt([&] {
      if (!context.comm.is_root()) return;
      const auto timed = context.phases.measure("load");
      refuse_same_folder(context.run_folder);
      model.emplace(open_hugging_face_model(from_, tokenizer_));
      if (!model->left_out.empty())
        log_info("{} tensors of heads for BERT's own training are left out, {} first",
                 model->left_out.size(), model->left_out.front());
      if (context.dry_run)
        return log_info("a model of the family {} in {} tensors", model->config.family,
                        model->places.size());
      parameters.grow(model->layout.padded_size());
      read_tensors(model->tensors, model->places, model->layout, parameters.span());
    });
    if (!context.dry_run) save(context, model, parameters);
    return ExitCode::done;
  }

 private:
  void refuse_same_folder(const std::filesystem::path& run_folder) const {
    std::error_code neither;
    if (std::filesystem::equivalent(from_, run_folder, neither))
      throw Error(ExitCode::usage, "the model would be written into the folder that it comes from",
                  run_folder.string(), "give another --run folder");
  }

  // The root's model; the others have none.
  void save(JobContext& context, const std::optional<HuggingFaceModel>& model,
            const AlignedBuffer<float>& parameters) {
    const auto timed = context.phases.measure("save");
    const Manifest manifest =
        save_model(context.comm, context.run_folder, model ? model->layout : ArenaLayout(),
                   parameters.span(), model ? model->tokenizer : std::filesystem::path(),
                   model ? metadata_of(*model) : nlohmann::json::object());
    if (!model) return;
    std::int64_t elements = 0;
    for (const Parameter& parameter : model->layout.parameters()) elements += parameter.size;
    context.result.update({{"model_digest", manifest.digest},
                           {"family", model->config.family},
                           {"parameters", elements},
                           {"tensors", model->places.size()},
                           {"tensor_dtype", name_of(model->record.dtype)}});
    log_info("model {} of {} parameters ({}, {}) in {}", manifest.digest, elements,
             model->config.family, name_of(model->record.dtype), context.run_folder.string());
  }

  std::string from_, tokenizer_;
};

}  // namespace

std::unique_ptr<Job> make_import_job() { return std::make_unique<ImportJob>(); }

}  // namespace tutti
