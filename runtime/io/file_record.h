// What a manifest knows of a file: its size, and a checksum of each of its bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/core/dtype.h"

namespace tutti {

// Bytes that one checksum covers within an extent; the last block of an extent may be shorter.
inline constexpr std::int64_t kBlockBytes = std::int64_t(4) << 20;

// A dataset of an HDF5 file as a plain range of bytes.
struct ExtentRecord {
  std::string dataset;  // "/passages/tokens"
  DType dtype = DType::u8;
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;            // of the first byte in the file; 0 where bytes is 0
  std::int64_t bytes = 0;             // the product of the shape and the element's size
  std::vector<std::uint32_t> crc32c;  // one a block

  std::int64_t elements() const;
  bool operator==(const ExtentRecord&) const = default;
};

// A file in an artefact. A file without extents is a plain file: the header checksum covers all of
// it.
struct FileRecord {
  std::string name;  // within the artefact's folder
  std::int64_t bytes = 0;
  std::uint32_t header_crc32c = 0;  // over the bytes outside all extents, in file order
  std::vector<ExtentRecord> extents;

  // The index of the extent of `dataset`, or -1.
  int find(std::string_view dataset) const;
  bool operator==(const FileRecord&) const = default;
};

// The ranges of a file outside all extents, in file order: what header_crc32c covers.
struct FileSpan {
  std::int64_t offset = 0, bytes = 0;
};
std::vector<FileSpan> header_spans(const FileRecord& record);

nlohmann::json to_json(const FileRecord& record);
// Throws Error(data) naming `place` where the JSON is not a consistent record: names that leave the
// folder, extents that overlap or pass the end, counts of checksums that do not match.
FileRecord file_record_from_json(const nlohmann::json& json, const std::string& place);

// Reads a plain file and describes it. Local.
FileRecord record_plain_file(const std::filesystem::path& path);

}  // namespace tutti
