// What a language model is fine-tuned with, from JSON lines: prompts with their completions, and
// conversations.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/chat_template.h"
#include "runtime/data/jsonl.h"

namespace tutti {

struct ExampleOptions {
  enum class Format {
    none,        // lines are documents
    completion,  // {"prompt": TEXT, "completion": TEXT}
    messages,    // {"messages": [...]}, as parse_messages takes them
  } format = Format::none;
  std::string prompt = "prompt", completion = "completion", messages = "messages";  // fields
  ChatStyle style = ChatStyle::pair;

  bool is_wanted() const { return format != Format::none; }
};

// Takes an example out of a JSON object: `messages`, a prompt being the user's and a completion the
// assistant's; `text`, what they say; and `id` out of the field `id_field`, which may be text or an
// integer, and may be missing: it is empty then. Returns what is wrong, naming field or byte, or
// nothing; what problem_to_learn says is wrong, too. Local; thread-safe.
std::optional<std::string> parse_example(std::string_view line, const std::string& id_field,
                                         const ExampleOptions& options, Record& record);

}  // namespace tutti
