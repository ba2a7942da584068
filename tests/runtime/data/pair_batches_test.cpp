#include "runtime/data/pair_batches.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "kernels/core/random.h"
#include "runtime/base/error.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

std::vector<VectorPair> merged(const std::vector<std::filesystem::path>& paths,
                               std::int64_t memory) {
  std::vector<VectorPair> all;
  merge_pair_batches(paths, memory, [&](const VectorPair& pair) { all.push_back(pair); });
  return all;
}

TEST(PairBatches, EachPairOnceInOrder) {
  const testing::ScratchFolder folder("pair_batches_test");
  const std::vector<std::filesystem::path> paths = {folder.path() / "a", folder.path() / "b",
                                                    folder.path() / "c"};
  write_pair_batch(paths[0], std::vector<VectorPair>{{1, 2, 0.5f}, {1, 9, 3}, {4, 5, 1}});
  write_pair_batch(paths[1], {});
  write_pair_batch(paths[2], std::vector<VectorPair>{{0, 7, 2}, {1, 9, 3}, {4, 6, 0}});
  EXPECT_EQ(merged(paths, 1000),
            (std::vector<VectorPair>{{0, 7, 2}, {1, 2, 0.5f}, {1, 9, 3}, {4, 5, 1}, {4, 6, 0}}));
  EXPECT_TRUE(merged({}, 1000).empty());
}

TEST(PairBatches, ManyFilesInLittleMemory) {
  const testing::ScratchFolder folder("pair_batches_test");
  std::vector<std::filesystem::path> paths;
  std::vector<VectorPair> all;
  for (std::uint64_t file = 0; file < 20; ++file) {
    std::vector<VectorPair> pairs;
    for (std::uint64_t i = 0; i < 50 * file; ++i) {
      const auto a = std::int64_t(random_u64(file, 0, i) % 100);
      const auto b = a + 1 + std::int64_t(random_u64(file, 1, i) % 100);
      pairs.push_back({a, b, float(a * b)});
    }
    std::ranges::sort(pairs, pair_before);
    all.insert(all.end(), pairs.begin(), pairs.end());
    paths.push_back(folder.path() / std::to_string(file));
    write_pair_batch(paths.back(), pairs);
  }
  std::ranges::sort(all, pair_before);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  for (const std::int64_t memory : {1, 1 << 20}) EXPECT_EQ(merged(paths, memory), all);
}

TEST(PairBatches, ADamagedFileIsNamedAndRemoved) {
  const testing::ScratchFolder folder("pair_batches_test");
  const auto path = folder.path() / "damaged";
  for (const char* damage : {"flipped", "cut", "short"}) {
    write_pair_batch(path, std::vector<VectorPair>{{1, 2, 0.5f}, {1, 9, 3}});
    std::string bytes = testing::read_text(path);
    if (damage == std::string("flipped")) bytes[9] ^= 4;
    if (damage == std::string("cut")) bytes.resize(bytes.size() - sizeof(VectorPair));
    if (damage == std::string("short")) bytes.resize(2);
    testing::write_text(path, bytes);
    try {
      merged({path}, 1000);
      ADD_FAILURE() << damage;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::io);
      EXPECT_NE(std::string(e.what()).find("damaged"), std::string::npos) << e.what();
    }
    EXPECT_FALSE(std::filesystem::exists(path));
  }
}

}  // namespace
}  // namespace tutti
