// What FORMAT.md says of a checkpoint: its example, byte for byte, and a reader in Python that
// knows nothing else. Run by two ranks.
#include <cstdlib>
#include <numeric>

#include <gtest/gtest.h>

#include "runtime/checkpoint/checkpoint.h"
#include "tests/support/command.h"
#include "tests/support/mpi_main.h"
#include "tests/support/shared_folder.h"

namespace tutti {
namespace {

using testing::SharedFolder;
using testing::world;

// Writes `values`, of which each rank has its part, as generation 0 of `folder`.
void save(const std::filesystem::path& folder, std::vector<float> values) {
  const auto size = std::int64_t(values.size());
  const Range mine = part_of(size, world().size(), world().rank());
  Checkpointer checkpoints(world(), folder, {});
  checkpoints.save(
      {{slice_of("numbers", size, mine,
                 std::span(values).subspan(std::size_t(mine.begin), std::size_t(mine.size())))},
       {{"step", 3}},
       {{"seed", 1}}});
}

// One-dimensional, of f32.
void write_npy(const std::filesystem::path& file, const std::vector<float>& values) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                       std::to_string(values.size()) + ",), }";
  header.resize(128 - 10 - 1, ' ');
  header += '\n';
  std::string bytes = std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header;
  bytes.append(reinterpret_cast<const char*>(values.data()), 4 * values.size());
  testing::write_text(file, bytes);
}

// The lines of the block that begins with `first`, without their indentation by four blanks.
std::string block_of(const std::string& text, const std::string& first) {
  std::string block;
  for (std::size_t at = text.find("    " + first); at != std::string::npos && at < text.size();) {
    const std::size_t end = text.find('\n', at);
    if (text.compare(at, 4, "    ") != 0) break;
    block += text.substr(at + 4, end + 1 - at - 4);
    at = end + 1;
  }
  return block;
}

std::string python() {
  const char* python = std::getenv("TUTTI_PYTHON");
  return python ? python : "python3";
}

testing::CommandResult read_in_python(const std::string& arguments) {
  return testing::run_command(python() + " " TUTTI_SOURCE_DIR "/tests/peers/read_checkpoint.py " +
                              arguments);
}

TEST(CheckpointFormat, TheExampleInTheDocumentIsWhatIsWritten) {
  SharedFolder shared("format_example");
  save(shared.path(), {0.5f, 1.5f, 2.5f, 3.5f, 4.5f});
  if (!world().is_root()) return;
  const std::string written =
                        testing::read_text(shared.path() / "generation-00000000" / "manifest.json"),
                    document = testing::read_text(TUTTI_SOURCE_DIR "/runtime/checkpoint/FORMAT.md");
  EXPECT_EQ(block_of(document, "{\"crc32c\":"), written);
}

TEST(CheckpointFormat, TheProgramInTheDocumentReadsTheExample) {
  SharedFolder shared("format_program");
  save(shared.path(), {0.5f, 1.5f, 2.5f, 3.5f, 4.5f});
  if (!world().is_root()) return;
  const std::string document = testing::read_text(TUTTI_SOURCE_DIR "/runtime/checkpoint/FORMAT.md");
  const std::size_t begin = document.find("```python\n") + 10;
  testing::write_text(shared.path() / "program.py",
                      document.substr(begin, document.find("```", begin) - begin));
  const auto done = testing::run_command("cd " + (shared.path() / "generation-00000000").string() +
                                         " && " + python() + " ../program.py");
  if (done.exit_code == 127 || done.output.find("No module named") != std::string::npos)
    GTEST_SKIP() << done.output;
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_EQ(done.output, "[0.5 1.5 2.5 3.5 4.5]\n");
}

TEST(CheckpointFormat, PythonReadsWhatTwoRanksWrote) {
  SharedFolder shared("format_python");
  std::vector<float> values(300007);
  std::iota(values.begin(), values.end(), 0.25f);
  save(shared.path(), values);
  if (!world().is_root()) return;
  const auto generation = shared.path() / "generation-00000000";
  const auto npy = shared.path() / "numbers.npy";
  write_npy(npy, values);
  const std::string arguments = generation.string() + " numbers " + npy.string();
  const auto same = read_in_python(arguments);
  if (same.exit_code == 77 || same.exit_code == 127) GTEST_SKIP() << same.output;
  EXPECT_EQ(same.exit_code, 0) << same.output;

  values[299999] += 1;
  write_npy(npy, values);
  EXPECT_EQ(read_in_python(arguments).exit_code, 1) << "another array";
  for (const char* name : {"manifest.json", "part-00000.h5", "part-00001.h5"}) {
    const std::string whole = testing::read_text(generation / name);
    std::string damaged = whole;
    damaged[damaged.size() / 2] ^= 1;
    testing::write_text(generation / name, damaged);
    const auto refused = read_in_python(arguments);
    EXPECT_EQ(refused.exit_code, 65) << name << ": " << refused.output;
    testing::write_text(generation / name, whole);
  }
}

}  // namespace
}  // namespace tutti
