// Nearest neighbours on disk, in the layout of the ann-benchmarks files: /neighbors and /distances,
// [queries, k], a row a query, nearest first; id -1 and distance infinity stand where fewer than k
// were found.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/manifest.h"
#include "runtime/io/extent_file.h"

namespace tutti {

struct NeighborsShape {
  std::int64_t queries = 0, k = 0;
  std::int64_t dim = 0;
  std::string distance;  // "euclidean", "angular", ...
};

// Writes neighbors.h5 query by query: ids as i64, distances as f32. Local. Throws Error(io); a full
// disk shows in the constructor. Destroyed before finish(), it leaves nothing behind.
class NeighborsWriter {
 public:
  NeighborsWriter(const std::filesystem::path& folder, const NeighborsShape& shape);

  // The next queries' rows: as many ids as distances.
  void append(std::span<const std::int64_t> ids, std::span<const float> distances);
  // CHECKs that all queries' rows are there, and makes the file durable. Once.
  FileRecord finish() { return file_.finish(); }

 private:
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

}  // namespace tutti
