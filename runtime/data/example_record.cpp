#include "runtime/data/example_record.h"

#include <fmt/format.h>

namespace tutti {
namespace {

using nlohmann::json;
using Role = ChatMessage::Role;

std::optional<std::string> parse_id(const json& object, const std::string& field, std::string& id) {
  const auto it = field.empty() ? object.end() : object.find(field);
  if (it == object.end() || it->is_null()) return std::nullopt;
  if (!it->is_string() && !it->is_number_integer())
    return fmt::format("the field \"{}\" is neither text nor integer", field);
  id = it->is_string() ? it->get<std::string>() : it->dump();
  return std::nullopt;
}

std::optional<std::string> parse_text(const json& object, const std::string& field,
                                      std::string& text) {
  const auto it = object.find(field);
  if (it == object.end()) return fmt::format("the record has no field \"{}\"", field);
  if (!it->is_string()) return fmt::format("the field \"{}\" is no text", field);
  text = it->get<std::string>();
  return std::nullopt;
}

std::optional<std::string> parse_pair(const json& object, const ExampleOptions& options,
                                      Record& record) {
  ChatMessage prompt{Role::user, "", true}, completion{Role::assistant, "", true};
  if (auto wrong = parse_text(object, options.prompt, prompt.content)) return wrong;
  if (auto wrong = parse_text(object, options.completion, completion.content)) return wrong;
  record.text = prompt.content + completion.content;
  record.messages = {std::move(prompt), std::move(completion)};
  return std::nullopt;
}

std::optional<std::string> parse_chat(const json& object, const ExampleOptions& options,
                                      Record& record) {
  const auto it = object.find(options.messages);
  if (it == object.end()) return fmt::format("the record has no field \"{}\"", options.messages);
  if (const auto wrong = parse_messages(*it, record.messages))
    return fmt::format("the field \"{}\": {}", options.messages, *wrong);
  for (const ChatMessage& message : record.messages) record.text += message.content + "\n";
  return std::nullopt;
}

}  // namespace

std::optional<std::string> parse_example(std::string_view line, const std::string& id_field,
                                         const ExampleOptions& options, Record& record) {
  record = {};
  json object;
  try {
    object = json::parse(line);
  } catch (const json::parse_error& e) {
    return malformed_json(e.byte, e.what());
  } catch (const json::out_of_range&) {
    return "malformed JSON: a number is too large";
  }
  if (!object.is_object()) return "expected a JSON object";
  if (auto wrong = parse_id(object, id_field, record.id)) return wrong;
  const bool is_pair = options.format == ExampleOptions::Format::completion;
  if (auto wrong =
          is_pair ? parse_pair(object, options, record) : parse_chat(object, options, record))
    return wrong;
  return problem_to_learn(options.style, record.messages);
}

}  // namespace tutti
