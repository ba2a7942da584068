// The two ends of writing an artefact: making room, and the moment from which it exists.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/comm/comm.h"
#include "runtime/data/manifest.h"

namespace tutti {

// A finished shard: what ShardWriter::finish returns.
struct ShardRecord {
  std::int64_t index = 0;
  std::vector<std::int64_t> rows;  // one a table
  FileRecord file;
};

// What one rank has written of an artefact.
struct ArtefactParts {
  std::vector<ShardRecord> shards;
  std::vector<FileRecord>
      files;  // beside the shards, such as the tokenizer; record_plain_file describes one
};

// What an artefact is to be.
struct ArtefactPlan {
  std::string kind;
  std::vector<TableSchema> tables;
  nlohmann::json metadata = nlohmann::json::object();  // an object
};

// Makes the folder, and makes room in it: removes the old manifest first, durably, so that nothing
// half-written ever passes for whole; then old shards and what a crash left, but for the files
// named in `keep` (the root's). Other files stay. Collective; throws Error(io) on all ranks.
void begin_artefact(Comm& comm, const std::filesystem::path& folder,
                    const std::vector<std::string>& keep = {});

// Ends the writing of an artefact whose files are all in place and durable: gathers what the ranks
// wrote, writes dataset.h5 over the shards where there are tables, then the manifest. When it
// returns, the artefact exists. The plan is the root's; every shard 0..n-1 must have been written
// by exactly one rank. Collective; returns the manifest on all ranks. Throws Error on all ranks,
// and no manifest is left then.
Manifest commit_artefact(Comm& comm, const std::filesystem::path& folder, const ArtefactPlan& plan,
                         const ArtefactParts& mine);

// What is to become of an artefact that exists.
struct ArtefactChange {
  nlohmann::json metadata;  // the new ones
  std::string whole_file;   // a new name for dataset.h5, where shards are added
};

// Ends a change of an artefact: new shards, numbered behind the old ones, and new files, all under
// new names, in place and durable, become part of it at one moment, in which the manifest is
// replaced. Until then, and where it fails, the artefact is what it was. Then removes what the
// manifest no longer names. The change is the root's. Collective; returns the new manifest on all
// ranks. Throws Error on all ranks.
Manifest commit_change(Comm& comm, const std::filesystem::path& folder, const Manifest& old,
                       const ArtefactChange& change, const ArtefactParts& mine);

// Removes what changes that did not end have left beside an artefact's files: those whose names an
// index's files have, and that the manifest does not name. Collective; throws Error(io) on all
// ranks.
void remove_unnamed_files(Comm& comm, const std::filesystem::path& folder,
                          const Manifest& manifest);

// Gives an artefact that exists a manifest that tells more of the same files: at any moment the old
// or the new one is there. Collective; throws Error(io) on all ranks.
void replace_manifest(Comm& comm, const std::filesystem::path& folder, const Manifest& manifest);

}  // namespace tutti
