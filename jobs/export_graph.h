// An index's graph as a file of the library hnswlib (runtime/data/hnswlib_file.h).
#pragma once

#include <filesystem>

#include "jobs/index_folder.h"

namespace tutti {

// Writes all vectors of the graph with their edges; deleted ones are marked as such, labels are
// ids. Local. Throws Error(data) where the index has no graph or vectors were added since.
void export_graph(const IndexFolder& index, const std::filesystem::path& path);

}  // namespace tutti
