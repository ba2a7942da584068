// The graph of an index (kernels/vector/graph_build.h): its file graph.h5, as
// runtime/data/FORMAT.md describes it, and what it takes to have it in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/core/arena.h"
#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/graph_build.h"
#include "kernels/vector/graph_entries.h"
#include "runtime/data/manifest.h"
#include "runtime/io/file_record.h"

namespace tutti {

struct IndexFolder;

// The graph of the first segment's entries.
struct IndexGraph {
  std::int64_t entries = 0;
  GraphShape shape;
};

// What the manifest of an index of so many lists says of its graph; nothing where it has none.
// Throws Error(data) where that is not true. Local.
std::optional<IndexGraph> graph_of(const Manifest& manifest, std::int64_t nlist);
// What a manifest's metadata are to say of it.
nlohmann::json to_json(const GraphShape& shape);

// Row-major [entries, degree], and where walks begin.
struct GraphParts {
  AlignedBuffer<std::int32_t> edges;
  ListEntries starts;
};

// Writes graph.h5, durably: a row of edges an entry. Local; throws Error(io).
FileRecord write_graph(const std::filesystem::path& folder, ConstMatrixView<std::int32_t> edges,
                       const ListEntries& starts);

// Reads it, verified. Local; throws Error(data) where it is damaged, or leads to what is no entry.
// The index must have a graph.
GraphParts read_graph(const IndexFolder& index);

// The rows of the graph's entries that each list has: list l's are [result[l], result[l + 1]);
// those of deleted entries, too. Local; throws Error(data) where the table of lists does not fit
// them.
std::vector<std::int64_t> list_begins(const IndexFolder& index);

// Memory of a rank that holds all entries of a first segment, to build a graph of them or to search
// by it: an upper bound for any codes.
std::int64_t bytes_to_build(std::int64_t entries, std::int64_t dim, DType storage,
                            std::int64_t degree);
std::int64_t bytes_to_search(std::int64_t entries, std::int64_t dim, DType storage,
                             std::int64_t degree);
// Throws Error(usage) where memory_limit is less than these `bytes`, of which `usable` are left of
// it. `what` is what they are for, `fix` what helps besides.
void check_graph_memory(std::int64_t bytes, std::int64_t usable, const std::string& what,
                        const std::string& fix);

}  // namespace tutti
