// The main of MPI test programs: every rank runs every test; the program fails where any rank does.
#include "tests/support/mpi_main.h"

#include <gtest/gtest.h>

namespace tutti::testing {
namespace {
Comm* the_world = nullptr;
}
Comm& world() { return *the_world; }
}  // namespace tutti::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  tutti::Comm comm(&argc, &argv);
  tutti::testing::the_world = &comm;
  if (comm.rank() != 0) {
    auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
  }
  const int failed = RUN_ALL_TESTS();
  if (failed && comm.rank() != 0) std::fprintf(stderr, "tests failed on rank %d\n", comm.rank());
  return int(comm.all_reduce_max(std::int64_t(failed)));
}
