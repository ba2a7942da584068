// Tells where a run's time went.
#pragma once

#include <filesystem>

#include "runtime/base/error.h"
#include "runtime/comm/comm.h"

namespace tutti {

// Prints, on the root's standard output, how the wall time of the run in `folder` is made up over
// all its starts: seconds and share of each use, starts and their ends, mean time between failures,
// goodput; as one JSON object where `json`. Also of a run that goes on. Collective; the root
// reads. Returns `done`; throws on all ranks Error(usage) where there is no such folder,
// Error(data) where it holds no events of a run.
ExitCode print_goodput(Comm& comm, const std::filesystem::path& folder, bool json);

}  // namespace tutti
