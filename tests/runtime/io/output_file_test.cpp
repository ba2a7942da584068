#include "runtime/io/output_file.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/fault_io.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class OutputFileTest : public ::testing::Test {
 protected:
  void TearDown() override { tutti_fault_set(nullptr); }

  testing::ScratchFolder scratch_{"output_file"};
  const std::filesystem::path path_ = scratch_.path() / "x.bin";
};

TEST_F(OutputFileTest, IsThereWhenItIsWhole) {
  testing::write_text(path_, "old");
  {
    OutputFile file(path_, 10);
    file.append(bytes("01234"));
    EXPECT_EQ(testing::read_text(path_), "old");
    file.append(bytes("56789"));
    file.finish();
  }
  EXPECT_EQ(testing::read_text(path_), "0123456789");
  EXPECT_FALSE(std::filesystem::exists(temporary_of(path_)));
}

TEST_F(OutputFileTest, AnUnfinishedOneLeavesNothing) {
  testing::write_text(path_, "old");
  {
    OutputFile file(path_, 10);
    file.append(bytes("01234"));
  }
  EXPECT_EQ(testing::read_text(path_), "old");
  EXPECT_FALSE(std::filesystem::exists(temporary_of(path_)));
}

TEST_F(OutputFileTest, AFullDiskLeavesNothing) {
  for (const char* fault : {"posix_fallocate:1:ENOSPC:x.bin", "pwrite:1:ENOSPC:x.bin",
                            "fsync:1:EIO:x.bin", "rename:1:ENOSPC:x.bin"}) {
    tutti_fault_set(fault);
    try {
      OutputFile file(path_, 5);
      file.append(bytes("01234"));
      file.finish();
      ADD_FAILURE() << fault;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::io) << fault;
    }
    EXPECT_TRUE(tutti_fault_fired()) << fault;
    EXPECT_FALSE(std::filesystem::exists(path_)) << fault;
    EXPECT_FALSE(std::filesystem::exists(temporary_of(path_))) << fault;
  }
}

}  // namespace
}  // namespace tutti
