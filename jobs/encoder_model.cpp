#include "jobs/encoder_model.h"

#include <limits>

#include <fmt/format.h>

#include "kernels/ops/product.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

// No memory or time is taken for an encoder that the model's file is too small to hold.
void check_size(const EncoderShape& s, const Manifest& model, const std::string& place) {
  const FileRecord* file = model.find_file(kModelFile);
  const double width = double(s.width),
               matrices = double(s.layers) * width * (4 * width + 2 * double(s.feed_forward));
  const double least = 4 * (matrices + width * double(s.vocabulary + s.max_tokens));
  if (!file || double(file->bytes) < least || std::int64_t(file->extents.size()) < s.layers)
    throw Error(
        ExitCode::data,
        fmt::format(
            "it describes an encoder of {} layers and {:.0f} bytes or more, its {} has {} bytes",
            s.layers, least, kModelFile, file ? file->bytes : 0),
        place, "copy the model again");
}

}  // namespace

void EncoderConfig::describe(Schema& s) {
  s.key("model.width", &width, "", "size of a token's vector, and of the embedding");
  s.key("model.layers", &layers, "", "transformer blocks");
  s.key("model.heads", &heads, "", "attention heads; divides model.width");
  s.key("model.feed_forward", &feed_forward, "",
        "inner size of the feed-forward part; 0: 4 times the width (llama: 8/3)");
  s.key("model.max_tokens", &max_tokens, "tokens",
        "longest sequence: longer texts are cut; language models are trained on just this length");
}

void EncoderConfig::check() const {
  if (width < 1 || layers < 1 || heads < 1 || feed_forward < 1 || max_tokens < 1)
    throw Error(ExitCode::usage, "a size of the model is below one", "model.*",
                "give sizes of at least 1");
  if (width % heads)
    throw Error(ExitCode::usage, "model.heads does not divide model.width", "model.heads",
                "choose a divisor");
}

EncoderShape EncoderConfig::encoder(std::int64_t vocabulary) const {
  EncoderShape s;
  s.vocabulary = vocabulary;
  s.width = width;
  s.layers = layers;
  s.heads = heads;
  s.feed_forward = feed_forward;
  s.max_tokens = max_tokens;
  return s;
}

std::int64_t vocabulary_of(const Dataset& dataset) {
  const nlohmann::json& metadata = dataset.manifest().metadata;
  if (!metadata.contains("vocabulary") || !metadata["vocabulary"].is_number_integer())
    throw Error(ExitCode::data, "the dataset names no vocabulary", dataset.folder().string(),
                "shard it from text");
  return metadata["vocabulary"];
}

nlohmann::json encoder_metadata(const EncoderShape& s) {
  return {{"vocabulary", s.vocabulary},
          {"width", s.width},
          {"layers", s.layers},
          {"heads", s.heads},
          {"feed_forward", s.feed_forward},
          {"max_tokens", s.max_tokens}};
}

DType compute_type(Comm& comm, const std::string& name) {
  if (name != "auto") return dtype_from_name(name);
  // One rank without bf16 decides for all: mixed types would give results that depend on who
  // computed what.
  return comm.all_reduce_min(std::int64_t(preferred_compute_dtype() == DType::bf16)) ? DType::bf16
                                                                                     : DType::f32;
}

void require_same_tokenizer(const Manifest& model, const Manifest& dataset) {
  const FileRecord *ours = model.find_file(kTokenizerFile),
                   *theirs = dataset.find_file(kTokenizerFile);
  if (!ours || !theirs || ours->bytes != theirs->bytes ||
      ours->header_crc32c != theirs->header_crc32c)
    throw Error(ExitCode::usage, "the model and the dataset have different tokenizers",
                kTokenizerFile,
                "shard the text with the model's tokenizer.model (tokenizer.model = ...)");
}

void check_tokenizer(Comm& comm, const Manifest& model, const Manifest& dataset) {
  comm.attempt([&] {
    require_same_tokenizer(model, dataset);
    const nlohmann::json theirs_has = dataset.metadata.value("vocabulary", nlohmann::json());
    const std::int64_t ours_has = encoder_shape_of(model, "the model").vocabulary;
    if (theirs_has != ours_has)
      throw Error(ExitCode::data,
                  fmt::format("the model embeds {} tokens, the dataset's tokenizer has {}",
                              ours_has, theirs_has.dump()),
                  "model", "give a model that was trained on a dataset with this tokenizer");
  });
}

EncoderShape encoder_shape_of(const Manifest& model, const std::string& place) {
  const std::string remedy = "give the folder of a model that the train job wrote";
  try {
    if (model.metadata.at("architecture") != "encoder")
      throw Error(ExitCode::data,
                  "it is no encoder, but a " + model.metadata.at("architecture").dump(), place,
                  "give a model of model.kind = \"encoder\"");
    const nlohmann::json& s = model.metadata.at("shape");
    const auto extent = [&](const char* name) {
      const std::int64_t value = integer_of(s.at(name));
      if (value < 1 || value > std::numeric_limits<std::int32_t>::max())
        throw Error(ExitCode::data,
                    fmt::format("it describes an encoder whose {} is {}", name, value), place,
                    remedy);
      return value;
    };
    const EncoderShape shape{extent("vocabulary"), extent("width"),        extent("layers"),
                             extent("heads"),      extent("feed_forward"), extent("max_tokens")};
    if (shape.width % shape.heads)
      throw Error(ExitCode::data, "it describes an encoder whose heads do not divide its width",
                  place, remedy);
    check_size(shape, model, place);
    return shape;
  } catch (const nlohmann::json::exception&) {
    throw Error(ExitCode::data, "the manifest does not describe an encoder", place, remedy);
  }
}

LoadedEncoder load_encoder(Comm& comm, const std::filesystem::path& folder,
                           const std::string& dtype) {
  const DType compute = compute_type(comm, dtype);
  LoadedEncoder loaded;
  comm.attempt([&] {
    loaded.manifest = load_manifest(folder, kModelKind);
    const EncoderShape shape = encoder_shape_of(loaded.manifest, (folder / kManifestFile).string());
    loaded.encoder = std::make_unique<Encoder>(shape, compute);
    loaded.parameters.grow(loaded.encoder->layout().padded_size());
    load_parameters(folder, loaded.manifest, loaded.encoder->layout(), loaded.parameters.span());
    loaded.encoder->load_parameters(loaded.parameters.span());
  });
  return loaded;
}

}  // namespace tutti
