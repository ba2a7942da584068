#include "runtime/data/chat_message.h"

#include <fmt/format.h>

namespace tutti {
namespace {

using nlohmann::json;
using Role = ChatMessage::Role;

std::optional<std::string> parse_role(const json& message, Role& role) {
  if (!message.contains("role") || !message["role"].is_string()) return "\"role\" is no text";
  for (const Role known : {Role::system, Role::user, Role::assistant})
    if (message["role"] == name_of(known)) {
      role = known;
      return std::nullopt;
    }
  return "the role is none of system, user and assistant";
}

std::optional<std::string> parse_weight(const json& message, bool& is_learned) {
  if (!message.contains("weight") || message["weight"].is_null()) return std::nullopt;
  const json& weight = message["weight"];
  if (!weight.is_number_integer() || (weight != 0 && weight != 1))
    return "\"weight\" is neither 0 nor 1";
  is_learned = weight == 1;
  return std::nullopt;
}

std::optional<std::string> parse_message(const json& value, ChatMessage& message) {
  if (!value.is_object()) return "it is no object";
  if (auto wrong = parse_role(value, message.role)) return wrong;
  for (const char* call : {"tool_calls", "function_call"})
    if (value.contains(call) && !value[call].is_null())
      return fmt::format("\"{}\" is not supported", call);
  if (!value.contains("content") || !value["content"].is_string()) return "\"content\" is no text";
  message.content = value["content"];
  return parse_weight(value, message.is_learned);
}

}  // namespace

const char* name_of(Role role) {
  switch (role) {
    case Role::system:
      return "system";
    case Role::user:
      return "user";
    default:
      return "assistant";
  }
}

std::optional<std::string> parse_messages(const json& list, std::vector<ChatMessage>& messages) {
  messages.clear();
  if (!list.is_array()) return "it is no list of messages";
  if (list.empty()) return "there are no messages";
  for (const json& value : list) {
    ChatMessage message;
    if (const auto wrong = parse_message(value, message))
      return fmt::format("message {}: {}", messages.size() + 1, *wrong);
    messages.push_back(std::move(message));
  }
  return std::nullopt;
}

}  // namespace tutti
