// A small dataset that every rank helps to write, and what is in it.
#pragma once

#include <numeric>

#include "runtime/comm/partition.h"
#include "runtime/data/commit.h"
#include "runtime/data/shard_writer.h"
#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/shared_folder.h"

namespace tutti::testing {

// Shards of 0, 7, 14, 21 and 28 passages.
inline constexpr std::int64_t kExampleShards = 5, kExampleRows = 70;

inline std::int64_t example_page(std::int64_t row) { return row * row; }
inline std::vector<std::int32_t> example_tokens(std::int64_t row) {
  std::vector<std::int32_t> tokens(std::size_t(row * 5 % 8));
  std::iota(tokens.begin(), tokens.end(), std::int32_t(row) * 100);
  return tokens;
}

// Collective: the ranks share the shards, or the root writes them all. Throws what the writing
// throws, on all ranks.
inline Manifest write_example_dataset(Comm& comm, const std::filesystem::path& folder,
                                      bool root_alone = false) {
  const ArtefactPlan plan{
      "dataset",
      {{"passages",
        {ColumnSchema::scalar("page", DType::i64), ColumnSchema::ragged("tokens", DType::i32),
         ColumnSchema::vector("pair", DType::f32, 2)}}},
      {{"seed", 3}}};
  begin_artefact(comm, folder);
  ArtefactParts mine;
  comm.attempt([&] {
    const Range shards = root_alone ? (comm.is_root() ? Range{0, kExampleShards} : Range{})
                                    : part_of(kExampleShards, comm.size(), comm.rank());
    for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
      ShardWriter writer(folder, shard, plan.tables, 1 << 20);
      const std::int64_t first = 7 * shard * (shard - 1) / 2;
      for (std::int64_t row = first; row < first + 7 * shard; ++row) {
        const std::int64_t page = example_page(row);
        const auto tokens = example_tokens(row);
        const std::vector<float> pair = {float(row), float(-row)};
        writer.append(0, std::span(&page, 1));
        writer.append_ragged(1, std::span(tokens));
        writer.append(2, std::span(pair));
      }
      mine.shards.push_back(writer.finish());
    }
  });
  return commit_artefact(comm, folder, plan, mine);
}

}  // namespace tutti::testing
