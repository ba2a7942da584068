// Vectors, neighbours and indexes in the formats of other tools.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "runtime/base/config.h"

namespace tutti {

struct VectorExport {
  std::string from;  // folder of vectors, neighbours or an index
  std::string format = "auto", queries, neighbors;
  std::int64_t code_parts = 0;

  void describe(Schema& schema);
};

// Writes what `from` holds into `folder`, piece by piece, each file whole or not at all, and
// returns the figures for the result; `dry_run` checks only. Local. Throws Error(usage) where the
// artefact's kind has no such format, Error(data) where it is damaged or holds what the format
// cannot, Error(io).
nlohmann::json export_vectors(const VectorExport& wanted, const std::filesystem::path& folder,
                              bool dry_run);

}  // namespace tutti
