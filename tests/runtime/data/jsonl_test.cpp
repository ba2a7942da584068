#include "runtime/data/jsonl.h"

#include <gtest/gtest.h>

#include "kernels/core/random.h"
#include "runtime/base/error.h"
#include "runtime/data/utf8.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::ScratchFolder;
using testing::write_text;

InputFile describe(const std::filesystem::path& path) {
  return {path.string(), path.filename().string(), std::int64_t(std::filesystem::file_size(path)),
          0};
}

std::vector<std::string> lines_of(const std::vector<InputFile>& files, Range range,
                                  std::int64_t longest = 1 << 20) {
  LineReader reader(files, range, longest);
  std::vector<std::string> lines;
  for (Line line; reader.next(line);)
    lines.push_back(std::to_string(line.file) + ":" + std::to_string(line.offset) + " " +
                    (line.too_long ? "too long" : std::string(line.text)));
  return lines;
}

TEST(LineReader, EveryLineOnceWhereverTheInputIsCut) {
  const ScratchFolder scratch("lines");
  write_text(scratch.path() / "a", "one\n\n  \t\ntwo\r\nthree");  // no newline at the end
  write_text(scratch.path() / "b", "\n");
  write_text(scratch.path() / "c",
             "\xEF\xBB\xBF"
             "four\nfive\n");
  const std::vector<InputFile> files = {describe(scratch.path() / "a"),
                                        describe(scratch.path() / "b"),
                                        describe(scratch.path() / "c")};
  const std::vector<std::string> expected = {"0:0 one", "0:9 two\r", "0:14 three", "2:0 four",
                                             "2:8 five"};
  const std::int64_t bytes = files[0].bytes + files[1].bytes + files[2].bytes;
  EXPECT_EQ(lines_of(files, {0, bytes}), expected);
  for (std::int64_t parts = 1; parts <= bytes + 3; ++parts) {
    std::vector<std::string> all;
    for (std::int64_t part = 0; part < parts; ++part)
      for (auto& line : lines_of(files, part_of(bytes, parts, part))) all.push_back(line);
    EXPECT_EQ(all, expected) << parts;
  }
}

TEST(LineReader, LongLinesAcrossBuffers) {
  const ScratchFolder scratch("long_lines");
  std::string text;
  std::vector<std::string> expected;
  for (int i = 0; i < 40; ++i) {
    const std::string line(std::size_t(i) * 20011, char('a' + i % 26));
    if (!line.empty()) expected.push_back("0:" + std::to_string(text.size()) + " " + line);
    text += line + "\n";
  }
  write_text(scratch.path() / "a", text);
  const std::vector<InputFile> files = {describe(scratch.path() / "a")};
  for (const std::int64_t parts : {1, 2, 7, 100}) {
    std::vector<std::string> all;
    for (std::int64_t part = 0; part < parts; ++part)
      for (auto& line : lines_of(files, part_of(files[0].bytes, parts, part))) all.push_back(line);
    EXPECT_TRUE(all == expected) << parts;
  }
}

TEST(LineReader, TooLongLinesAreToldAndPassedOver) {
  const ScratchFolder scratch("too_long");
  write_text(scratch.path() / "a",
             "short\n" + std::string(5 << 20, 'x') + "\nafter\n" + std::string(11, 'y'));
  const std::vector<InputFile> files = {describe(scratch.path() / "a")};
  EXPECT_EQ(lines_of(files, {0, files[0].bytes}, 10),
            (std::vector<std::string>{"0:0 short", "0:6 too long", "0:5242887 after",
                                      "0:5242893 too long"}));
}

TEST(LineReader, AFileThatChanged) {
  const ScratchFolder scratch("changed");
  write_text(scratch.path() / "a", "one\ntwo\n");
  std::vector<InputFile> files = {describe(scratch.path() / "a")};
  write_text(scratch.path() / "a", "one\n");
  EXPECT_THROW(lines_of(files, {0, 8}), Error);
}

TEST(LinePlace, CountsNewlines) {
  const ScratchFolder scratch("place");
  write_text(scratch.path() / "a", "one\n\nthree\n");
  const InputFile file = describe(scratch.path() / "a");
  EXPECT_EQ(line_place(file, 0), file.path + ":1");
  EXPECT_EQ(line_place(file, 5), file.path + ":3");
}

std::string problem_of(const std::string& json, const RecordFields& fields = {}) {
  Record record;
  return parse_record(json, fields, record).value_or("");
}

TEST(ParseRecord, TakesTheFields) {
  Record r;
  const std::string json =
      R"( {"other": {"id": "inner", "text": [1, {"text": "x"}]}, "id": "a/1", "title": "T\u00fcr",
      "more": [1.5, true, null, "s"], "summary": "why \"so\"", "text": "line\nline \ud83d\ude00"} )";
  ASSERT_EQ(parse_record(json, {}, r), std::nullopt);
  EXPECT_EQ(r.id, "a/1");
  EXPECT_EQ(r.title, "Tür");
  EXPECT_EQ(r.query, "why \"so\"");
  EXPECT_EQ(r.text, "line\nline \U0001F600");
  ASSERT_EQ(parse_record(R"({"id": -17, "text": "", "title": null})", {}, r), std::nullopt);
  EXPECT_EQ(r.id, "-17");
  EXPECT_EQ(r.title + r.query + r.text, "");
  ASSERT_EQ(parse_record(R"({"name": "n", "body": "b", "id": 3})", {"name", "", "", "body"}, r),
            std::nullopt);
  EXPECT_EQ(r.id + r.text, "nb");
}

TEST(ParseRecord, SaysWhatIsWrong) {
  EXPECT_EQ(problem_of(R"({"id": "a"})"), "the record has no field \"text\"");
  EXPECT_EQ(problem_of(R"({"id": "", "text": "t"})"), "the record has no field \"id\"");
  EXPECT_EQ(problem_of(R"({"id": "a", "text": null})"), "the record has no field \"text\"");
  EXPECT_EQ(problem_of(R"({"id": "a", "text": 5})"),
            "the field \"text\" is a number; expected a string");
  EXPECT_EQ(problem_of(R"({"id": 1.5, "text": ""})"),
            "the field \"id\" is a number; expected a string");
  EXPECT_EQ(problem_of(R"({"id": "a", "text": ["t"]})"),
            "the field \"text\" is an array; expected a string");
  EXPECT_EQ(problem_of(R"({"id": "a", "text": {"text": "t"}})"),
            "the field \"text\" is an object; expected a string");
  EXPECT_EQ(problem_of(R"({"id": "a", "title": true, "text": ""})"),
            "the field \"title\" is true or false; expected a string");
  for (const char* json : {"[]", "\"text\"", "5", "null", "true"})
    EXPECT_EQ(problem_of(json), "expected a JSON object") << json;
  for (const char* json :
       {"{", "{\"id\": \"a\" \"text\": \"b\"}", "{\"id\": \"a\", \"text\": \"b\"} x",
        "{\"text\": \"\x01\"}", "{\"text\": \"\\ud800\"}", "{\"text\": \"\xC3(\"}",
        "{\"text\": \"\xED\xA0\x80\"}"})
    EXPECT_TRUE(problem_of(json).starts_with("malformed JSON at byte "))
        << json << ": " << problem_of(json);
}

// Whatever the bytes are, they are taken or refused, and what is taken is UTF-8.
TEST(ParseRecord, AnyBytes) {
  const std::string seed =
      R"({"id": "a", "title": "\u00fc \ud83d\ude00", "n": [1.5e3, {"x": null}], "text": "Grüße \n"})";
  int taken = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    std::string json = seed;
    for (std::uint64_t k = 0; k <= random_u64(1, i, 0) % 3; ++k)
      json[random_u64(2, i, k) % json.size()] = random_u64(3, i, k) % 2
                                                    ? char(random_u64(4, i, k))
                                                    : seed[random_u64(5, i, k) % seed.size()];
    Record r;
    const auto problem = parse_record(json, {}, r);
    if (!problem) {
      ++taken;
      EXPECT_EQ(utf8_prefix(r.id + r.title + r.text), r.id.size() + r.title.size() + r.text.size());
    } else {
      EXPECT_EQ(utf8_prefix(*problem), problem->size());
    }
  }
  EXPECT_GT(taken, 100);
}

TEST(ParseRecord, DeepNestingIsNoDanger) {
  const std::string deep(1 << 20, '[');
  EXPECT_TRUE(problem_of("{\"a\": " + deep).starts_with("malformed JSON"));
}

}  // namespace
}  // namespace tutti
