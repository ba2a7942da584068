#include "jobs/sentence_transformers.h"

#include <algorithm>
#include <string>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/data/json_node.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

constexpr const char* kRemedy =
    "give a model of the modules Transformer, Pooling (the mean or the first token) and Normalize";
constexpr std::int64_t kMostBytes = 1 << 20;

// Of a file that may be missing.
std::optional<nlohmann::json> read_json(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return std::nullopt;
  if (File(file, FileMode::read).size() > kMostBytes)
    throw Error(ExitCode::data, "the file is larger than any of its kind", file.string());
  return nlohmann::json::parse(read_file(file), nullptr, false);
}

void check_modules(const JsonNode& modules) {
  for (const JsonNode& module : modules.items()) {
    const std::string& type = module.at("type").text();
    const std::string name = type.substr(type.rfind('.') + 1);
    if (name != "Transformer" && name != "Pooling" && name != "Normalize")
      module.fail("a module " + name + " is not supported", kRemedy);
    const bool pools = name == "Pooling";
    if (name == "Normalize" || module.at("path").text() == (pools ? "1_Pooling" : "")) continue;
    module.at("path").fail("the module stands in another folder than is usual", kRemedy);
  }
}

// The kind's name: as version 6 of the library writes it, or a flag for each as before.
std::string pooling_mode(const JsonNode& config) {
  constexpr std::string_view kPrefix = "pooling_mode_";
  if (config.has("pooling_mode")) return config.at("pooling_mode").text();
  std::string mode;
  for (const auto& [key, value] : config.value().items()) {
    if (!key.starts_with(kPrefix) || !config.at(key).boolean()) continue;
    if (!mode.empty()) config.fail("several kinds of pooling at a time are not supported", kRemedy);
    mode = key.substr(kPrefix.size());
  }
  return mode;
}

EncoderShape::Pooling read_pooling(const JsonNode& config) {
  const std::string mode = pooling_mode(config);
  if (mode == "mean" || mode == "mean_tokens") return EncoderShape::Pooling::mean;
  if (mode == "cls" || mode == "cls_token") return EncoderShape::Pooling::first;
  config.fail("pooling of the kind \"" + mode + "\" is not supported", kRemedy);
}

// What the tokenizer's settings tell where the library's do not; a number beyond all sequences
// stands for no limit.
std::optional<std::int64_t> tokenizer_limit(const std::filesystem::path& folder) {
  constexpr double kNone = 1 << 30;
  const auto json = read_json(folder / kTokenizerSettings);
  if (!json) return std::nullopt;
  const JsonNode config(*json, (folder / kTokenizerSettings).string() + ": ");
  if (!json->is_object()) config.fail("expected a JSON object");
  const double limit = config.number_or("model_max_length", kNone);
  if (limit < 0) config.at("model_max_length").fail("expected 0 or more");
  return limit >= kNone ? std::nullopt : std::optional(std::int64_t(limit));
}

}  // namespace

SentenceSettings read_sentence_settings(const std::filesystem::path& folder) {
  SentenceSettings settings;
  const auto node = [&](const nlohmann::json& json, const char* name) {
    return JsonNode(json, (folder / name).string() + ": ");
  };
  if (const auto modules = read_json(folder / kSentenceModules))
    check_modules(node(*modules, kSentenceModules));
  if (const auto pooling = read_json(folder / kSentencePooling)) {
    const JsonNode config = node(*pooling, kSentencePooling);
    if (!pooling->is_object()) config.fail("expected a JSON object");
    settings.pooling = read_pooling(config);
  }
  if (const auto json = read_json(folder / kSentenceSettings)) {
    const JsonNode config = node(*json, kSentenceSettings);
    if (!json->is_object()) config.fail("expected a JSON object");
    if (config.boolean_or("do_lower_case", false))
      config.at("do_lower_case").fail("lower case beside the tokenizer's is not supported");
    if (config.has("max_seq_length")) settings.longest = config.at("max_seq_length").integer();
  }
  if (!settings.longest) settings.longest = tokenizer_limit(folder);
  return settings;
}

}  // namespace tutti
