#include "runtime/data/prompt_file.h"

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/data/jsonl.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

using nlohmann::json;

constexpr std::int64_t kLongestLine = std::int64_t(16) << 20;

// A field of a type, where it is there and not null.
template <class T>
std::optional<std::string> take(const json& object, const char* field,
                                bool (*is_right)(const json&), const char* expected,
                                std::optional<T>& value) {
  if (!object.contains(field) || object[field].is_null()) return std::nullopt;
  if (!is_right(object[field])) return fmt::format("\"{}\" is no {}", field, expected);
  value = object[field].get<T>();
  return std::nullopt;
}

bool is_count(const json& value) {
  return value.is_number_integer() && value >= 1 && value <= 1 << 30;
}
bool is_amount(const json& value) { return value.is_number() && value >= 0 && value <= 1000; }
bool is_share(const json& value) { return value.is_number() && value >= 0 && value <= 1; }

std::optional<std::string> parse_words(const json& body, Prompt& prompt) {
  if (body.contains("messages")) {
    if (body.contains("prompt")) return "there are both \"prompt\" and \"messages\"";
    if (const auto wrong = parse_messages(body["messages"], prompt.messages))
      return "\"messages\": " + *wrong;
    return std::nullopt;
  }
  if (!body.contains("prompt") || !body["prompt"].is_string()) return "\"prompt\" is no text";
  prompt.text = body["prompt"];
  return std::nullopt;
}

}  // namespace

json to_json(const Prompt& p) {
  json all = {{"id", p.id}, {"text", p.text}};
  for (const ChatMessage& m : p.messages) all["messages"].push_back({name_of(m.role), m.content});
  if (p.max_tokens) all["max_tokens"] = *p.max_tokens;
  if (p.temperature) all["temperature"] = *p.temperature;
  if (p.top_p) all["top_p"] = *p.top_p;
  return all;
}

std::optional<std::string> parse_prompt(std::string_view line, Prompt& prompt) {
  if (utf8_prefix(line) != line.size()) return "it is not UTF-8";
  const json all = json::parse(line, nullptr, false);
  if (!all.is_object()) return "it is no JSON object";
  const bool is_request = all.contains("body");
  const json& body = is_request ? all["body"] : all;
  if (!body.is_object()) return "\"body\" is no object";
  if (auto wrong = parse_words(body, prompt)) return wrong;
  const json id = all.value(is_request ? "custom_id" : "id", json());
  if (!id.is_null() && !id.is_string() && !id.is_number_integer())
    return "the id is neither text nor integer";
  prompt.id = id.is_string() ? id.get<std::string>() : id.is_null() ? "" : id.dump();
  for (const char* field : {"max_tokens", "max_completion_tokens"})
    if (auto wrong = take(body, field, is_count, "count of tokens", prompt.max_tokens))
      return wrong;
  if (auto wrong = take(body, "temperature", is_amount, "number of 0 or more", prompt.temperature))
    return wrong;
  return take(body, "top_p", is_share, "share between 0 and 1", prompt.top_p);
}

std::vector<Prompt> read_prompts(const std::filesystem::path& file) {
  const InputFiles input = find_input({file.string()}, "jsonl");
  LineReader lines(input.files, {0, input.bytes()}, kLongestLine);
  std::vector<Prompt> prompts;
  for (Line line; lines.next(line);) {
    Prompt prompt;
    const auto problem = line.too_long ? std::optional<std::string>("it is longer than 16 MiB")
                                       : parse_prompt(line.text, prompt);
    if (problem)
      throw Error(ExitCode::data, "no prompt: " + *problem,
                  line_place(input.files[line.file], line.offset),
                  "write {\"prompt\": \"...\"}, {\"messages\": [...]} or a request of the batch "
                  "interface on each line");
    if (prompt.id.empty()) prompt.id = std::to_string(prompts.size());
    prompts.push_back(std::move(prompt));
  }
  if (prompts.empty())
    throw Error(ExitCode::data, "there are no prompts", file.string(),
                "write one JSON object a line");
  return prompts;
}

}  // namespace tutti
