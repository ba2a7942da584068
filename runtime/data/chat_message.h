// A conversation, as OpenAI's interfaces and the JSON lines of fine-tuning write it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace tutti {

struct ChatMessage {
  enum class Role { system, user, assistant } role = Role::user;
  std::string content;
  bool is_learned = true;  // of an assistant's: false where its "weight" is 0

  bool operator==(const ChatMessage&) const = default;
};

// "system", "user", "assistant".
const char* name_of(ChatMessage::Role role);

// Takes messages out of [{"role": ROLE, "content": TEXT, "weight": 0 or 1}, ...]; the weight may be
// missing. Returns what is wrong, naming message and field, or nothing. Calls of tools and contents
// that are no text are refused.
std::optional<std::string> parse_messages(const nlohmann::json& list,
                                          std::vector<ChatMessage>& messages);

}  // namespace tutti
