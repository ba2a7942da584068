// Every file operation of a checkpoint fails once, in every way: the generation before it is
// intact, and what was said to be saved is.
#include <gtest/gtest.h>

#include "tests/fault/checkpoint_case.h"
#include "tests/support/fault_io.h"

namespace tutti {
namespace {

using testing::CheckpointCase;
using testing::world;

struct Fault {
  const char* operation;
  const char* error;
};

class CheckpointFault : public ::testing::TestWithParam<Fault> {};

// Saves step 2 while the Nth operation fails on the last rank; whether it did, in `fired`.
bool save_with_fault(const CheckpointCase& saved, Checkpointer& checkpoints, std::int64_t number,
                     bool* fired) {
  const Fault& fault = CheckpointFault::GetParam();
  const std::string what = std::string(fault.operation) + ":" + std::to_string(number) + ":" +
                           fault.error + ":" + saved.folder().string();
  const bool here = world().rank() == (number % 2 ? world().size() - 1 : 0);
  tutti_fault_set(here ? what.c_str() : nullptr);
  bool ok = true;
  try {
    saved.save(checkpoints, 2);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::io) << e.what();
    EXPECT_TRUE(e.agreed());
    ok = false;
  }
  *fired = world().all_reduce_max(std::int64_t(here && tutti_fault_fired())) != 0;
  tutti_fault_set(nullptr);
  return ok;
}

// Saves step 1, then step 2 while the Nth operation fails, for every N that is reached. `goes_on`
// has the same run, `starts` the next one, and what became of step 2.
template <class GoesOn, class Starts>
void fail_each_call(const CheckpointCase& saved, GoesOn goes_on, Starts starts) {
  int quiet = 0;  // numbers in a row that no rank reached
  for (std::int64_t number = 1; quiet < 2; ++number) {
    if (world().is_root()) std::filesystem::remove_all(saved.folder());
    world().barrier();
    bool fired = false, ok = false;
    {
      Checkpointer checkpoints(world(), saved.folder(), {});
      saved.save(checkpoints, 1);
      ok = save_with_fault(saved, checkpoints, number, &fired);
      goes_on(checkpoints, ok);
    }
    SCOPED_TRACE(number);
    starts(saved.restored_step(saved.folder()), ok);
    quiet = fired ? 0 : quiet + 1;
  }
}

TEST_P(CheckpointFault, LosesNothing) {
  const CheckpointCase saved(30000);
  fail_each_call(
      saved,
      [&](Checkpointer& checkpoints, bool ok) {
        if (ok) return;
        EXPECT_FALSE(checkpoints.pending());
        saved.save(checkpoints, 3);  // with the next one
      },
      [](std::int64_t step, bool ok) { EXPECT_EQ(step, ok ? 2 : 3); });
}

TEST_P(CheckpointFault, AStartAfterItFindsTheOneBeforeOrTheNewOne) {
  fail_each_call(
      CheckpointCase(30000), [](Checkpointer&, bool) {},
      // A failure behind the rename, of the folder's sync say, leaves the new one.
      [](std::int64_t step, bool ok) { EXPECT_TRUE(step == 2 || (!ok && step == 1)) << step; });
}

INSTANTIATE_TEST_SUITE_P(
    Operations, CheckpointFault,
    ::testing::Values(Fault{"pwrite", "ENOSPC"}, Fault{"pwrite", "EIO"}, Fault{"pwrite", "SHORT"},
                      Fault{"pwrite", "EINTR"}, Fault{"write", "EIO"}, Fault{"fsync", "EIO"},
                      Fault{"fsync", "ENOSPC"}, Fault{"rename", "EIO"}, Fault{"rename", "ENOSPC"},
                      Fault{"mkdir", "ENOSPC"}, Fault{"mkdir", "EROFS"},
                      Fault{"posix_fallocate", "ENOSPC"}, Fault{"posix_fallocate", "EDQUOT"}),
    [](const auto& fault) { return std::string(fault.param.operation) + "_" + fault.param.error; });

// A periodic checkpoint that fails is no reason to stop, until too many fail.
TEST(CheckpointFailure, ARunGoesOnFromTheOneBeforeAndStopsAfterThree) {
  const CheckpointCase saved(3000);
  Checkpointer checkpoints(world(), saved.folder(), {.every_seconds = 0, .give_up_after = 3});
  saved.save(checkpoints, 1);
  std::int64_t failed = 0;
  checkpoints.on_failure([&](std::int64_t, const Error&) { ++failed; });
  std::vector<float> large(3000, 1.f);
  const Range mine = part_of(3000, world().size(), world().rank());
  const auto take = [&] {
    return Snapshot{
        {slice_of("large", 3000, mine,
                  std::span(large).subspan(std::size_t(mine.begin), std::size_t(mine.size())))},
        {{"step", 9}},
        {{"seed", 7}}};
  };
  const auto step = [&](bool fails) {
    tutti_fault_set(fails ? ("posix_fallocate:1:ENOSPC:" + saved.folder().string()).c_str()
                          : nullptr);
    checkpoints.boundary({}, take);
    tutti_fault_set(nullptr);
  };
  step(true);
  step(true);
  EXPECT_EQ(failed, 2);
  step(false);
  checkpoints.commit();
  step(true);
  step(true);
  EXPECT_EQ(failed, 4);
  EXPECT_THROW(step(true), Error);
}

}  // namespace
}  // namespace tutti
