#include "runtime/data/run_folder.h"

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

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

// Ranks that go on without their root, as where mpirun was killed; played by a lock like theirs.
class Survivor {
 public:
  explicit Survivor(const std::filesystem::path& folder)
      : lock_(open((folder / "run.ranks").c_str(), O_RDWR)) {
    EXPECT_EQ(flock(lock_, LOCK_SH | LOCK_NB), 0);
  }
  ~Survivor() { end(); }
  void end() {
    if (lock_ >= 0) close(std::exchange(lock_, -1));
  }

 private:
  int lock_;
};

TEST(RunFolder, TheNextJobWaitsForRanksOfADeadOne) {
  testing::ScratchFolder scratch("run_folder_ranks");
  const std::filesystem::path folder = world().broadcast_string(scratch.path().string());
  { RunFolder run(world(), folder); }
  world().barrier();
  std::optional<Survivor> survivor;
  if (world().is_root()) survivor.emplace(folder);
  try {
    RunFolder second(world(), folder, 0.2);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    EXPECT_TRUE(e.agreed());
    EXPECT_NE(e.problem().find("of a job that was killed"), std::string::npos) << e.problem();
    EXPECT_EQ(e.problem().find(", process ") != std::string::npos, world().size() > 1)
        << e.problem();
  }
  std::thread ending([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (survivor) survivor->end();
  });
  RunFolder third(world(), folder, 60);
  ending.join();
  world().barrier();
}

}  // namespace
}  // namespace tutti
