#include "jobs/hugging_face_model.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "jobs/decoder_model.h"
#include "jobs/hugging_face_names.h"
#include "runtime/base/error.h"
#include "runtime/data/tokenizer.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

constexpr const char* kConfig = "config.json";
// Files that are small texts, and mean nothing to Tutti.
constexpr const char* kKept[] = {"tokenizer_config.json", "special_tokens_map.json",
                                 "added_tokens.json", "generation_config.json",
                                 "chat_template.jinja"};
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

void check_vocabulary(const std::filesystem::path& file, std::int64_t embedded) {
  const std::int64_t entries = Tokenizer::from_file(file).vocabulary();
  if (entries > embedded)
    throw Error(ExitCode::data,
                fmt::format("the tokenizer has {} entries, the model embeds {}", entries, embedded),
                file.string(), "give the tokenizer that the model was trained with");
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

}  // namespace

DType HuggingFaceRecord::dtype_of_tensor(const std::string& name) const {
  const auto it = other_dtypes.find(name);
  return it == other_dtypes.end() ? dtype : it->second;
}

nlohmann::json to_json(const HuggingFaceRecord& record) {
  nlohmann::json others = nlohmann::json::object();
  for (const auto& [tensor, dtype] : record.other_dtypes) others[tensor] = name_of(dtype);
  return {{"config", record.config},        {"files", record.files},
          {"dtype", name_of(record.dtype)}, {"other_dtypes", others},
          {"prefix", record.prefix},        {"stored_head", record.stored_head}};
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
  const HuggingFaceConfig config = read_hugging_face_config(record.config, place);
  SafetensorsFolder tensors(folder);
  check_layers(config.shape.body.layers, tensors, place);
  if (config.family == "gpt2" && has_prefix(tensors, "transformer."))
    record.prefix = "transformer.";
  record.stored_head = config.shape.tied_head && tensors.find("lm_head.weight");
  auto places = hugging_face_places(config.shape, record.prefix, record.stored_head);
  check_tensors(tensors, places, is_constant_tensor);
  record_types(tensors, places, record);
  for (const char* name : kKept)
    if (std::filesystem::exists(folder / name)) record.files[name] = read_text(folder / name);
  const auto tokenizer_file = tokenizer.empty() ? find_tokenizer(folder) : tokenizer;
  check_vocabulary(tokenizer_file, config.shape.body.vocabulary);
  return {
      config,        record, std::move(tensors), std::move(places), decoder_layout(config.shape),
      tokenizer_file};
}

nlohmann::json metadata_of(const HuggingFaceModel& model) {
  nlohmann::json metadata = {{"architecture", "decoder"},
                             {"shape", decoder_metadata(model.config.shape)},
                             {kHuggingFaceKey, to_json(model.record)}};
  if (model.config.separator) metadata["separator"] = *model.config.separator;
  return metadata;
}

}  // namespace tutti
