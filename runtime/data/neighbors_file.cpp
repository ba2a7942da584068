#include "runtime/data/neighbors_file.h"

#include <nlohmann/json.hpp>

#include "runtime/base/check.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

Error broken(const std::filesystem::path& folder) {
  return Error(ExitCode::data, "the manifest lists no neighbours and their distances",
               (folder / kManifestFile).string(), "search again");
}

FileRecord neighbors_record(const Manifest& manifest, const std::filesystem::path& folder) {
  if (const FileRecord* record = manifest.find_file(kNeighborsFile)) return *record;
  throw broken(folder);
}

std::vector<ColumnSpec> columns_of(const NeighborsShape& shape) {
  std::vector<ColumnSpec> columns = {{"/neighbors", DType::i64, {shape.queries, shape.k}, {}},
                                     {"/distances", DType::f32, {shape.queries, shape.k}, {}}};
  if (shape.external_ids)
    columns.push_back({"/external_ids", DType::i64, {shape.queries, shape.k}, {}});
  if (shape.indexes) columns.push_back({"/index", DType::i32, {shape.queries, shape.k}, {}});
  return columns;
}

}  // namespace

NeighborsWriter::NeighborsWriter(const std::filesystem::path& folder, const NeighborsShape& shape)
    : indexes_(shape.external_ids ? 3 : 2),
      file_(folder / kNeighborsFile, columns_of(shape),
            {{"type", std::string("dense")},
             {"distance", shape.distance},
             {"dimension", shape.dim},
             {"point_type", std::string("float")}}) {}

void NeighborsWriter::append(std::span<const std::int64_t> ids, std::span<const float> distances) {
  CHECK(ids.size() == distances.size());
  file_.append(0, std::as_bytes(ids));
  file_.append(1, std::as_bytes(distances));
}

NeighborsReader::NeighborsReader(const std::filesystem::path& folder)
    : folder_(folder),
      manifest_(load_manifest(folder, kNeighborsKind)),
      file_(folder / kNeighborsFile, neighbors_record(manifest_, folder)),
      ids_(column("/neighbors", DType::i64)),
      distances_(column("/distances", DType::f32)),
      shape_(file_.record().extents[ids_].shape) {
  if (shape_ != file_.record().extents[distances_].shape) throw broken(folder_);
}

std::size_t NeighborsReader::column(const char* dataset, DType type) const {
  const int found = file_.record().find(dataset);
  if (found < 0) throw broken(folder_);
  const ExtentRecord& extent = file_.record().extents[std::size_t(found)];
  if (extent.dtype != type || extent.shape.size() != 2 || extent.elements() == 0)
    throw broken(folder_);
  return std::size_t(found);
}

std::vector<std::int64_t> NeighborsReader::ids(std::int64_t begin, std::int64_t count) const {
  std::vector<std::int64_t> values(std::size_t(count * k()));
  file_.read(ids_, begin * k(), std::span(values));
  return values;
}

std::vector<float> NeighborsReader::distances(std::int64_t begin, std::int64_t count) const {
  std::vector<float> values(std::size_t(count * k()));
  file_.read(distances_, begin * k(), std::span(values));
  return values;
}

void NeighborsWriter::append_external_ids(std::span<const std::int64_t> ids) {
  file_.append(2, std::as_bytes(ids));
}

void NeighborsWriter::append_indexes(std::span<const std::int32_t> places) {
  file_.append(indexes_, std::as_bytes(places));
}

ExternalIdsWriter::ExternalIdsWriter(const std::filesystem::path& folder)
    : path_(folder / kExternalIdsFile), file_(temporary_of(path_), FileMode::create) {}

void ExternalIdsWriter::append(std::span<const std::string> ids,
                               std::span<const std::int64_t> offsets) {
  using nlohmann::json;
  std::string lines;
  for (std::size_t q = 0; q + 1 < offsets.size(); ++q) {
    json row = json::array();
    for (const std::string& id :
         ids.subspan(std::size_t(offsets[q]), std::size_t(offsets[q + 1] - offsets[q])))
      row.push_back(id.empty() ? json() : json(id));
    lines += row.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  }
  file_.write_at(std::as_bytes(std::span(lines)), bytes_);
  bytes_ += std::int64_t(lines.size());
}

FileRecord ExternalIdsWriter::finish() {
  file_.sync();
  std::error_code failure;
  std::filesystem::rename(file_.path(), path_, failure);
  if (failure) throw_file_error("rename", file_.path(), failure.value());
  sync_folder(path_.parent_path());
  return record_plain_file(path_);
}

}  // namespace tutti
