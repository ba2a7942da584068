// What the generate job makes of one prompt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/data/chat_template.h"
#include "runtime/data/manifest.h"
#include "runtime/data/prompt_file.h"
#include "runtime/data/tokenizer.h"

namespace tutti {

// One prompt on its way.
struct Completion {
  std::vector<std::int32_t> prompt, tokens;
  std::int64_t most = 0;  // tokens to generate
  bool stopped = false;   // by the end of the text
  std::string problem;    // why nothing is generated
};

// The name of the template that a model was fine-tuned with; "" where its manifest names none.
std::string template_of(const Manifest& model);

// How prompts become a model's tokens, and where what it says ends. Immutable.
class PromptFrame {
 public:
  // `separator`: the token that ends a text. `in_front`: it stands in front of one, too, where the
  // tokenizer names no frame of its own. `style`: the template of conversations, "" for none.
  // Throws Error(usage) where the tokenizer has not what the template takes. The tokenizer must
  // outlive the frame.
  PromptFrame(const Tokenizer& tokenizer, std::int32_t separator, bool in_front,
              const std::string& style);

  // Throws Error(usage) for a conversation where there is no template.
  void require_for(const std::vector<Prompt>& prompts) const;
  // Of a prompt that require_for takes: its tokens, or what is wrong with it.
  Completion begin(const Prompt& prompt) const;
  // Whether a token ends the completion of a prompt.
  bool is_end(const Prompt& prompt, std::int32_t token) const;

 private:
  const Tokenizer& tokenizer_;
  const std::int32_t separator_;
  std::vector<std::int32_t> front_;
  std::optional<ChatTemplate> template_;
};

// The text that a completion's tokens add to its prompt: decoded alone, the first would lose its
// space, which belongs to the completion of a text but not to an answer.
std::string text_of(const Tokenizer& tokenizer, const Prompt& prompt, const Completion& completion);

// A line as OpenAI's batch interface gives it. `number`: the prompt's; `model`: its digest.
nlohmann::json response_to(const Prompt& prompt, const Completion& completion,
                           const std::string& text, std::int64_t number, const std::string& model);

}  // namespace tutti
