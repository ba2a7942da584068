// Tells what an artefact is and whether it is whole.
#pragma once

#include <filesystem>

#include "runtime/base/error.h"
#include "runtime/comm/comm.h"

namespace tutti {

// Prints, on the root's standard output, what the artefact at `path` (its folder) is: kind, tables,
// columns, rows, shards, sizes, metadata, digest; as one JSON object where `json`. Verifies every
// checksum, the ranks sharing the files. Collective. Returns `done`; throws on all ranks
// Error(data) that names the first places that do not verify, Error(usage) where there is no such
// folder.
ExitCode inspect_artefact(Comm& comm, const std::filesystem::path& path, bool json);

}  // namespace tutti
