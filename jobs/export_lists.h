// An index's lists as a file of the library faiss (runtime/data/faiss_file.h).
#pragma once

#include <cstdint>
#include <filesystem>

#include "jobs/index_folder.h"

namespace tutti {

// Throws Error(usage) where an index cannot have codes of product quantisation of so many parts.
// Local.
void check_code_parts(const IndexFolder& index, std::int64_t code_parts);

// Writes all lists, their vectors whole (`code_parts` 0) or as codes of product quantisation of so
// many bytes, whose codewords are trained on some of the vectors: the same bytes every time. Local.
// Throws Error(data) where the index is damaged, Error(io).
void export_lists(const IndexFolder& index, std::int64_t code_parts,
                  const std::filesystem::path& path);

}  // namespace tutti
