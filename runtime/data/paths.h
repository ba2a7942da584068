// Every file name that an artefact or a run folder has.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/comm/partition.h"

namespace tutti {

// Artefacts.
inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kWholeFile = "dataset.h5";  // virtual datasets over all shards
inline constexpr const char* kTokenizerFile = "tokenizer.model";
inline constexpr const char* kColumnsFile = "columns.json";  // what metadata vectors have
inline constexpr const char* kModelFile = "model.h5";
inline constexpr const char* kCentroidsFile = "centroids.h5";
inline constexpr const char* kCodeSpaceFile = "code_space.h5";  // of an index's vectors
inline constexpr const char* kGraphFile = "graph.h5";           // of an index's vectors
inline constexpr const char* kNeighborsFile = "neighbors.h5";
inline constexpr const char* kRangesFile = "ranges.h5";
inline constexpr const char* kExternalIdsFile = "external_ids.jsonl";  // of neighbours
inline constexpr const char* kDuplicatesFile = "duplicates.h5";
inline constexpr const char* kDropFile = "drop.txt";  // ids that duplicates make superfluous
inline constexpr const char* kCompletionsFile = "completions.jsonl";

// A run's records.
inline constexpr const char* kConfigFile = "config.toml";
inline constexpr const char* kEventsFile = "events.jsonl";
inline constexpr const char* kLogFile = "log.txt";
inline constexpr const char* kResultFile = "result.json";
inline constexpr const char* kCurveFile = "curve.csv";  // what search.evaluate measured
inline constexpr const char* kCurvePictureFile = "curve.svg";
inline constexpr const char* kLockFile = "run.lock";    // the root's
inline constexpr const char* kRanksFile = "run.ranks";  // the other ranks'
inline constexpr const char* kCheckpointFolder = "checkpoints";
// Put there by a person who wants a checkpoint now; the job takes it away.
inline constexpr const char* kCheckpointNowFile = "checkpoint.now";

// Numbers of shards that five digits can tell apart, so that file names sort as their numbers do.
inline constexpr std::int64_t kMaxShards = 100000;

// "shard-00012.h5"; CHECKs 0 <= index < kMaxShards.
std::string shard_file(std::int64_t index);
// Whether `name` is what shard_file makes.
bool is_shard_file(std::string_view name);
// What a change puts beside the files of an index: "deleted-00012.h5" names entries that are gone,
// "columns-00012.json" tells the metadata of new ones, "dataset-00012.h5" stands in for dataset.h5.
std::string deleted_file(std::int64_t number);
bool is_deleted_file(std::string_view name);
std::string changed_columns_file(std::int64_t number);
std::string changed_whole_file(std::int64_t number);
// Whether `name` is one of dataset.h5 or its stand-ins.
bool is_whole_file(std::string_view name);
// Whether `name` is what one of these makes.
bool is_change_file(std::string_view name);
// "shard-00012.json": that a shard is finished, until the manifest says so.
std::string shard_record_file(std::int64_t index);
bool is_shard_record_file(std::string_view name);
// "shard-00012.h5.3.spool": what one column of a shard is gathered in before the shard can be laid
// out.
std::string spool_file(std::int64_t shard, std::int64_t column);
// "batch-00000012.jsonl": the completions of a batch of prompts, until all of them are one file;
// and what all batches in a folder follow from.
std::string batch_file(std::int64_t index);
bool is_batch_file(std::string_view name);
inline constexpr const char* kBatchKeyFile = "batches.key";
// "pairs-00000012.bin": the pairs of a batch of vectors, likewise.
std::string pair_batch_file(std::int64_t index);
bool is_pair_batch_file(std::string_view name);
// That a run is about to change an index, and how: by it a later start knows whether it did.
inline constexpr const char* kChangeFile = "change.json";
// The folder in which `index` keeps what it has, until the index exists.
inline constexpr const char* kBuildingFolder = "building";
inline constexpr const char* kCentroidsRecordFile = "centroids.json";  // that they are trained
inline constexpr const char* kAssignedFiles = "assigned";  // range_file: the lists of these rows
inline constexpr const char* kGroupFiles = "groups";       // the centroids of these groups
inline constexpr const char* kGraphFiles = "graph";        // the neighbours of these entries
// "assigned-000000004096-000000008192": the results of pieces [begin, end); and the pieces that
// such a name tells.
std::string range_file(std::string_view begin, Range pieces);
std::optional<Range> range_of_file(std::string_view begin, std::string_view name);
// Whether `name` is a file that only a crash leaves: spools and what atomic_replace writes first.
bool is_leftover_file(std::string_view name);

}  // namespace tutti
