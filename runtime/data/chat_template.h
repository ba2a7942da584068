// How conversations become tokens: the templates that language models are fine-tuned with. Those of
// Hugging Face are programs in Jinja, which is not interpreted here: the usual ones are built in.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/chat_message.h"
#include "runtime/data/tokenizer.h"

namespace tutti {

// {x} stands for a message's content, <x> for a special token, END for the end piece.
//
// pair:   a prompt and its completion: FRONT {prompt} {completion} END
// plain:  FRONT "System: {s}\n\n" "User: {u}\n\n" "Assistant:" " {a}" END
// chatml: for each message <|im_start|> "ROLE\n{x}" <|im_end|> "\n"
// llama2: <s> "[INST] <<SYS>>\n{s}\n<</SYS>>\n\n{u} [/INST]" " {a} " </s>; contents are stripped
// llama3: <|begin_of_text|>, for each message <|start_header_id|> "ROLE" <|end_header_id|>
//         "\n\n{x}" <|eot_id|>; contents are stripped
//
// What a style writes as text, llama2's [INST] among it, any content may write as well.
// FRONT is what the tokenizer puts in front of a text, or END where it names nothing.
enum class ChatStyle { pair, plain, chatml, llama2, llama3 };

// The names of the styles for conversations: all but pair.
std::vector<std::string> chat_style_names();
// CHECKs that the name is one of these.
ChatStyle chat_style_of(std::string_view name);

// Why messages cannot be learned from in a style, or nothing: llama2 has user and assistant take
// turns behind at most one message of the system; an answer that is learned has to be there and to
// say something.
std::optional<std::string> problem_to_learn(ChatStyle style, std::span<const ChatMessage> messages);
// Why messages cannot be answered in a style, or nothing: the last one must not be the assistant's.
std::optional<std::string> problem_to_answer(ChatStyle style,
                                             std::span<const ChatMessage> messages);

// Tokens, and which of them a model is to predict: the ranges [predicted[2 i], predicted[2 i + 1]),
// in ascending order, none empty, the first token never among them.
struct EncodedExample {
  std::vector<std::int32_t> tokens, predicted;
};

// A style with the tokens of a tokenizer. What is predicted are the assistant's contents and the
// token that ends each. A special token comes from the template alone: a content that reads like
// one is encoded as characters. Immutable; threads may share one.
//
// Where a part that is predicted begins, its tokens are those that the whole text has there, if the
// text before is encoded alike with and without it, as is usual; else those of the part alone. So
// the tokens before are the ones that a model is later prompted with, and a part begins with its
// space.
class ChatTemplate {
 public:
  // `end`: the piece that ends an answer, of the styles pair and plain. Throws Error(usage) naming
  // the piece where the tokenizer lacks one, or has it as an ordinary piece that text may imitate.
  // The tokenizer must outlive the template.
  ChatTemplate(ChatStyle style, const Tokenizer& tokenizer, const std::string& end);
  // The same with the id of that piece, which may be any.
  ChatTemplate(ChatStyle style, const Tokenizer& tokenizer, std::int32_t end);

  // What ends an answer.
  std::int32_t end() const { return end_; }
  ChatStyle style() const { return style_; }

  // Messages of which problem_to_learn says nothing.
  EncodedExample encode(std::span<const ChatMessage> messages) const;
  // The tokens up to where the answer begins, of messages of which problem_to_answer says nothing.
  std::vector<std::int32_t> encode_prompt(std::span<const ChatMessage> messages) const;

 private:
  class Writer;
  bool has_end_of_its_own() const {
    return style_ != ChatStyle::pair && style_ != ChatStyle::plain;
  }
  void find_specials();
  std::int32_t special(const std::string& piece) const;
  void write(std::span<const ChatMessage> messages, Writer& writer) const;
  void write_plain(const ChatMessage& message, Writer& writer) const;
  void write_chatml(const ChatMessage& message, Writer& writer) const;
  void write_llama2(std::span<const ChatMessage> messages, Writer& writer) const;
  void write_llama3(const ChatMessage& message, Writer& writer) const;
  void open_answer(Writer& writer) const;

  const ChatStyle style_;
  const Tokenizer& tokenizer_;
  std::int32_t begin_ = 0, end_ = 0;                // of a text or a message, and of an answer
  std::int32_t header_begin_ = 0, header_end_ = 0;  // llama3
  std::vector<std::int32_t> front_;                 // pair, plain
};

// What stands in front of a text without a template: the tokenizer's own frame, or the token that
// stands between texts.
std::vector<std::int32_t> text_front(const Tokenizer& tokenizer, std::int32_t separator);

}  // namespace tutti
