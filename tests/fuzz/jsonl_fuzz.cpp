// Lines of a file by ranges of bytes, and the records and examples on them. The first byte says
// where the ranges meet, the second how long a line may be.
#include <tuple>

#include "runtime/data/example_record.h"
#include "runtime/data/jsonl.h"
#include "runtime/data/utf8.h"
#include "tests/fuzz/support.h"

namespace tutti {
namespace {

using Lines = std::vector<std::tuple<std::string, std::int64_t, bool>>;

void read_lines(const std::vector<InputFile>& files, Range bytes, std::int64_t longest,
                Lines& lines) {
  LineReader reader(files, bytes, longest);
  for (Line line; reader.next(line);) {
    CHECK(std::int64_t(line.text.size()) <= longest && (!line.too_long || line.text.empty()));
    lines.emplace_back(line.text, line.offset, line.too_long);
  }
}

void parse(const std::string& line) {
  for (const RecordFields& fields : {RecordFields{}, RecordFields{"a", "", "b", "c"}}) {
    Record record;
    if (const auto problem = parse_record(line, fields, record)) {
      CHECK(!problem->empty() && utf8_prefix(*problem) == problem->size(), *problem);
      continue;
    }
    CHECK(!record.id.empty());
    for (const std::string& field : {record.id, record.title, record.query, record.text})
      CHECK(utf8_prefix(field) == field.size());
  }
}

// What is taken for an example can be learned from.
void parse_examples(const std::string& line) {
  using Format = ExampleOptions::Format;
  for (const auto& [format, style] : {std::pair(Format::completion, ChatStyle::pair),
                                      std::pair(Format::messages, ChatStyle::chatml),
                                      std::pair(Format::messages, ChatStyle::llama2)}) {
    ExampleOptions options;
    options.format = format;
    options.style = style;
    Record record;
    if (const auto problem = parse_example(line, "id", options, record)) {
      CHECK(!problem->empty() && utf8_prefix(*problem) == problem->size(), *problem);
      continue;
    }
    CHECK(!problem_to_learn(style, record.messages) && utf8_prefix(record.id) == record.id.size());
    for (const ChatMessage& message : record.messages)
      CHECK(utf8_prefix(message.content) == message.content.size());
  }
}

}  // namespace
}  // namespace tutti

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  std::string_view bytes = fuzz::text_of(data, size);
  const std::int64_t cut = fuzz::take_byte(bytes), longest = fuzz::take_byte(bytes) * 8;
  const fuzz::MemoryFile file(bytes);
  InputFile listed;
  listed.path = file.path();
  listed.bytes = std::int64_t(bytes.size());
  const std::vector<InputFile> files = {listed, listed};
  const std::int64_t all = 2 * listed.bytes, middle = std::min(all, cut * 4);
  Lines whole, parts;
  read_lines(files, {0, all}, longest, whole);
  read_lines(files, {0, middle}, longest, parts);
  read_lines(files, {middle, all}, longest, parts);
  CHECK(whole == parts);
  for (const auto& [text, offset, too_long] : whole) {
    parse(text);
    parse_examples(text);
  }
  return 0;
}
