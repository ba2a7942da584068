#include "jobs/hugging_face_model.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "jobs/decoder_model.h"
#include "jobs/encoder_model.h"
#include "jobs/hugging_face_names.h"
#include "jobs/sentence_transformers.h"
#include "runtime/base/error.h"
#include "runtime/data/tokenizer.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

constexpr const char* kConfig = "config.json";
// Files that are small texts, and are given back as they are.
constexpr const char* kKept[] = {
    kTokenizerSettings,       "special_tokens_map.json", "added_tokens.json",
    "generation_config.json", "chat_template.jinja",     "config_sentence_transformers.json",
    kSentenceModules,         kSentenceSettings,         kSentencePooling};
constexpr std::int64_t kMostTextBytes = std::int64_t(16) << 20;

std::string read_text(const std::filesystem::path& path) {
  if (File(path, FileMode::read).size() > kMostTextBytes)
    throw Error(ExitCode::data, "the file is larger than any of its kind", path.string());
  std::string text = read_file(path);
  if (utf8_prefix(text) != text.size())
    throw Error(ExitCode::data, fmt::format("byte {} is not UTF-8", utf8_prefix(text)),
                path.string());
  return text;
}

std::filesystem::path find_tokenizer(const std::filesystem::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model"})
    if (std::filesystem::exists(folder / name)) return folder / name;
  throw Error(ExitCode::data, "there is neither tokenizer.json nor tokenizer.model",
              folder.string(),
              "name one as import.tokenizer; `transformers` writes it with save_pretrained");
}

// Returns the frame that the tokenizer puts around a text.
TokenFrame check_tokenizer(const std::filesystem::path& file, std::int64_t embedded) {
  const Tokenizer tokenizer = Tokenizer::from_file(file);
  if (tokenizer.vocabulary() > embedded)
    throw Error(ExitCode::data,
                fmt::format("the tokenizer has {} entries, the model embeds {}",
                            tokenizer.vocabulary(), embedded),
                file.string(), "give the tokenizer that the model was trained with");
  return tokenizer.frame();
}

// Most tensors' type, and those of another.
void record_types(const SafetensorsFolder& tensors, const std::vector<TensorPlace>& places,
                  HuggingFaceRecord& record) {
  std::map<DType, std::int64_t> counts;
  const auto type_of = [&](const TensorPlace& place) {
    return float_type_of(tensors.find(place.name)->dtype);
  };
  for (const TensorPlace& place : places) ++counts[type_of(place)];
  record.dtype = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
                   return a.second < b.second;
                 })->first;
  for (const TensorPlace& place : places)
    if (type_of(place) != record.dtype) record.other_dtypes[place.name] = type_of(place);
}

// Before as much as a name is made for each layer.
void check_layers(std::int64_t layers, const SafetensorsFolder& tensors, const std::string& place) {
  if (layers > std::ssize(tensors.tensors()))
    throw Error(ExitCode::data,
                fmt::format("it describes {} layers, and there are {} tensors in all", layers,
                            tensors.tensors().size()),
                place, "give the folder of a whole model");
}

bool has_prefix(const SafetensorsFolder& tensors, const std::string& prefix) {
  const auto all = tensors.tensors();
  return std::any_of(all.begin(), all.end(),
                     [&](const TensorEntry* tensor) { return tensor->name.starts_with(prefix); });
}

// What the tensors' names tell of a decoder, and where its tensors go.
std::vector<TensorPlace> places_of_decoder(const HuggingFaceConfig& config,
                                           const SafetensorsFolder& tensors,
                                           HuggingFaceRecord& record) {
  if (config.family == "gpt2" && has_prefix(tensors, "transformer."))
    record.prefix = "transformer.";
  record.stored_head = config.decoder().tied_head && tensors.find("lm_head.weight");
  return hugging_face_places(config.decoder(), record.prefix, record.stored_head);
}

// The same of an encoder.
std::vector<TensorPlace> places_of_encoder(EncoderShape& shape, const SafetensorsFolder& tensors,
                                           HuggingFaceRecord& record) {
  if (has_prefix(tensors, "bert.")) record.prefix = "bert.";
  record.old_norm_names = tensors.find(record.prefix + "embeddings.LayerNorm.gamma");
  shape.pooler = tensors.find(record.prefix + "pooler.dense.weight");
  return hugging_face_places(shape, record.prefix, record.old_norm_names);
}

// Throws Error(data) for a text of no token beside the frame.
TextForm text_form(const EncoderShape& shape, const SentenceSettings& settings,
                   const TokenFrame& frame, const std::string& folder) {
  const TextForm form{std::min(shape.max_tokens, settings.longest.value_or(shape.max_tokens)),
                      frame};
  if (form.room() < 1)
    throw Error(
        ExitCode::data,
        fmt::format("a text may have {} tokens, the frame around it takes them all", form.longest),
        folder, "check max_seq_length and max_position_embeddings");
  return form;
}

}  // namespace

DType HuggingFaceRecord::dtype_of_tensor(const std::string& name) const {
  const auto it = other_dtypes.find(name);
  return it == other_dtypes.end() ? dtype : it->second;
}

nlohmann::json to_json(const HuggingFaceRecord& record) {
  nlohmann::json others = nlohmann::json::object();
  for (const auto& [tensor, dtype] : record.other_dtypes) others[tensor] = name_of(dtype);
  return {{"config", record.config},
          {"files", record.files},
          {"dtype", name_of(record.dtype)},
          {"other_dtypes", others},
          {"prefix", record.prefix},
          {"stored_head", record.stored_head},
          {"old_norm_names", record.old_norm_names}};
}

HuggingFaceRecord hugging_face_record_of(const nlohmann::json& json, const std::string& place) {
  const auto type_of = [](const nlohmann::json& name) {
    const DType type = dtype_from_name(name.get<std::string>());
    if (type != DType::f32 && type != DType::f16 && type != DType::bf16)
      throw std::invalid_argument("no type of floats");
    return type;
  };
  try {
    HuggingFaceRecord record;
    record.config = json.at("config");
    json.at("files").get_to(record.files);
    for (const auto& [name, text] : record.files)
      if (std::find(std::begin(kKept), std::end(kKept), name) == std::end(kKept))
        throw std::invalid_argument("no file of a model");
    record.dtype = type_of(json.at("dtype"));
    for (const auto& [tensor, name] : json.at("other_dtypes").items())
      record.other_dtypes[tensor] = type_of(name);
    record.prefix = json.at("prefix");
    record.stored_head = json.at("stored_head");
    record.old_norm_names = json.value("old_norm_names", false);
    return record;
  } catch (const nlohmann::json::exception&) {
  } catch (const std::invalid_argument&) {
  }
  throw Error(ExitCode::data, "what it tells of the model's origin is not understood", place,
              "import the model again");
}

HuggingFaceModel open_hugging_face_model(const std::filesystem::path& folder,
                                         const std::filesystem::path& tokenizer) {
  HuggingFaceRecord record;
  record.config = read_text(folder / kConfig);
  const std::string place = (folder / kConfig).string();
  HuggingFaceConfig config = read_hugging_face_config(record.config, place);
  SafetensorsFolder tensors(folder);
  auto* encoder = std::get_if<EncoderShape>(&config.shape);
  check_layers(encoder ? encoder->layers : config.decoder().body.layers, tensors, place);
  auto places = encoder ? places_of_encoder(*encoder, tensors, record)
                        : places_of_decoder(config, tensors, record);
  std::vector<std::string> left_out;
  check_tensors(tensors, places, [&](const std::string& name) {
    const bool head = encoder && is_training_head(name);
    if (head) left_out.push_back(name);
    return head || is_constant_tensor(name);
  });
  record_types(tensors, places, record);
  for (const char* name : kKept)
    if (std::filesystem::exists(folder / name)) record.files[name] = read_text(folder / name);
  const auto tokenizer_file = tokenizer.empty() ? find_tokenizer(folder) : tokenizer;
  const TokenFrame frame = check_tokenizer(
      tokenizer_file, encoder ? encoder->vocabulary : config.decoder().body.vocabulary);
  TextForm form;
  if (encoder) {
    const SentenceSettings settings = read_sentence_settings(record.files, folder.string());
    encoder->pooling = settings.pooling;
    form = text_form(*encoder, settings, frame, folder.string());
  }
  ArenaLayout layout = encoder ? encoder_layout(*encoder) : decoder_layout(config.decoder());
  return {std::move(config), std::move(record), std::move(tensors), std::move(places),
          std::move(layout), tokenizer_file,    std::move(form),    std::move(left_out)};
}

nlohmann::json metadata_of(const HuggingFaceModel& model) {
  const nlohmann::json record = to_json(model.record);
  if (model.config.is_encoder())
    return {{"architecture", "encoder"},
            {"shape", encoder_metadata(model.config.encoder())},
            {kTextKey, to_json(model.form)},
            {kHuggingFaceKey, record}};
  nlohmann::json metadata = {{"architecture", "decoder"},
                             {"shape", decoder_metadata(model.config.decoder())},
                             {kHuggingFaceKey, record}};
  if (model.config.separator) metadata["separator"] = *model.config.separator;
  return metadata;
}

}  // namespace tutti
