// Prompts for a language model, from JSON lines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/data/chat_message.h"

namespace tutti {

struct Prompt {
  std::string id;  // as the line gives it; its number in the file, from 0, where it does not
  std::string text;
  std::vector<ChatMessage> messages;  // a conversation in the text's place
  // What a request may ask for beside the job's configuration.
  std::optional<std::int64_t> max_tokens;
  std::optional<double> temperature, top_p;
};

nlohmann::json to_json(const Prompt& prompt);

// Takes a prompt out of a line: {"prompt": TEXT, "id": ID}, or a request of OpenAI's batch
// interface, {"custom_id": ID, "body": {"prompt": TEXT, "max_tokens": N, ...}}; "messages": [...],
// as parse_messages takes them, may be in the prompt's place. Returns what is wrong, naming the
// field, or nothing.
std::optional<std::string> parse_prompt(std::string_view json, Prompt& prompt);

// The prompts of a file, one a line. Local. Throws Error(usage) where there is no such file,
// Error(data) naming the line for a bad one, or where there are none.
std::vector<Prompt> read_prompts(const std::filesystem::path& file);

// What the manifest of completions says they are.
inline constexpr const char* kCompletionsKind = "completions";

}  // namespace tutti
