#include "runtime/data/spool.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::ScratchFolder;

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string drained(Spool& spool) {
  std::string text;
  spool.drain([&](std::span<const std::byte> piece) {
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  });
  return text;
}

TEST(Spool, gives_back_what_it_got_whatever_its_memory) {
  const ScratchFolder scratch("spool");
  for (const std::int64_t memory : {0, 1, 7, 64, 10000}) {
    Spool spool(scratch.path() / "s", memory);
    std::string all;
    for (int i = 0; i < 100; ++i) {
      const std::string piece(std::size_t(i % 23), char('a' + i % 26));
      spool.append(bytes(piece));
      all += piece;
      EXPECT_EQ(spool.bytes(), std::int64_t(all.size()));
    }
    EXPECT_EQ(std::filesystem::exists(scratch.path() / "s"), memory < 1000);
    EXPECT_EQ(drained(spool), all) << memory;
  }
}

TEST(Spool, removes_its_file) {
  const ScratchFolder scratch("spool");
  {
    Spool spool(scratch.path() / "s", 4);
    spool.append(bytes("longer than that"));
    EXPECT_TRUE(std::filesystem::exists(scratch.path() / "s"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(Spool, notices_a_disk_that_forgets) {
  const ScratchFolder scratch("spool");
  Spool spool(scratch.path() / "s", 4);
  spool.append(bytes("0123456789"));
  testing::write_text(scratch.path() / "s", "01234x67");
  EXPECT_THROW(drained(spool), Error);
}

}  // namespace
}  // namespace tutti
