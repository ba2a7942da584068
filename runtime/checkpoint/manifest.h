// What a generation's manifest says: the arrays that it holds, and which file has which part of
// them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/core/dtype.h"
#include "runtime/comm/partition.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/file_record.h"

namespace tutti {

// What it says it is.
inline constexpr const char* kCheckpointKind = "checkpoint";
inline constexpr std::int64_t kCheckpointVersion = 1;

struct CheckpointArray {
  std::string name;
  DType dtype = DType::f32;
  std::int64_t size = 0;  // elements
  bool operator==(const CheckpointArray&) const = default;
};

struct CheckpointSlice {
  std::string array;
  Range range;     // elements of the whole array
  int extent = 0;  // index into the file's extents
};

// What one rank wrote.
struct CheckpointPart {
  FileRecord file;
  std::vector<CheckpointSlice> slices;
};

nlohmann::json to_json(const CheckpointPart& part);
// The datasets of the part's file, as its writer lays them out.
std::vector<ColumnSpec> columns_of(const CheckpointPart& part);
// Throws Error(data) naming `place`.
CheckpointPart checkpoint_part_from_json(const nlohmann::json& json,
                                         std::span<const CheckpointArray> arrays,
                                         const std::string& place);

struct CheckpointManifest {
  std::int64_t generation = 0;
  std::vector<CheckpointArray> arrays;
  std::vector<CheckpointPart> parts;
  nlohmann::json state;  // an object
};

// The dataset that an array's slices stand in.
std::string checkpoint_dataset(const std::string& array);

// Throws Error(data) naming `place` where the JSON is no consistent manifest: slices that are of no
// array, do not cover each array once, or have no dataset of their type and size in their file.
// Throws Error(usage) where a newer version wrote it.
CheckpointManifest checkpoint_manifest_from_json(const nlohmann::json& json,
                                                 const std::string& place);
// The same, of a manifest that stands in the folder of `generation`. Throws Error(data) where it is
// of another one.
CheckpointManifest checkpoint_manifest_from_json(const nlohmann::json& json,
                                                 std::int64_t generation, const std::string& place);

}  // namespace tutti
