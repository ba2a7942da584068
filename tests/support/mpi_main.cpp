// The main of MPI test programs: every rank runs every test; the program fails where any rank does.
#include "tests/support/mpi_main.h"

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

namespace tutti::testing {
namespace {
Comm* the_world = nullptr;
}
Comm& world() { return *the_world; }
}  // namespace tutti::testing

namespace {

// With TUTTI_TEST_RANKS_PER_NODE, every so many ranks pass for a node of their own.
void take_node_name() {
  const char* per_node = std::getenv("TUTTI_TEST_RANKS_PER_NODE");
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (!per_node || !rank) return;
  setenv("TUTTI_NODE", ("node" + std::to_string(std::atoi(rank) / std::atoi(per_node))).c_str(), 1);
}

}  // namespace

int main(int argc, char** argv) {
  take_node_name();
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
