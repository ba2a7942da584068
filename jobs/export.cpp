// export: a model of ours as a folder that Hugging Face's transformers reads; vectors, neighbours
// and indexes in the formats of others.
#include <fmt/format.h>

#include "jobs/decoder_model.h"
#include "jobs/decoder_source.h"
#include "jobs/encoder_model.h"
#include "jobs/export_vectors.h"
#include "jobs/hugging_face_model.h"
#include "jobs/hugging_face_names.h"
#include "jobs/job.h"
#include "jobs/peft_adapters.h"
#include "runtime/base/log.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"
#include "runtime/data/safetensors_writer.h"

namespace tutti {
namespace {

constexpr const char* kConfig = "config.json";

// Our model, and what its folder is to say of it.
struct Exported {
  ArenaLayout layout;
  std::vector<TensorPlace> places;
  AlignedBuffer<float> parameters;
  HuggingFaceRecord record;
  std::string tokenizer;  // the file's bytes
};

// For a model that was trained here from the start.
HuggingFaceRecord new_record(const Manifest& manifest, const DecoderShape& shape,
                             const std::string& tokenizer) {
  const auto separator = decoder_separator(manifest, shape);
  HuggingFaceRecord record;
  record.config = hugging_face_config_of(shape, separator.value_or(0), DType::f32);
  record.prefix = shape.body.learned_positions ? "transformer." : "";
  if (tokenizer.starts_with('{'))
    record.files["tokenizer_config.json"] =
        "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n";
  else
    log_info(
        "tokenizer.model is for the library sentencepiece: tokenizers of transformers give "
        "other ids");
  return record;
}

// What transformers is to be told of the model's own origin: that of its import.
std::optional<HuggingFaceRecord> imported_record(const Manifest& manifest,
                                                 const std::string& place) {
  if (!manifest.metadata.contains(kHuggingFaceKey)) return std::nullopt;
  return hugging_face_record_of(manifest.metadata[kHuggingFaceKey], place);
}

// A model that was fine-tuned ends its answers by a token of their template, which the one that it
// began as may not have ended texts by: transformers would let it talk on.
void name_end_of_answers(const Manifest& manifest, const DecoderShape& shape,
                         HuggingFaceRecord& record) {
  const nlohmann::json end =
      manifest.metadata.value(nlohmann::json::json_pointer("/examples/end"), nlohmann::json());
  if (!end.is_number_integer() || end < 0 || end >= shape.body.vocabulary) return;
  record.config = with_end_token(record.config, end);
  const auto settings = record.files.find("generation_config.json");
  if (settings != record.files.end()) settings->second = with_end_token(settings->second, end);
}

void describe_encoder(const Manifest& manifest, const std::string& place, Exported& model) {
  const EncoderShape shape = encoder_shape_of(manifest, place);
  const auto record = imported_record(manifest, place);
  if (!record)
    throw Error(ExitCode::data, "no family of transformers has the shape of this encoder", place,
                "export encoders that were imported, or trained from such");
  model.record = *record;
  model.layout = encoder_layout(shape);
  model.places = hugging_face_places(shape, record->prefix, record->old_norm_names);
}

void describe_decoder(const DecoderSource& source, Exported& model) {
  const DecoderShape& shape = source.shape;
  const auto record = imported_record(source.manifest, (source.folder / kManifestFile).string());
  model.record = record ? *record : new_record(source.manifest, shape, model.tokenizer);
  name_end_of_answers(source.manifest, shape, model.record);
  model.layout = decoder_layout(shape);
  model.places = hugging_face_places(shape, model.record.prefix, model.record.stored_head);
}

class ExportJob : public Job {
 public:
  void describe(Schema& schema) override {
    schema.key("export.model", &model_,
               "folder of a model, of import or train; an encoder must come from an import");
    vectors_.describe(schema);
    schema.bytes("export.shard_bytes", &shard_bytes_,
                 "most bytes of tensors in a file; a larger model is cut into several");
    schema.key(
        "export.merge", &merge_,
        "of adapters: write the whole model, with them added to its matrices, instead of the "
        "adapters alone in PEFT's files");
    schema.choice("export.dtype", &dtype_, {"auto", "f32", "bf16", "f16"},
                  "type of the tensors; auto: as they were imported, f32 where they were not");
  }

  ExitCode run(JobContext& context) override {
    context.events.write("ready");
    context.comm.attempt([&] {
      if (!context.comm.is_root()) return;
      check(context.run_folder);
      if (!vectors_.from.empty()) return write_vectors(context);
      const Manifest manifest = load_manifest(model_, kModelKind);
      if (manifest.metadata.contains(kAdaptersKey) && !merge_) return write_adapters(context);
      const Exported model = load(context, manifest);
      if (!context.dry_run) write(context, model);
    });
    return ExitCode::done;
  }

 private:
  void check(const std::filesystem::path& folder) const {
    if (model_.empty() == vectors_.from.empty())
      throw Error(ExitCode::usage,
                  model_.empty() ? "there is nothing to export" : "there are two things to export",
                  "export.*", "give one of export.model and export.from");
    if (shard_bytes_ < 1)
      throw Error(ExitCode::usage, "expected at least 1", "export.shard_bytes", "");
    if (std::filesystem::exists(folder / kManifestFile))
      throw Error(ExitCode::usage, "the run folder holds an artefact of Tutti", folder.string(),
                  "give another --run folder");
  }

  void write_vectors(JobContext& context) const {
    const auto timed = context.phases.measure("save");
    context.result.update(export_vectors(vectors_, context.run_folder, context.dry_run));
    log_info("{} as {} in {}", vectors_.from, context.result["format"].get<std::string>(),
             context.run_folder.string());
  }

  void write_adapters(JobContext& context) const {
    const auto timed = context.phases.measure("save");
    const DecoderSource source = open_decoder(model_);
    if (context.dry_run) return;
    const std::int64_t tensors = write_peft_adapters(context.run_folder, source);
    context.result["tensors"] = tensors;
    log_info("{} tensors of adapters in {}", tensors, context.run_folder.string());
  }

  Exported load(JobContext& context, const Manifest& manifest) const {
    const auto timed = context.phases.measure("load");
    Exported model;
    model.tokenizer = load_tokenizer(model_, manifest).model();
    if (manifest.metadata_text("architecture") == "encoder") {
      describe_encoder(manifest, model_ + "/" + kManifestFile, model);
      model.parameters.grow(model.layout.padded_size());
      load_parameters(model_, manifest, model.layout, model.parameters.span());
    } else {
      const DecoderSource source = open_decoder(model_);
      describe_decoder(source, model);
      model.parameters.grow(model.layout.padded_size());
      load_decoder_parameters(source, model.parameters.span());
    }
    if (dtype_ == "auto") return model;
    model.record.dtype = dtype_from_name(dtype_);
    model.record.other_dtypes.clear();
    model.record.config = with_tensor_type(model.record.config, model.record.dtype);
    return model;
  }

  // config.json goes first and comes last: without it the folder is no model.
  void write(JobContext& context, const Exported& model) const {
    const auto timed = context.phases.measure("save");
    const std::filesystem::path& folder = context.run_folder;
    remove_file(folder / kConfig);
    std::vector<TensorSpec> specs;
    std::int64_t bytes = 0;
    for (const TensorPlace& place : model.places) {
      specs.push_back({place.name, model.record.dtype_of_tensor(place.name), place.shape});
      bytes += specs.back().bytes();
    }
    const auto files = write_safetensors_folder(
        folder, specs, shard_bytes_, [&](std::size_t index, std::span<float> values) {
          copy_tensor(model.places[index], model.layout, model.parameters.span(), values);
        });
    const bool json = model.tokenizer.starts_with('{');
    atomic_replace(folder / (json ? "tokenizer.json" : "tokenizer.model"), model.tokenizer);
    for (const auto& [name, text] : model.record.files) {
      std::filesystem::create_directories((folder / name).parent_path());
      atomic_replace(folder / name, text);
    }
    atomic_replace(folder / kConfig, model.record.config);
    context.result.update({{"tensors", specs.size()}, {"bytes", bytes}, {"files", files}});
    log_info("{} tensors of {} bytes in {}", specs.size(), bytes, folder.string());
  }

  std::string model_, dtype_ = "auto";
  VectorExport vectors_;
  std::int64_t shard_bytes_ = 5'000'000'000;
  bool merge_ = false;
};

}  // namespace

std::unique_ptr<Job> make_export_job() { return std::make_unique<ExportJob>(); }

}  // namespace tutti
