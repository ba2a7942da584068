// Nearest neighbours on disk, in the layout of the ann-benchmarks files: /neighbors and /distances,
// [queries, k], a row a query, nearest first; id -1 and distance infinity stand where fewer than k
// were found. What users call the neighbours by is /external_ids where these are integers, and
// stands in a file of its own where they are text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/manifest.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/file.h"

namespace tutti {

struct NeighborsShape {
  std::int64_t queries = 0, k = 0;
  std::int64_t dim = 0;
  std::string distance;       // "euclidean", "angular", ...
  bool external_ids = false;  // integers
  bool indexes = false;       // the places of their indexes among several
};

// Writes neighbors.h5 query by query: ids as i64, distances as f32. Local. Throws Error(io); a full
// disk shows in the constructor. Destroyed before finish(), it leaves nothing behind.
class NeighborsWriter {
 public:
  NeighborsWriter(const std::filesystem::path& folder, const NeighborsShape& shape);

  // The next queries' rows: as many ids as distances, and where there are external ids as many of
  // them.
  void append(std::span<const std::int64_t> ids, std::span<const float> distances);
  void append_external_ids(std::span<const std::int64_t> ids);
  void append_indexes(std::span<const std::int32_t> places);
  // CHECKs that all queries' rows are there, and makes the file durable. Once.
  FileRecord finish() { return file_.finish(); }

 private:
  std::size_t indexes_;  // their column, behind the others
  ExtentWriter file_;
};

// Reads a folder of kind `neighbors`, verifying what it hands out. Local. Throws Error as
// load_manifest and ExtentReader do.
class NeighborsReader {
 public:
  explicit NeighborsReader(const std::filesystem::path& folder);

  const Manifest& manifest() const { return manifest_; }
  std::int64_t queries() const { return shape_[0]; }
  std::int64_t k() const { return shape_[1]; }

  // Of queries [begin, begin + count), row-major.
  std::vector<std::int64_t> ids(std::int64_t begin, std::int64_t count) const;
  std::vector<float> distances(std::int64_t begin, std::int64_t count) const;

 private:
  std::size_t column(const char* dataset, DType type) const;

  std::filesystem::path folder_;
  Manifest manifest_;
  ExtentReader file_;
  std::size_t ids_, distances_;
  std::vector<std::int64_t> shape_;
};

// Writes external_ids.jsonl: a line a query, a JSON array of strings; null stands for what has
// none. Local. Throws Error(io). The file has its name once it is finished.
class ExternalIdsWriter {
 public:
  explicit ExternalIdsWriter(const std::filesystem::path& folder);

  // The next queries' rows: of query q ids[offsets[q], offsets[q + 1]), "" where there is none.
  void append(std::span<const std::string> ids, std::span<const std::int64_t> offsets);
  // Makes the file durable. Once.
  FileRecord finish();

 private:
  std::filesystem::path path_;
  std::int64_t bytes_ = 0;
  File file_;
};

}  // namespace tutti
