#include "runtime/data/id_file.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

TEST(IdFile, holds_an_id_a_line) {
  const testing::ScratchFolder folder("id_file");
  testing::write_text(folder.path() / "ids.txt", "7\r\n\n-8\n9");
  const IdFile integers = IdFile::open(folder.path() / "ids.txt", ExternalIdType::integer);
  EXPECT_EQ(integers.keys(), (std::vector<IdKey>{id_key(7), id_key(-8), id_key(9)}));
  EXPECT_EQ(integers.place_of(1), (folder.path() / "ids.txt").string() + ", line 3");
  const IdFile strings = IdFile::open(folder.path() / "ids.txt", ExternalIdType::text);
  EXPECT_EQ(strings.keys()[0], id_key("7"));
  EXPECT_EQ(strings.text(2), "9");
  EXPECT_EQ(strings.digest(), integers.digest());
  EXPECT_THROW(IdFile::open(folder.path() / "none.txt", ExternalIdType::text), Error);
}

TEST(IdFile, names_the_line_that_holds_none) {
  const auto expect_refused = [](const std::string& bytes, ExternalIdType type) {
    try {
      const IdFile ids(bytes, "ids.txt", type);
      FAIL() << bytes;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_EQ(error.place(), "ids.txt, line 2") << bytes;
    }
  };
  for (const char* bytes : {"1\nx\n", "1\n2 \n", "1\n+2", "1\n9223372036854775808\n", "1\n2.0\n"})
    expect_refused(bytes, ExternalIdType::integer);
  expect_refused("1\n-2\n", ExternalIdType::none);
  EXPECT_EQ(IdFile("", "ids.txt", ExternalIdType::none).count(), 0);
}

}  // namespace
}  // namespace tutti
