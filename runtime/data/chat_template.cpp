#include "runtime/data/chat_template.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/data/unicode_classes.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

using Role = ChatMessage::Role;

constexpr std::array<std::pair<const char*, ChatStyle>, 4> kStyles = {
    {{"chatml", ChatStyle::chatml},
     {"llama2", ChatStyle::llama2},
     {"llama3", ChatStyle::llama3},
     {"plain", ChatStyle::plain}}};

bool is_space(std::string_view text, std::size_t at) {
  return UnicodeTable::instance()[character_at(text.data() + at, text.data() + text.size()).code] &
         kWhiteSpace;
}

std::string stripped(std::string_view text) {
  std::size_t begin = 0;
  while (begin < text.size() && is_space(text, begin))
    begin += character_at(text.data() + begin, text.data() + text.size()).bytes;
  std::size_t end = text.size();
  while (end > begin) {
    const std::size_t last = utf8_floor(text, end - 1);
    if (!is_space(text, last)) break;
    end = last;
  }
  return std::string(text.substr(begin, end - begin));
}

// Nothing where user and assistant take turns behind at most one message of the system.
std::optional<std::string> wrong_turn(std::span<const ChatMessage> messages) {
  const std::size_t first = !messages.empty() && messages[0].role == Role::system;
  for (std::size_t i = first; i < messages.size(); ++i) {
    const Role expected = (i - first) % 2 == 0 ? Role::user : Role::assistant;
    if (messages[i].role != expected)
      return fmt::format("message {} is the {}'s; the template llama2 expects the {}'s there",
                         i + 1, name_of(messages[i].role), name_of(expected));
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> chat_style_names() {
  std::vector<std::string> names;
  for (const auto& [name, style] : kStyles) names.emplace_back(name);
  return names;
}

ChatStyle chat_style_of(std::string_view name) {
  const auto found =
      std::find_if(kStyles.begin(), kStyles.end(), [&](const auto& s) { return s.first == name; });
  CHECK(found != kStyles.end());
  return found->second;
}

std::optional<std::string> problem_to_learn(ChatStyle style,
                                            std::span<const ChatMessage> messages) {
  bool has_answer = false;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != Role::assistant) continue;
    if (messages[i].content.empty())
      return style == ChatStyle::pair
                 ? "the completion is empty"
                 : fmt::format("message {}: the assistant's content is empty", i + 1);
    has_answer = has_answer || messages[i].is_learned;
  }
  if (!has_answer) return "no message of the assistant is there to learn from";
  return style == ChatStyle::llama2 ? wrong_turn(messages) : std::nullopt;
}

std::optional<std::string> problem_to_answer(ChatStyle style,
                                             std::span<const ChatMessage> messages) {
  if (messages.empty()) return "there are no messages";
  if (messages.back().role == Role::assistant) return "the last message is the assistant's";
  if (style != ChatStyle::llama2) return std::nullopt;
  if (messages.back().role == Role::system) return "there is no message of the user";
  return wrong_turn(messages);
}

std::vector<std::int32_t> text_front(const Tokenizer& tokenizer, std::int32_t separator) {
  const std::vector<std::int32_t>& front = tokenizer.frame().front;
  return front.empty() ? std::vector{separator} : front;
}

// Text between two special tokens is encoded at once, as the reference does.
class ChatTemplate::Writer {
 public:
  explicit Writer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void special(std::int32_t id, bool is_predicted = false) {
    encode_text();
    append(std::span(&id, 1), is_predicted);
  }
  // What stands around a text as if it were none of it.
  void frame(std::span<const std::int32_t> ids) {
    append(ids, false);
    frame_ = ids.size();
  }
  void text(std::string_view text) { text_ += text; }

  // The part of a text that an assistant says.
  void answer(std::string_view text, bool is_predicted) {
    const std::vector<std::int32_t> before = encoded(text_);
    std::vector<std::int32_t> ids = encoded(text_ + std::string(text));
    const bool is_prefix =
        ids.size() >= before.size() && std::equal(before.begin(), before.end(), ids.begin());
    encode_text();
    if (is_prefix)
      ids.erase(ids.begin(), ids.begin() + std::ssize(before));
    else
      ids = encoded(text);
    append(ids, is_predicted);
  }

  EncodedExample finish() {
    encode_text();
    return std::move(example_);
  }

 private:
  std::vector<std::int32_t> encoded(std::string_view text) const {
    std::vector<std::int32_t> ids;
    if (!text.empty()) tokenizer_.encode_plain(text, example_.tokens.size() == frame_, ids);
    return ids;
  }
  void encode_text() { append(encoded(std::exchange(text_, "")), false); }
  void append(std::span<const std::int32_t> ids, bool is_predicted) {
    const auto begin = std::int32_t(example_.tokens.size());
    example_.tokens.insert(example_.tokens.end(), ids.begin(), ids.end());
    if (!is_predicted || ids.empty()) return;
    std::vector<std::int32_t>& ranges = example_.predicted;
    if (ranges.empty() || ranges.back() != begin) ranges.insert(ranges.end(), {begin, begin});
    ranges.back() = std::int32_t(example_.tokens.size());
  }

  const Tokenizer& tokenizer_;
  std::string text_;  // not yet encoded
  EncodedExample example_;
  std::size_t frame_ = 0;
};

ChatTemplate::ChatTemplate(ChatStyle style, const Tokenizer& tokenizer, const std::string& end)
    : style_(style), tokenizer_(tokenizer) {
  if (has_end_of_its_own())
    find_specials();
  else
    front_ = text_front(tokenizer, end_ = special(end));
}

ChatTemplate::ChatTemplate(ChatStyle style, const Tokenizer& tokenizer, std::int32_t end)
    : style_(style), tokenizer_(tokenizer) {
  if (has_end_of_its_own())
    find_specials();
  else
    front_ = text_front(tokenizer, end_ = end);
}

void ChatTemplate::find_specials() {
  if (style_ == ChatStyle::chatml) {
    begin_ = special("<|im_start|>");
    end_ = special("<|im_end|>");
  } else if (style_ == ChatStyle::llama2) {
    begin_ = special("<s>");
    end_ = special("</s>");
  } else {
    begin_ = special("<|begin_of_text|>");
    header_begin_ = special("<|start_header_id|>");
    header_end_ = special("<|end_header_id|>");
    end_ = special("<|eot_id|>");
  }
}

std::int32_t ChatTemplate::special(const std::string& piece) const {
  std::string place = "examples.end";
  std::string fix = "name the special piece that ends a text, such as </s> or <|endoftext|>";
  for (const auto& [name, style] : kStyles)
    if (style == style_ && has_end_of_its_own()) {
      place = fmt::format("the template {}", name);
      fix = "choose the template that the tokenizer was made for, or plain";
    }
  const auto id = tokenizer_.id_of(piece);
  if (!id)
    throw Error(ExitCode::usage, fmt::format("the tokenizer has no piece \"{}\"", piece), place,
                fix);
  if (!tokenizer_.is_special(*id))
    throw Error(
        ExitCode::usage,
        fmt::format("\"{}\" is no special token of the tokenizer: any text could imitate it",
                    piece),
        place, fix);
  return *id;
}

EncodedExample ChatTemplate::encode(std::span<const ChatMessage> messages) const {
  Writer writer(tokenizer_);
  write(messages, writer);
  return writer.finish();
}

std::vector<std::int32_t> ChatTemplate::encode_prompt(std::span<const ChatMessage> messages) const {
  Writer writer(tokenizer_);
  write(messages, writer);
  open_answer(writer);
  return writer.finish().tokens;
}

void ChatTemplate::write(std::span<const ChatMessage> messages, Writer& writer) const {
  writer.frame(front_);
  if (style_ == ChatStyle::llama3) writer.special(begin_);
  if (style_ == ChatStyle::llama2) return write_llama2(messages, writer);
  for (const ChatMessage& message : messages) {
    if (style_ == ChatStyle::chatml)
      write_chatml(message, writer);
    else if (style_ == ChatStyle::llama3)
      write_llama3(message, writer);
    else
      write_plain(message, writer);
  }
}

void ChatTemplate::open_answer(Writer& writer) const {
  if (style_ == ChatStyle::plain) return writer.text("Assistant:");
  if (style_ == ChatStyle::chatml) {
    writer.special(begin_);
    return writer.text("assistant\n");
  }
  if (style_ != ChatStyle::llama3) return;
  writer.special(header_begin_);
  writer.text("assistant");
  writer.special(header_end_);
  writer.text("\n\n");
}

void ChatTemplate::write_plain(const ChatMessage& message, Writer& writer) const {
  const bool is_pair = style_ == ChatStyle::pair;
  if (message.role == Role::assistant) {
    open_answer(writer);
    writer.answer(is_pair ? message.content : " " + message.content, message.is_learned);
    return writer.special(end_, message.is_learned);
  }
  if (is_pair) return writer.text(message.content);
  writer.text(message.role == Role::system ? "System: " : "User: ");
  writer.text(message.content);
  writer.text("\n\n");
}

void ChatTemplate::write_chatml(const ChatMessage& message, Writer& writer) const {
  const bool is_answer = message.role == Role::assistant;
  if (is_answer) {
    open_answer(writer);
    writer.answer(message.content, message.is_learned);
  } else {
    writer.special(begin_);
    writer.text(fmt::format("{}\n{}", name_of(message.role), message.content));
  }
  writer.special(end_, is_answer && message.is_learned);
  writer.text("\n");
}

void ChatTemplate::write_llama3(const ChatMessage& message, Writer& writer) const {
  const bool is_answer = message.role == Role::assistant;
  if (is_answer) {
    open_answer(writer);
    writer.answer(stripped(message.content), message.is_learned);
  } else {
    writer.special(header_begin_);
    writer.text(name_of(message.role));
    writer.special(header_end_);
    writer.text("\n\n" + stripped(message.content));
  }
  writer.special(end_, is_answer && message.is_learned);
}

void ChatTemplate::write_llama2(std::span<const ChatMessage> messages, Writer& writer) const {
  std::string system;
  for (const ChatMessage& message : messages) {
    if (message.role == Role::system) {
      system = fmt::format("<<SYS>>\n{}\n<</SYS>>\n\n", message.content);
    } else if (message.role == Role::user) {
      writer.special(begin_);
      writer.text(
          fmt::format("[INST] {} [/INST]", stripped(std::exchange(system, "") + message.content)));
    } else {
      writer.answer(" " + stripped(message.content) + " ", message.is_learned);
      writer.special(end_, message.is_learned);
    }
  }
}

}  // namespace tutti
