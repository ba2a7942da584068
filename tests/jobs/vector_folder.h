// Vectors to index, written as the embed and shard jobs write them.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/core/dtype.h"
#include "kernels/core/random.h"
#include "runtime/comm/partition.h"
#include "runtime/data/manifest.h"
#include "runtime/data/paths.h"
#include "runtime/data/shard_writer.h"
#include "runtime/io/sealed_json.h"
#include "tests/support/scratch_folder.h"

namespace tutti::testing {

// `count` vectors around 25 centres, a function of the arguments alone.
inline std::vector<float> clustered_vectors(std::int64_t count, std::int64_t dim,
                                            std::uint64_t seed) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count * dim; ++i) {
    const std::uint64_t centre = random_u64(seed, 1, std::uint64_t(i / dim)) % 25;
    values.push_back(
        float(3 * random_normal(7, 2, centre * std::uint64_t(dim) + std::uint64_t(i % dim)) +
              random_normal(seed, 3, std::uint64_t(i))));
  }
  return values;
}

// An artefact of kind "vectors" of `shards` shards; ids are 10 times the row.
template <class T>
void write_vectors(const std::filesystem::path& folder, std::span<const T> values, std::int64_t dim,
                   const nlohmann::json& metadata = nlohmann::json::object(),
                   std::int64_t shards = 3) {
  std::filesystem::create_directories(folder);
  const std::int64_t count = std::int64_t(values.size()) / dim;
  const TableSchema table{
      "vectors",
      {ColumnSchema::vector("vector", dtype_of<T>, dim), ColumnSchema::scalar("id", DType::i64)}};
  Manifest manifest;
  manifest.kind = kVectorsKind;
  manifest.metadata = metadata;
  manifest.tables = {{table, {}}};
  for (std::int64_t shard = 0; shard < shards; ++shard) {
    const Range rows = part_of(count, shards, shard);
    ShardWriter writer(folder, shard, {table}, {rows.size()});
    std::vector<std::int64_t> ids;
    for (std::int64_t row = rows.begin; row < rows.end; ++row) ids.push_back(10 * row);
    writer.append(writer.column("vectors", "vector"),
                  values.subspan(std::size_t(rows.begin * dim), std::size_t(rows.size() * dim)));
    writer.append<std::int64_t>(writer.column("vectors", "id"), ids);
    const ShardRecord record = writer.finish();
    manifest.tables[0].shard_rows.push_back(rows.size());
    manifest.files.push_back(record.file);
  }
  manifest.digest = artefact_digest(manifest.files);
  write_sealed_json(folder / kManifestFile, to_json(manifest));
}

// Rows of floats as an fvecs file.
inline void write_fvecs(const std::filesystem::path& file, std::span<const float> values,
                        std::int64_t dim) {
  std::string bytes;
  const auto add = [&](const void* from, std::size_t size) {
    bytes.append(static_cast<const char*>(from), size);
  };
  for (std::size_t at = 0; at < values.size(); at += std::size_t(dim)) {
    const std::int32_t length = std::int32_t(dim);
    add(&length, sizeof(length));
    add(&values[at], std::size_t(dim) * sizeof(float));
  }
  write_text(file, bytes);
}

}  // namespace tutti::testing
