#include "runtime/data/text_source.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::ScratchFolder;
using testing::write_text;

std::vector<std::string> ids_of(const TextSource& source, std::int64_t parts,
                                std::int64_t* skipped = nullptr) {
  std::vector<std::string> ids;
  for (std::int64_t part = 0; part < parts; ++part) {
    TextSource::Reader reader = source.read(parts, part);
    for (Record document; reader.next(document);) ids.push_back(document.id);
    if (skipped) *skipped += reader.skipped().count;
  }
  return ids;
}

TEST(TextSource, EveryRecordIsInOnePart) {
  const ScratchFolder scratch("source_parts");
  std::vector<std::string> expected;
  for (int file = 0; file < 3; ++file) {
    std::string text;
    for (int i = 0; i < 20; ++i) {
      expected.push_back(std::to_string(file) + "/" + std::to_string(i));
      text += "{\"id\": \"" + expected.back() + "\", \"text\": \"" +
              std::string(std::size_t(i * 13 % 50), 'x') + "\"}\n";
    }
    write_text(scratch.path() / (std::to_string(file) + ".jsonl"), text);
  }
  const TextSource source(find_input({scratch.path().string()}, "auto"), {});
  for (const std::int64_t parts : {1, 2, 3, 8, 64, 1000, 10000})
    EXPECT_EQ(ids_of(source, parts), expected) << parts;
}

TEST(TextSource, FilesAreDocuments) {
  const ScratchFolder scratch("source_files");
  std::filesystem::create_directories(scratch.path() / "sub");
  write_text(scratch.path() / "sub" / "one.txt",
             "\xEF\xBB\xBF"
             "first\n");
  write_text(scratch.path() / "two.md", "second");
  const TextSource source(find_input({scratch.path().string()}, "auto"), {});
  for (const std::int64_t parts : {1, 2, 5, 40})
    EXPECT_EQ(ids_of(source, parts), (std::vector<std::string>{"sub/one.txt", "two.md"}));
  TextSource::Reader reader = source.read(1, 0);
  Record document;
  ASSERT_TRUE(reader.next(document));
  EXPECT_EQ(document.text, "first\n");
  EXPECT_EQ(document.title, "one");
  EXPECT_EQ(document.query, "");
  ASSERT_TRUE(reader.next(document));
  EXPECT_FALSE(reader.next(document));
  EXPECT_EQ(reader.bytes(), source.input().bytes());
}

TEST(TextSource, ABadLineIsNamed) {
  const ScratchFolder scratch("source_bad");
  const std::filesystem::path path = scratch.path() / "a.jsonl";
  write_text(path,
             "{\"id\": \"a\", \"text\": \"1\"}\n\n{\"id\": \"b\", \"text\": 2}\nnonsense\n{\"id\": "
             "\"c\", \"text\": \"3\"}\n");
  const InputFiles input = find_input({path.string()}, "auto");
  try {
    ids_of(TextSource(input, {}), 1);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_EQ(e.place(), path.string() + ":3");
    EXPECT_EQ(e.problem(), "the field \"text\" is a number; expected a string");
  }
  TextOptions options;
  options.skip_bad = true;
  const TextSource source(input, options);
  for (const std::int64_t parts : {1, 2, 9}) {
    std::int64_t skipped = 0;
    EXPECT_EQ(ids_of(source, parts, &skipped), (std::vector<std::string>{"a", "c"}));
    EXPECT_EQ(skipped, 2);
  }
  TextSource::Reader reader = source.read(1, 0);
  for (Record document; reader.next(document);) {
  }
  ASSERT_EQ(reader.skipped().first.size(), 2u);
  EXPECT_TRUE(reader.skipped().first[1].starts_with(path.string() + ":4: malformed JSON"));
}

TEST(TextSource, BadTextFiles) {
  const ScratchFolder scratch("source_bad_files");
  write_text(scratch.path() / "a.txt", "fine");
  write_text(scratch.path() / "b.txt", "fine until \xFF here");
  write_text(scratch.path() / "c.txt", std::string(100, 'c'));
  TextOptions options;
  options.longest_record = 99;
  options.skip_bad = true;
  const InputFiles input = find_input({scratch.path().string()}, "auto");
  std::int64_t skipped = 0;
  EXPECT_EQ(ids_of(TextSource(input, options), 3, &skipped), std::vector<std::string>{"a.txt"});
  EXPECT_EQ(skipped, 2);
  try {
    ids_of(TextSource(input, {}), 1);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.problem(), "invalid UTF-8 at byte 11");
  }
}

TEST(TextSource, WithoutIdsByteAndFileName) {
  const ScratchFolder scratch("source_ids");
  write_text(scratch.path() / "a.jsonl", "{\"text\": \"1\"}\n{\"text\": \"2\"}\n");
  TextOptions options;
  options.fields.id = "";
  const TextSource source(find_input({(scratch.path() / "a.jsonl").string()}, "auto"), options);
  EXPECT_EQ(ids_of(source, 1), (std::vector<std::string>{"a.jsonl@0", "a.jsonl@14"}));
}

}  // namespace
}  // namespace tutti
