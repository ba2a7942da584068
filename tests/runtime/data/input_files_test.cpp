#include "runtime/data/input_files.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::ScratchFolder;
using testing::write_text;
namespace fs = std::filesystem;

std::vector<std::string> names_of(const InputFiles& input) {
  std::vector<std::string> names;
  for (const InputFile& file : input.files) names.push_back(file.name);
  return names;
}

ExitCode code_of(const std::vector<std::string>& paths, const std::string& format) {
  try {
    find_input(paths, format);
  } catch (const Error& e) {
    return e.code();
  }
  return ExitCode::done;
}

TEST(InputFiles, FolderInOrderOfName) {
  const ScratchFolder scratch("input_folder");
  const fs::path& folder = scratch.path();
  fs::create_directories(folder / "b" / ".git");
  write_text(folder / "c.txt", "c");
  write_text(folder / "b" / "z.md", "zz");
  write_text(folder / "a", "aaa");
  write_text(folder / ".hidden", "h");
  write_text(folder / "b" / ".git" / "config", "g");
  const InputFiles input = find_input({folder.string()}, "auto");
  EXPECT_EQ(input.kind, InputKind::text);
  EXPECT_EQ(names_of(input), (std::vector<std::string>{"a", "b/z.md", "c.txt"}));
  EXPECT_EQ(input.bytes(), 6);
  EXPECT_EQ(input_files_from_json(to_json(input)).files, input.files);
}

TEST(InputFiles, PathsKeepTheirOrderAndGlobsAreSorted) {
  const ScratchFolder scratch("input_globs");
  for (const char* name : {"2.jsonl", "10.jsonl", "1.jsonl", "zero.ndjson"})
    write_text(scratch.path() / name, "{}");
  const std::string folder = scratch.path().string();
  const InputFiles input = find_input({folder + "/zero.ndjson", folder + "/[0-9]*.jsonl"}, "auto");
  EXPECT_EQ(input.kind, InputKind::jsonl);
  EXPECT_EQ(names_of(input),
            (std::vector<std::string>{"zero.ndjson", "1.jsonl", "10.jsonl", "2.jsonl"}));
}

TEST(InputFiles, FormatPicksFilesOutOfAFolder) {
  const ScratchFolder scratch("input_pick");
  for (const char* name : {"a.jsonl", "readme.md", "v.fvecs", "w.fbin", "x.H5"})
    write_text(scratch.path() / name, "1");
  const std::string folder = scratch.path().string();
  EXPECT_EQ(code_of({folder}, "auto"), ExitCode::usage) << "mixed";
  EXPECT_EQ(names_of(find_input({folder}, "jsonl")), std::vector<std::string>{"a.jsonl"});
  EXPECT_EQ(names_of(find_input({folder}, "vectors")),
            (std::vector<std::string>{"v.fvecs", "w.fbin", "x.H5"}));
  EXPECT_EQ(names_of(find_input({folder}, "vectors:hdf5")), std::vector<std::string>{"x.H5"});
  EXPECT_EQ(find_input({folder}, "vectors:fvecs").vector_format, "fvecs");
  EXPECT_EQ(find_input({folder}, "text").files.size(), 5u);
}

TEST(InputFiles, SaysWhatIsWrong) {
  const ScratchFolder scratch("input_wrong");
  const std::string folder = scratch.path().string();
  EXPECT_EQ(code_of({folder + "/none"}, "auto"), ExitCode::usage);
  EXPECT_EQ(code_of({folder}, "auto"), ExitCode::data) << "nothing in it";
  write_text(scratch.path() / "a.txt", "text");
  EXPECT_EQ(code_of({folder}, "jsonl"), ExitCode::data) << "nothing of this format in it";
  EXPECT_EQ(code_of({folder, folder + "/a.txt"}, "auto"), ExitCode::usage) << "twice";
  write_text(scratch.path() / "empty.txt", "");
  EXPECT_EQ(code_of({folder}, "auto"), ExitCode::data);
}

}  // namespace
}  // namespace tutti
