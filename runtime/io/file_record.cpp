#include "runtime/io/file_record.h"

#include <algorithm>
#include <stdexcept>

#include "runtime/base/error.h"
#include "runtime/io/crc32c.h"
#include "runtime/io/file.h"
#include "runtime/io/json_integer.h"
#include "runtime/io/page_buffer.h"

namespace tutti {
namespace {

using nlohmann::json;

void require(bool good, const std::string& problem, const std::string& place) {
  if (!good) throw Error(ExitCode::data, problem, place);
}

json extent_to_json(const ExtentRecord& extent) {
  json checksums = json::array();
  for (std::uint32_t crc : extent.crc32c) checksums.push_back(crc_to_hex(crc));
  return {{"dataset", extent.dataset}, {"dtype", name_of(extent.dtype)}, {"shape", extent.shape},
          {"offset", extent.offset},   {"bytes", extent.bytes},          {"crc32c", checksums}};
}

std::uint32_t checksum_from_json(const json& value, const std::string& place) {
  std::uint32_t crc = 0;
  require(crc_from_hex(value.get<std::string>(), &crc), "a checksum is not 8 hexadecimal digits",
          place);
  return crc;
}

// The bytes that a shape takes, or -1 where it is none or they are more than a file can have.
std::int64_t bytes_of_shape(const std::vector<std::int64_t>& shape, DType dtype) {
  std::int64_t bytes = std::int64_t(size_of(dtype));
  for (std::int64_t extent : shape)
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) return -1;
  return shape.empty() ? -1 : bytes;
}

ExtentRecord extent_from_json(const json& value, const std::string& place) {
  ExtentRecord extent;
  extent.dataset = value.at("dataset").get<std::string>();
  const std::string at = "dataset " + extent.dataset + " of " + place;
  try {
    extent.dtype = dtype_from_name(value.at("dtype").get<std::string>());
  } catch (const std::invalid_argument&) {
    throw Error(ExitCode::data, "unknown element type " + value.at("dtype").dump(), at);
  }
  extent.shape = integers_of(value.at("shape"));
  extent.offset = integer_of(value.at("offset"));
  extent.bytes = integer_of(value.at("bytes"));
  for (const json& crc : value.at("crc32c")) extent.crc32c.push_back(checksum_from_json(crc, at));

  require(extent.bytes >= 0 && extent.bytes == bytes_of_shape(extent.shape, extent.dtype),
          "its size does not match its shape", at);
  const std::int64_t blocks = extent.bytes / kBlockBytes + (extent.bytes % kBlockBytes != 0);
  require(std::int64_t(extent.crc32c.size()) == blocks,
          "it has " + std::to_string(extent.crc32c.size()) + " checksums for " +
              std::to_string(blocks) + " blocks",
          at);
  return extent;
}

// The extents that take room, in file order.
std::vector<const ExtentRecord*> in_file_order(const FileRecord& record) {
  std::vector<const ExtentRecord*> sorted;
  for (const auto& extent : record.extents)
    if (extent.bytes > 0) sorted.push_back(&extent);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->offset < b->offset; });
  return sorted;
}

void check_extents_fit(const FileRecord& record, const std::string& place) {
  std::int64_t end = 0;
  for (const ExtentRecord* extent : in_file_order(record)) {
    require(extent->offset >= end && extent->offset <= record.bytes &&
                extent->bytes <= record.bytes - extent->offset,
            "dataset " + extent->dataset + " lies outside the file or over another one", place);
    end = extent->offset + extent->bytes;
  }
}

}  // namespace

std::int64_t ExtentRecord::elements() const { return bytes / std::int64_t(size_of(dtype)); }

int FileRecord::find(std::string_view dataset) const {
  for (std::size_t i = 0; i < extents.size(); ++i)
    if (extents[i].dataset == dataset) return int(i);
  return -1;
}

std::vector<FileSpan> header_spans(const FileRecord& record) {
  std::vector<FileSpan> spans;
  std::int64_t end = 0;
  for (const ExtentRecord* extent : in_file_order(record)) {
    if (extent->offset > end) spans.push_back({end, extent->offset - end});
    end = extent->offset + extent->bytes;
  }
  if (record.bytes > end) spans.push_back({end, record.bytes - end});
  return spans;
}

json to_json(const FileRecord& record) {
  json extents = json::array();
  for (const auto& extent : record.extents) extents.push_back(extent_to_json(extent));
  return {{"name", record.name},
          {"bytes", record.bytes},
          {"header_crc32c", crc_to_hex(record.header_crc32c)},
          {"extents", extents}};
}

FileRecord file_record_from_json(const json& value, const std::string& place) {
  try {
    FileRecord record;
    record.name = value.at("name").get<std::string>();
    const std::string at = record.name + " in " + place;
    require(!record.name.empty() && record.name != "." && record.name != ".." &&
                record.name.find('/') == std::string::npos &&
                record.name.find('\0') == std::string::npos,
            "not the name of a file in this folder: '" + record.name + "'", place);
    record.bytes = integer_of(value.at("bytes"));
    require(record.bytes >= 0, "its size is negative", at);
    record.header_crc32c = checksum_from_json(value.at("header_crc32c"), at);
    for (const json& extent : value.at("extents"))
      record.extents.push_back(extent_from_json(extent, at));
    check_extents_fit(record, at);
    return record;
  } catch (const json::exception& failure) {
    throw Error(ExitCode::data, std::string("malformed file record: ") + failure.what(), place);
  }
}

FileRecord record_plain_file(const std::filesystem::path& path) {
  const File file(path, FileMode::read);
  FileRecord record{path.filename().string(), file.size(), 0, {}};
  PageBuffer buffer(kBlockBytes);
  for (std::int64_t at = 0; at < record.bytes; at += kBlockBytes) {
    const auto piece = buffer.first(std::min(kBlockBytes, record.bytes - at));
    file.read_at(piece, at);
    record.header_crc32c = crc32c(piece, record.header_crc32c);
  }
  return record;
}

}  // namespace tutti
