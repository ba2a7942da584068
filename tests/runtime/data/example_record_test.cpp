#include "runtime/data/example_record.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

using Format = ExampleOptions::Format;
using Role = ChatMessage::Role;

ExampleOptions options(Format format) {
  ExampleOptions o;
  o.format = format;
  o.style = format == Format::completion ? ChatStyle::pair : ChatStyle::chatml;
  return o;
}

// What is wrong with a line; "" where it is taken.
std::string problem(Format format, std::string_view line, Record* result = nullptr) {
  Record record;
  const auto wrong = parse_example(line, "id", options(format), record);
  if (result) *result = record;
  return wrong.value_or("");
}

void expect_problem(Format format, std::string_view line, const std::string& part) {
  const std::string wrong = problem(format, line);
  EXPECT_NE(wrong.find(part), std::string::npos) << line << " gave: " << wrong;
}

TEST(ExampleRecord, Pairs) {
  Record record;
  EXPECT_EQ(problem(Format::completion, R"({"prompt": "a", "completion": " b", "id": 7})", &record),
            "");
  EXPECT_EQ(record.id, "7");
  EXPECT_EQ(record.text, "a b");
  EXPECT_EQ(record.messages,
            (std::vector<ChatMessage>{{Role::user, "a", true}, {Role::assistant, " b", true}}));
  EXPECT_EQ(problem(Format::completion, R"({"prompt": "", "completion": "b"})", &record), "");
  EXPECT_EQ(record.id, "");
}

TEST(ExampleRecord, FieldsOfOtherNames) {
  ExampleOptions o = options(Format::completion);
  o.prompt = "instruction";
  o.completion = "output";
  Record record;
  EXPECT_FALSE(parse_example(R"({"instruction": "a", "output": "b", "key": "x", "id": []})", "key",
                             o, record));
  EXPECT_EQ(record.id, "x");
  EXPECT_EQ(record.text, "ab");
}

TEST(ExampleRecord, Conversations) {
  Record record;
  EXPECT_EQ(problem(Format::messages,
                    R"({"id": "x", "messages": [{"role": "system", "content": "s"},
                        {"role": "user", "content": "", "name": "someone"},
                        {"role": "assistant", "content": "w", "weight": 0, "tool_calls": null},
                        {"role": "assistant", "content": "a", "weight": 1}]})",
                    &record),
            "");
  EXPECT_EQ(record.id, "x");
  EXPECT_EQ(record.messages, (std::vector<ChatMessage>{{Role::system, "s", true},
                                                       {Role::user, "", true},
                                                       {Role::assistant, "w", false},
                                                       {Role::assistant, "a", true}}));
}

TEST(ExampleRecord, WrongPairs) {
  const auto expect = [](std::string_view line, const std::string& part) {
    expect_problem(Format::completion, line, part);
  };
  expect("", "malformed JSON");
  expect("[]", "expected a JSON object");
  expect("3", "expected a JSON object");
  expect(R"({"prompt": "a", "completion": "b")", "malformed JSON at byte");
  expect(R"({"prompt": "a", "completion": "b", "n": 1e999})", "a number is too large");
  expect("{\"prompt\": \"\xff\", \"completion\": \"b\"}", "UTF-8");
  expect(R"({"completion": "b"})", "no field \"prompt\"");
  expect(R"({"prompt": "a"})", "no field \"completion\"");
  expect(R"({"prompt": 1, "completion": "b"})", "\"prompt\" is no text");
  expect(R"({"prompt": "a", "completion": null})", "\"completion\" is no text");
  expect(R"({"prompt": [{"role": "user", "content": "a"}], "completion": "b"})", "is no text");
  expect(R"({"prompt": "a", "completion": ""})", "the completion is empty");
  expect(R"({"prompt": "a", "completion": "b", "id": 1.5})", "neither text nor integer");
}

TEST(ExampleRecord, WrongConversations) {
  const auto expect = [](std::string_view messages, const std::string& part) {
    expect_problem(Format::messages, R"({"messages": )" + std::string(messages) + "}", part);
  };
  expect_problem(Format::messages, R"({"message": []})", "no field \"messages\"");
  expect("\"hello\"", "no list");
  expect("[]", "there are no messages");
  expect(R"(["hello"])", "message 1: it is no object");
  expect(R"([{"content": "a"}])", "\"role\" is no text");
  expect(R"([{"role": 1, "content": "a"}])", "\"role\" is no text");
  expect(R"([{"role": "user", "content": "a"}, {"role": "tool", "content": "a"}])",
         "message 2: the role is none of");
  expect(R"([{"role": "user"}])", "\"content\" is no text");
  expect(R"([{"role": "user", "content": [{"type": "text", "text": "a"}]}])", "is no text");
  expect(R"([{"role": "assistant", "content": "", "tool_calls": [1]}])", "\"tool_calls\" is not");
  expect(R"([{"role": "assistant", "content": "a", "weight": 0.5}])", "neither 0 nor 1");
  expect(R"([{"role": "user", "content": "a"}])", "no message of the assistant");
  expect(R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}])",
         "message 2: the assistant's content is empty");
}

}  // namespace
}  // namespace tutti
