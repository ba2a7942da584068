#include "runtime/comm/comm.h"

#include <gtest/gtest.h>

#include "tests/support/mpi_main.h"

namespace tutti {
namespace {

using testing::world;

TEST(Comm, ReductionsOfRanks) {
  const std::int64_t n = world().size(), r = world().rank();
  EXPECT_EQ(world().all_reduce_sum(r + 1), n * (n + 1) / 2);
  EXPECT_EQ(world().all_reduce_min(r), 0);
  EXPECT_EQ(world().all_reduce_max(r), n - 1);
  EXPECT_EQ(world().all_reduce_max(0.5 * double(r)), 0.5 * double(n - 1));
  std::vector<std::int64_t> many = {r, 1, -r};
  world().all_reduce_sum(std::span(many));
  EXPECT_EQ(many, (std::vector<std::int64_t>{n * (n - 1) / 2, n, -n * (n - 1) / 2}));
}

TEST(Comm, BroadcastFromEveryRoot) {
  for (int root = 0; root < world().size(); ++root) {
    std::vector<double> values(1000, world().rank());
    world().broadcast(std::span(values), root);
    EXPECT_EQ(values, std::vector<double>(1000, root));
    EXPECT_EQ(world().broadcast_string("from " + std::to_string(world().rank()), root),
              "from " + std::to_string(root));
  }
}

TEST(Comm, AllGatherOfUnevenParts) {
  const std::vector<int> mine(std::size_t(world().rank()), world().rank());
  std::vector<int> expected;
  for (int r = 0; r < world().size(); ++r) expected.insert(expected.end(), std::size_t(r), r);
  EXPECT_EQ(world().all_gather(std::span<const int>(mine)), expected);
  const auto texts = world().all_gather_strings(std::string(std::size_t(world().rank()), 'x'));
  for (int r = 0; r < world().size(); ++r) EXPECT_EQ(texts[std::size_t(r)].size(), std::size_t(r));
}

TEST(Comm, AllToAllHandsEachRankItsList) {
  ByteLists out;
  for (int r = 0; r < world().size(); ++r)
    out.emplace_back(std::size_t(world().rank() * 10 + r), std::byte(world().rank()));
  const ByteLists in = world().all_to_all(out);
  for (int r = 0; r < world().size(); ++r)
    EXPECT_EQ(in[std::size_t(r)],
              std::vector<std::byte>(std::size_t(r * 10 + world().rank()), std::byte(r)));
}

TEST(Comm, OneRanksErrorBecomesEveryonesAgreedError) {
  const int culprit = world().size() - 1;
  try {
    world().attempt([&] {
      if (world().rank() == culprit) throw Error(ExitCode::data, "broken", "file:7", "mend it");
    });
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_TRUE(e.agreed());
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_EQ(e.place(), "file:7");
    EXPECT_EQ(e.remedy(), "mend it");
  }
  world().attempt([] {});
}

}  // namespace
}  // namespace tutti
