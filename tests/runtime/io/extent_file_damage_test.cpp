// What extent files make of damaged bytes, full disks and failing calls.
#include <csignal>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "runtime/io/extent_file.h"
#include "runtime/io/file.h"
#include "tests/support/fault_io.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::ScratchFolder;

const std::vector<ColumnSpec> kColumns = {{"/t/wide", DType::f32, {2 * kBlockBytes / 4 + 100}, {}},
                                          {"/t/few", DType::i64, {5}, {}}};

FileRecord write_example(const std::filesystem::path& path) {
  ExtentWriter writer(path, kColumns);
  std::vector<float> wide(std::size_t(kColumns[0].shape[0]), 1.5f);
  const std::int64_t few[] = {1, 2, 3, 4, 5};
  writer.append(0, std::as_bytes(std::span(wide)));
  writer.append(1, std::as_bytes(std::span(few)));
  return writer.finish();
}

void flip(File& file, std::int64_t at) {
  std::byte byte;
  file.read_at(std::span(&byte, 1), at);
  byte ^= std::byte(0x10);
  file.write_at(std::span(&byte, 1), at);
}

TEST(ExtentFileDamage, a_flip_in_any_block_is_found_and_named) {
  const ScratchFolder scratch("damage");
  const auto path = scratch.path() / "a.h5";
  const FileRecord record = write_example(path);
  File file(path, FileMode::update);
  for (std::size_t c = 0; c < record.extents.size(); ++c) {
    const ExtentRecord& extent = record.extents[c];
    for (std::int64_t block = 0; block < std::int64_t(extent.crc32c.size()); ++block) {
      const std::int64_t begin = block * kBlockBytes;
      const std::int64_t size = std::min(kBlockBytes, extent.bytes - begin);
      for (const std::int64_t at : {begin, begin + size / 2, begin + size - 1}) {
        flip(file, extent.offset + at);
        const ExtentReader reader(path, record);
        const auto damage = reader.find_damage(10);
        ASSERT_EQ(damage.size(), 1u);
        EXPECT_EQ(damage[0].code(), ExitCode::data);
        EXPECT_EQ(damage[0].place(), path.string());
        const std::string where =
            "dataset " + extent.dataset + ", block " + std::to_string(block) + " ";
        EXPECT_NE(damage[0].problem().find(where), std::string::npos) << damage[0].problem();
        std::vector<std::byte> element(size_of(extent.dtype));
        EXPECT_THROW(reader.read(c, begin / std::int64_t(element.size()), 1, element), Error);
        EXPECT_THROW(reader.verify_all(), Error);
        flip(file, extent.offset + at);
      }
    }
  }
  ExtentReader(path, record).verify_all();
}

TEST(ExtentFileDamage, a_flip_in_any_header_byte_is_found) {
  const ScratchFolder scratch("damage");
  const auto path = scratch.path() / "a.h5";
  ExtentWriter writer(path, {{"/x", DType::u8, {10}, {}}});
  writer.append(0, std::vector<std::byte>(10));
  const FileRecord record = writer.finish();
  File file(path, FileMode::update);
  for (const auto& span : header_spans(record)) {
    for (std::int64_t at = span.offset; at < span.offset + span.bytes; ++at) {
      flip(file, at);
      const auto damage = ExtentReader(path, record).find_damage(10);
      ASSERT_EQ(damage.size(), 1u) << at;
      EXPECT_NE(damage[0].problem().find("the header"), std::string::npos);
      flip(file, at);
    }
  }
}

TEST(ExtentFileDamage, a_file_cut_anywhere_is_found) {
  const ScratchFolder scratch("damage");
  const auto path = scratch.path() / "a.h5";
  const FileRecord record = write_example(path);
  for (std::int64_t size = record.bytes / 4096 * 4096; size >= 0; size -= 4096) {
    std::filesystem::resize_file(path, std::uintmax_t(size));
    EXPECT_THROW(ExtentReader(path, record), Error) << size;
  }
  std::filesystem::remove(path);
  EXPECT_THROW(ExtentReader(path, record), Error);
}

TEST(ExtentFileDamage, a_file_cut_after_it_was_opened_is_found) {
  const ScratchFolder scratch("damage");
  const auto path = scratch.path() / "a.h5";
  const ExtentReader reader(path, write_example(path));
  std::filesystem::resize_file(path, 8192);
  std::vector<float> data(1000);
  EXPECT_THROW(reader.read(0, 100000, std::span(data)), Error);
}

TEST(ExtentFileDamage, a_size_limit_is_an_io_error_and_leaves_nothing) {
  const ScratchFolder scratch("damage");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{}, small{};
  getrlimit(RLIMIT_FSIZE, &before);
  small = {1 << 20, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  int code = 0;
  try {
    write_example(scratch.path() / "a.h5");
  } catch (const Error& error) {
    code = int(error.code());
  }
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(code, int(ExitCode::io));
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(ExtentFileDamage, whatever_call_fails_nothing_is_left) {
  const ScratchFolder scratch("damage");
  for (const char* fault : {"ENOSPC", "EIO"}) {
    for (int n = 1;; ++n) {
      tutti_fault_set(("any:" + std::to_string(n) + ":" + fault).c_str());
      int code = 0;
      try {
        write_example(scratch.path() / "a.h5");
      } catch (const Error& error) {
        code = int(error.code());
      }
      const bool fired = tutti_fault_fired();
      tutti_fault_set(nullptr);
      if (!fired) break;
      EXPECT_EQ(code, int(ExitCode::io)) << fault << n;
      EXPECT_TRUE(std::filesystem::is_empty(scratch.path())) << fault << n;
      ASSERT_LT(n, 100);
    }
    std::filesystem::remove(scratch.path() / "a.h5");
  }
}

TEST(ExtentFileDamage, short_writes_are_carried_on) {
  const ScratchFolder scratch("damage");
  const auto path = scratch.path() / "a.h5";
  for (int n = 1;; ++n) {
    tutti_fault_set(("pwrite:" + std::to_string(n) + ":SHORT").c_str());
    const FileRecord record = write_example(path);
    const bool fired = tutti_fault_fired();
    tutti_fault_set(nullptr);
    ExtentReader(path, record).verify_all();
    if (!fired) break;
  }
}

}  // namespace
}  // namespace tutti
