#include "jobs/sentence_transformers.h"

#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/data/json_node.h"

namespace tutti {
namespace {

constexpr const char* kRemedy =
    "give a model of the modules Transformer, Pooling (the mean or the first token) and Normalize";
class Files {
 public:
  Files(const std::map<std::string, std::string>& files, const std::string& folder)
      : files_(files), folder_(folder) {}

  // Calls `read` with the file's JSON, where there is such a file.
  template <class Read>
  void with(const char* name, Read&& read) const {
    const auto file = files_.find(name);
    if (file == files_.end()) return;
    const nlohmann::json json = nlohmann::json::parse(file->second, nullptr, false);
    const JsonNode node(json, folder_ + "/" + name + ": ");
    const bool list = std::string_view(name) == kSentenceModules;
    if (list ? !json.is_array() : !json.is_object())
      node.fail(list ? "expected a JSON array" : "expected a JSON object");
    read(node);
  }

 private:
  const std::map<std::string, std::string>& files_;
  const std::string& folder_;
};

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

// A number beyond all sequences stands for no limit.
std::optional<std::int64_t> tokenizer_limit(const JsonNode& config) {
  constexpr double kNone = 1 << 30;
  const double limit = config.number_or("model_max_length", kNone);
  if (limit < 0) config.at("model_max_length").fail("expected 0 or more");
  return limit >= kNone ? std::nullopt : std::optional(std::int64_t(limit));
}

}  // namespace

SentenceSettings read_sentence_settings(const std::map<std::string, std::string>& texts,
                                        const std::string& folder) {
  const Files files(texts, folder);
  SentenceSettings settings;
  files.with(kSentenceModules, check_modules);
  files.with(kSentencePooling,
             [&](const JsonNode& config) { settings.pooling = read_pooling(config); });
  files.with(kTokenizerSettings,
             [&](const JsonNode& config) { settings.longest = tokenizer_limit(config); });
  files.with(kSentenceSettings, [&](const JsonNode& config) {
    if (config.boolean_or("do_lower_case", false))
      config.at("do_lower_case").fail("lower case beside the tokenizer's is not supported");
    if (config.has("max_seq_length")) settings.longest = config.at("max_seq_length").integer();
  });
  return settings;
}

}  // namespace tutti
