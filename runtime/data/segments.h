// The parts of an artefact that were written at different times.
#pragma once

#include <string>
#include <vector>

#include "runtime/comm/partition.h"
#include "runtime/data/manifest.h"

namespace tutti {

struct Segment {
  Range shards;
  std::string columns_file = {};  // what its metadata are; "" where it has none
};

// In order of shard: what the manifest's metadata say, or one of all shards. Throws Error(data)
// where they do not fit the shards. Local.
std::vector<Segment> segments_of(const Manifest& manifest);

}  // namespace tutti
