#include "runtime/io/file.h"

#include <gtest/gtest.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "tests/support/fault_io.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::ScratchFolder;
using testing::write_text;

template <class Body>
Error error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return Error(ExitCode::done, "");
}

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(File, reads_back_what_it_wrote) {
  const ScratchFolder scratch("file");
  File file(scratch.path() / "a", FileMode::create);
  file.write_at(bytes("world"), 6);
  file.write_at(bytes("hello "), 0);
  EXPECT_EQ(file.size(), 11);
  std::string back(5, ' ');
  file.read_at(std::as_writable_bytes(std::span(back)), 6);
  EXPECT_EQ(back, "world");
  EXPECT_EQ(read_file(scratch.path() / "a"), "hello world");
}

TEST(File, reading_past_the_end_is_bad_data_and_names_the_file) {
  const ScratchFolder scratch("file");
  write_text(scratch.path() / "a", "12345");
  const File file(scratch.path() / "a", FileMode::read);
  std::string back(4, ' ');
  const Error error = error_of([&] { file.read_at(std::as_writable_bytes(std::span(back)), 3); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_EQ(error.place(), (scratch.path() / "a").string());
}

TEST(File, a_missing_file_is_bad_data) {
  const ScratchFolder scratch("file");
  EXPECT_EQ(error_of([&] { read_file(scratch.path() / "none"); }).code(), ExitCode::data);
  EXPECT_EQ(error_of([&] { File(scratch.path() / "none", FileMode::update); }).code(),
            ExitCode::data);
}

TEST(File, what_cannot_be_created_is_an_io_error) {
  const ScratchFolder scratch("file");
  write_text(scratch.path() / "a", "");
  EXPECT_EQ(error_of([&] { File(scratch.path() / "none" / "b", FileMode::create); }).code(),
            ExitCode::io);
  EXPECT_EQ(error_of([&] { create_folders(scratch.path() / "a" / "b"); }).code(), ExitCode::io);
}

TEST(File, preallocation_makes_it_that_long) {
  const ScratchFolder scratch("file");
  File file(scratch.path() / "a", FileMode::create);
  file.preallocate(0);
  EXPECT_EQ(file.size(), 0);
  file.preallocate(100000);
  EXPECT_EQ(file.size(), 100000);
}

TEST(File, short_and_interrupted_writes_are_carried_on) {
  const ScratchFolder scratch("file");
  const std::string text(100001, 'x');
  for (const char* fault : {"pwrite:1:SHORT", "pwrite:1:EINTR", "posix_fallocate:1:EINTR"}) {
    File file(scratch.path() / "a", FileMode::create);
    tutti_fault_set(fault);
    file.preallocate(std::int64_t(text.size()));
    file.write_at(bytes(text), 0);
    EXPECT_TRUE(tutti_fault_fired()) << fault;
    tutti_fault_set(nullptr);
    EXPECT_EQ(read_file(scratch.path() / "a"), text) << fault;
  }
}

TEST(File, a_full_disk_is_said_so) {
  const ScratchFolder scratch("file");
  File file(scratch.path() / "a", FileMode::create);
  tutti_fault_set("posix_fallocate:1:ENOSPC");
  const Error error = error_of([&] { file.preallocate(10); });
  tutti_fault_set(nullptr);
  EXPECT_EQ(error.code(), ExitCode::io);
  EXPECT_NE(error.problem().find("disk full"), std::string::npos);
  EXPECT_EQ(error.place(), (scratch.path() / "a").string());
  EXPECT_FALSE(error.remedy().empty());
}

TEST(File, a_failed_sync_is_final) {
  const ScratchFolder scratch("file");
  File file(scratch.path() / "a", FileMode::create);
  tutti_fault_set("fsync:1:EIO");
  EXPECT_EQ(error_of([&] { file.sync(); }).code(), ExitCode::io);
  tutti_fault_set(nullptr);
  EXPECT_THROW(file.sync(), Bug);
}

TEST(AtomicReplace, leaves_the_old_or_the_new_whatever_fails) {
  const ScratchFolder scratch("file");
  const auto path = scratch.path() / "a";
  for (const char* operation : {"pwrite", "fsync", "rename"}) {
    for (int n = 1;; ++n) {
      write_text(path, "old");
      tutti_fault_set((std::string(operation) + ":" + std::to_string(n) + ":EIO").c_str());
      bool failed = false;
      try {
        atomic_replace(path, "new and longer");
      } catch (const Error& error) {
        failed = true;
        EXPECT_EQ(error.code(), ExitCode::io);
      }
      const bool fired = tutti_fault_fired();
      tutti_fault_set(nullptr);
      EXPECT_EQ(failed, fired) << operation << n;
      // The second sync is the folder's: the new file is in place then, and only not yet durable.
      const bool renamed = !fired || (std::string(operation) == "fsync" && n == 2);
      EXPECT_EQ(read_text(path), renamed ? "new and longer" : "old") << operation << n;
      EXPECT_FALSE(std::filesystem::exists(temporary_of(path)));
      if (!fired) break;
    }
  }
}

TEST(RemoveFile, does_not_mind_nothing) {
  const ScratchFolder scratch("file");
  write_text(scratch.path() / "a", "x");
  remove_file(scratch.path() / "a");
  EXPECT_FALSE(std::filesystem::exists(scratch.path() / "a"));
  remove_file(scratch.path() / "a");
  EXPECT_EQ(error_of([&] { remove_file(scratch.path()); }).code(), ExitCode::io);
}

}  // namespace
}  // namespace tutti
