// The index artefact: its tables, its centroids and the space of its vectors' codes, as
// runtime/data/FORMAT.md describes them, and opening one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include <nlohmann/json.hpp>

#include "jobs/index_graph.h"
#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/code_space.h"
#include "kernels/vector/distance.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"
#include "runtime/data/schema.h"
#include "runtime/data/segments.h"
#include "runtime/io/file_record.h"

namespace tutti {

// The tables of an index, `lists` and `entries`, in this order. `metadata`: the columns that
// entries have besides their vectors and ids.
std::vector<TableSchema> index_tables(DType storage, std::int64_t dim,
                                      std::span<const ColumnSchema> metadata);

// Writes centroids.h5, durably. Local; throws Error(io).
FileRecord write_centroids(const std::filesystem::path& folder, ConstMatrixView<float> centroids);

// Writes code_space.h5, durably. Local; throws Error(io).
FileRecord write_code_space(const std::filesystem::path& folder, const CodeAxes& axes);

// An index that can be searched.
struct IndexFolder {
  Dataset dataset;
  Metric metric = Metric::l2;
  DType storage = DType::f32;
  std::int64_t dim = 0, vectors = 0, nlist = 0;  // vectors: those that are not deleted
  std::vector<Segment> segments;                 // each has all lists, and some of their entries
  std::optional<IndexGraph> graph;               // of the first segment

  // Entries that are deleted: jobs/deleted_entries.h tells which.
  std::int64_t deleted() const { return dataset.rows("entries") - vectors; }
  // Consecutive shards for one of so many parts, as even in entries as whole shards allow.
  Range shards_of(std::int64_t parts, std::int64_t part) const;
  // Rows of the table `entries` that consecutive shards hold.
  Range entries_of(Range shards) const;
  // Rows of the table `entries`; deleted ones count, too. -1 where there are none. Local; throws
  // Error(data).
  std::int64_t largest_id(Range entries) const;
  const nlohmann::json& metadata() const { return dataset.manifest().metadata; }
  // Row-major [nlist, dim], verified. Local; throws Error(data).
  std::vector<float> read_centroids() const;
  // The space that its vectors' codes are to be made in, verified; nothing where the index is older
  // than such spaces, or had no vector to make one of. Local; throws Error(data).
  std::optional<CodeSpace> read_code_space() const;
};

// Throws Error(usage) where a folder in which an index is to be written holds one that was changed
// since it was: what was added to it would be lost. Local.
void refuse_changed_index(const std::filesystem::path& folder);

// Reads and checks the manifest. Local; throws Error(usage) where there is no such folder,
// Error(data) where it holds no whole index.
IndexFolder open_index(const std::filesystem::path& folder);
// The same, and on all ranks the same version of an index that is changed meanwhile. Collective;
// throws Error on all ranks.
IndexFolder open_index(Comm& comm, const std::filesystem::path& folder);

}  // namespace tutti
