// dataset.h5: all shards of an artefact as one HDF5 file, for h5py and its like.
#pragma once

#include <filesystem>
#include <string>

#include "runtime/data/manifest.h"
#include "runtime/data/paths.h"
#include "runtime/io/file_record.h"

namespace tutti {

// Writes it into the artefact's folder under `name`, and describes it. Every column is a virtual
// dataset over the shards, under the same name; the offsets of ragged columns, which are counted
// anew in each shard, stand in the file itself, counted over all. Reads the offsets of all shards
// (verified). Local. Throws Error.
FileRecord write_whole_file(const std::filesystem::path& folder, const Manifest& manifest,
                            const std::string& name = kWholeFile);

}  // namespace tutti
