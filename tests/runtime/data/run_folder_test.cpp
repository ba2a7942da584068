#include "runtime/data/run_folder.h"

#include <gtest/gtest.h>

#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::world;

TEST(RunFolder, ASecondJobIsRefusedOnAllRanksAndToldWhoHoldsIt) {
  testing::ScratchFolder scratch("run_folder");
  const std::filesystem::path folder =
      world().broadcast_string((scratch.path() / "a" / "b").string());
  {
    RunFolder run(world(), folder);
    try {
      RunFolder second(world(), folder);
      FAIL() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::usage);
      EXPECT_TRUE(e.agreed());
      EXPECT_NE(e.problem().find("process"), std::string::npos) << e.problem();
    }
  }
  RunFolder again(world(), folder);
  if (world().is_root()) {
    again.local_write("note.txt", "whole");
    EXPECT_EQ(testing::read_text(folder / "note.txt"), "whole");
  }
  world().barrier();
}

}  // namespace
}  // namespace tutti
