#include "jobs/encoder_model.h"

#include <limits>
#include <stdexcept>

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
  const double rows = double(s.vocabulary) + double(s.max_tokens) + double(s.token_types);
  const double least = 4 * (matrices + width * rows + (s.pooler ? width * width : 0));
  if (!file || double(file->bytes) < least || std::int64_t(file->extents.size()) < s.layers)
    throw Error(
        ExitCode::data,
        fmt::format(
            "it describes an encoder of {} layers and {:.0f} bytes or more, its {} has {} bytes",
            s.layers, least, kModelFile, file ? file->bytes : 0),
        place, "copy the model again");
}

constexpr std::int64_t kMostTokenTypes = 1 << 20;

nlohmann::json bert_metadata(const EncoderShape& s) {
  const bool after = s.norm_order == TransformerShape::NormOrder::after;
  return {{"norm_order", after ? "after" : "before"},
          {"norm_epsilon", s.norm_epsilon},
          {"gelu", s.gelu == GeluForm::exact ? "exact" : "tanh"},
          {"token_types", s.token_types},
          {"pooling", s.pooling == EncoderShape::Pooling::first ? "first" : "mean"},
          {"pooler", s.pooler}};
}

// Which of two names a member has.
bool is_second(const nlohmann::json& member, const char* first, const char* second) {
  if (member != first && member != second)
    throw std::invalid_argument("neither of two names: " + member.dump());
  return member == second;
}

void read_bert_metadata(const nlohmann::json& m, EncoderShape& s) {
  s.norm_order = is_second(m.at("norm_order"), "before", "after")
                     ? TransformerShape::NormOrder::after
                     : TransformerShape::NormOrder::before;
  s.gelu = is_second(m.at("gelu"), "tanh", "exact") ? GeluForm::exact : GeluForm::tanh;
  s.pooling = is_second(m.at("pooling"), "mean", "first") ? EncoderShape::Pooling::first
                                                          : EncoderShape::Pooling::mean;
  s.norm_epsilon = m.at("norm_epsilon");
  s.token_types = integer_of(m.at("token_types"));
  s.pooler = m.at("pooler");
  if (!(s.norm_epsilon > 0) || s.token_types < 0 || s.token_types > kMostTokenTypes)
    throw std::invalid_argument("a number out of its range");
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
  nlohmann::json metadata = {{"vocabulary", s.vocabulary},
                             {"width", s.width},
                             {"layers", s.layers},
                             {"heads", s.heads},
                             {"feed_forward", s.feed_forward},
                             {"max_tokens", s.max_tokens}};
  const EncoderShape ours{s.vocabulary, s.width, s.layers, s.heads, s.feed_forward, s.max_tokens};
  if (s != ours) metadata.update(bert_metadata(s));
  return metadata;
}

nlohmann::json to_json(const TextForm& form) {
  return {{"longest", form.longest}, {"front", form.frame.front}, {"back", form.frame.back}};
}

TextForm text_form_of(const Manifest& model, const EncoderShape& shape, const std::string& place) {
  TextForm form{shape.max_tokens, {}};
  if (!model.metadata.contains(kTextKey)) return form;
  try {
    const nlohmann::json& text = model.metadata[kTextKey];
    form.longest = integer_of(text.at("longest"));
    for (const auto& [name, tokens] :
         {std::pair{"front", &form.frame.front}, {"back", &form.frame.back}})
      for (const nlohmann::json& token : text.at(name)) {
        if (integer_of(token) < 0 || integer_of(token) >= shape.vocabulary)
          throw std::invalid_argument("a token that the model does not embed");
        tokens->push_back(std::int32_t(integer_of(token)));
      }
    if (form.longest <= shape.max_tokens && form.room() >= 1) return form;
  } catch (const nlohmann::json::exception&) {
  } catch (const std::invalid_argument&) {
  }
  throw Error(ExitCode::data, "what it tells of the form of texts is not understood", place,
              "import the model again");
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
    if (!theirs_has.is_number_integer() || theirs_has > ours_has)
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
    EncoderShape shape{extent("vocabulary"), extent("width"),        extent("layers"),
                       extent("heads"),      extent("feed_forward"), extent("max_tokens")};
    if (s.contains("norm_order")) read_bert_metadata(s, shape);
    if (shape.width % shape.heads)
      throw Error(ExitCode::data, "it describes an encoder whose heads do not divide its width",
                  place, remedy);
    check_size(shape, model, place);
    return shape;
  } catch (const nlohmann::json::exception&) {
  } catch (const std::invalid_argument&) {
  }
  throw Error(ExitCode::data, "the manifest does not describe an encoder", place, remedy);
}

LoadedEncoder load_encoder(Comm& comm, const std::filesystem::path& folder,
                           const std::string& dtype) {
  const DType compute = compute_type(comm, dtype);
  LoadedEncoder loaded;
  comm.attempt([&] {
    loaded.manifest = load_manifest(folder, kModelKind);
    const std::string place = (folder / kManifestFile).string();
    const EncoderShape shape = encoder_shape_of(loaded.manifest, place);
    loaded.form = text_form_of(loaded.manifest, shape, place);
    loaded.encoder = std::make_unique<Encoder>(shape, compute);
    loaded.parameters.grow(loaded.encoder->layout().padded_size());
    load_parameters(folder, loaded.manifest, loaded.encoder->layout(), loaded.parameters.span());
    loaded.encoder->load_parameters(loaded.parameters.span());
  });
  return loaded;
}

}  // namespace tutti
