#include "jobs/completion.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace tutti {

using nlohmann::json;

std::string template_of(const Manifest& model) {
  const auto examples = model.metadata.find("examples");
  if (examples == model.metadata.end() || !examples->is_object()) return "";
  const auto name = examples->find("template");
  for (const std::string& known : chat_style_names())
    if (name != examples->end() && *name == known) return known;
  return "";
}

PromptFrame::PromptFrame(const Tokenizer& tokenizer, std::int32_t separator, bool in_front,
                         const std::string& style)
    : tokenizer_(tokenizer), separator_(separator), front_(tokenizer.frame().front) {
  if (in_front) front_ = text_front(tokenizer, separator);
  if (!style.empty()) template_.emplace(chat_style_of(style), tokenizer, separator);
}

void PromptFrame::require_for(const std::vector<Prompt>& prompts) const {
  for (const Prompt& prompt : prompts)
    if (!template_ && !prompt.messages.empty())
      throw Error(ExitCode::usage,
                  fmt::format("prompt \"{}\" is a conversation, and the model names no template",
                              prompt.id),
                  "prompt.template", "name the one that the model was trained with");
}

Completion PromptFrame::begin(const Prompt& prompt) const {
  Completion c;
  if (prompt.messages.empty()) {
    c.prompt = front_;
    const std::vector<std::int32_t> tokens = tokenizer_.encode(prompt.text);
    c.prompt.insert(c.prompt.end(), tokens.begin(), tokens.end());
    if (c.prompt.empty()) c.problem = "the prompt is empty";
  } else if (const auto wrong = problem_to_answer(template_->style(), prompt.messages)) {
    c.problem = *wrong;
  } else {
    c.prompt = template_->encode_prompt(prompt.messages);
  }
  return c;
}

bool PromptFrame::is_end(const Prompt& prompt, std::int32_t token) const {
  return token == separator_ || (!prompt.messages.empty() && token == template_->end());
}

std::string text_of(const Tokenizer& tokenizer, const Prompt& prompt, const Completion& c) {
  std::vector<std::int32_t> both = c.prompt;
  both.insert(both.end(), c.tokens.begin(), c.tokens.end());
  const std::string before = tokenizer.decode(c.prompt, true), all = tokenizer.decode(both, true);
  const std::string text =
      all.starts_with(before) ? all.substr(before.size()) : tokenizer.decode(c.tokens, true);
  const bool is_answer = !prompt.messages.empty();
  return is_answer && text.starts_with(' ') ? text.substr(1) : text;
}

json response_to(const Prompt& prompt, const Completion& c, const std::string& text,
                 std::int64_t number, const std::string& model) {
  json line = {{"id", fmt::format("completion-{}", number)},
               {"custom_id", prompt.id},
               {"response", nullptr},
               {"error", nullptr}};
  if (!c.problem.empty()) {
    line["error"] = {{"code", "invalid_prompt"}, {"message", c.problem}};
    return line;
  }
  const bool is_answer = !prompt.messages.empty();
  json choice = {{"index", 0}, {"finish_reason", c.stopped ? "stop" : "length"}};
  if (is_answer)
    choice["message"] = {{"role", "assistant"}, {"content", text}};
  else
    choice["text"] = text;
  line["response"] = {{"status_code", 200},
                      {"body",
                       {{"object", is_answer ? "chat.completion" : "text_completion"},
                        {"model", model},
                        {"choices", json::array({choice})},
                        {"usage",
                         {{"prompt_tokens", c.prompt.size()},
                          {"completion_tokens", c.tokens.size()},
                          {"total_tokens", c.prompt.size() + c.tokens.size()}}}}}};
  return line;
}

}  // namespace tutti
