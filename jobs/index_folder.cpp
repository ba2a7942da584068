#include "jobs/index_folder.h"

#include <stdexcept>
#include <string>

#include "runtime/base/error.h"
#include "runtime/data/metadata_columns.h"
#include "runtime/data/metadata_sharder.h"
#include "runtime/data/paths.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

constexpr const char* kCentroidsDataset = "/centroids";
constexpr const char* kAxesDataset = "/axes";
constexpr const char* kOriginDataset = "/origin";
constexpr const char* kScalarsDataset = "/scalars";
constexpr std::int64_t kScalars = 7;

Error broken(const std::filesystem::path& folder, const std::string& what) {
  return Error(ExitCode::data, what, (folder / kManifestFile).string(), "build the index again");
}

}  // namespace

std::vector<TableSchema> index_tables(DType storage, std::int64_t dim,
                                      std::span<const ColumnSchema> metadata) {
  TableSchema lists{
      "lists",
      {ColumnSchema::scalar("list", DType::i64), ColumnSchema::scalar("first_entry", DType::i64),
       ColumnSchema::scalar("entries", DType::i64)}};
  TableSchema entries{
      "entries",
      {ColumnSchema::vector("vector", storage, dim), ColumnSchema::scalar("id", DType::i64)}};
  entries.columns.insert(entries.columns.end(), metadata.begin(), metadata.end());
  return {lists, entries};
}

FileRecord write_centroids(const std::filesystem::path& folder, ConstMatrixView<float> centroids) {
  const std::size_t size = std::size_t(centroids.rows * centroids.cols);
  ExtentWriter writer(folder / kCentroidsFile,
                      {{kCentroidsDataset, DType::f32, {centroids.rows, centroids.cols}, {}}});
  writer.write_all(0, std::as_bytes(std::span(centroids.data, size)));
  return writer.finish();
}

FileRecord write_code_space(const std::filesystem::path& folder, const CodeAxes& axes) {
  const std::int64_t dim = axes.code_dim;
  const float scalars[kScalars] = {static_cast<float>(axes.prefix),
                                   axes.step,
                                   axes.rest_step,
                                   axes.cap,
                                   axes.prefix_cap,
                                   axes.longest_square,
                                   axes.rest_share};
  ExtentWriter writer(folder / kCodeSpaceFile, {{kAxesDataset, DType::f32, {dim, dim}, {}},
                                                {kOriginDataset, DType::f32, {dim}, {}},
                                                {kScalarsDataset, DType::f32, {kScalars}, {}}});
  writer.write_all(0, std::as_bytes(std::span(axes.axes)));
  writer.write_all(1, std::as_bytes(std::span(axes.origin)));
  writer.write_all(2, std::as_bytes(std::span(scalars)));
  return writer.finish();
}

Range IndexFolder::entries_of(Range shards) const {
  if (shards.size() == 0) return {};
  return {dataset.shard_rows("entries", shards.begin).begin,
          dataset.shard_rows("entries", shards.end - 1).end};
}

std::vector<float> IndexFolder::read_centroids() const {
  const std::filesystem::path file = dataset.folder() / kCentroidsFile;
  const FileRecord* record = dataset.manifest().find_file(kCentroidsFile);
  const int column = record ? record->find(kCentroidsDataset) : -1;
  if (column < 0 ||
      record->extents[std::size_t(column)].shape != std::vector<std::int64_t>{nlist, dim} ||
      record->extents[std::size_t(column)].dtype != DType::f32)
    throw broken(dataset.folder(), "the manifest lists no centroids of the index's shape");
  std::vector<float> centroids(std::size_t(nlist * dim));
  ExtentReader(file, *record).read(std::size_t(column), 0, std::span(centroids));
  return centroids;
}

std::optional<CodeSpace> IndexFolder::read_code_space() const {
  const std::filesystem::path file = dataset.folder() / kCodeSpaceFile;
  const FileRecord* record = dataset.manifest().find_file(kCodeSpaceFile);
  if (!record) return std::nullopt;
  CodeAxes axes;
  axes.metric = metric;
  axes.dim = dim;
  axes.code_dim = dim + (metric == Metric::inner_product);
  std::vector<float> scalars;
  const auto read = [&](const char* name, const std::vector<std::int64_t>& shape,
                        std::vector<float>& values) {
    const int column = record->find(name);
    if (column < 0 || record->extents[std::size_t(column)].shape != shape ||
        record->extents[std::size_t(column)].dtype != DType::f32)
      throw broken(dataset.folder(), "the manifest lists no code space of the index's shape");
    std::int64_t size = 1;
    for (const std::int64_t extent : shape) size *= extent;
    values.resize(std::size_t(size));
    ExtentReader(file, *record).read(std::size_t(column), 0, std::span(values));
  };
  read(kAxesDataset, {axes.code_dim, axes.code_dim}, axes.axes);
  read(kOriginDataset, {axes.code_dim}, axes.origin);
  read(kScalarsDataset, {kScalars}, scalars);
  axes.prefix = std::int64_t(scalars[0]);
  axes.step = scalars[1];
  axes.rest_step = scalars[2];
  axes.cap = scalars[3];
  axes.prefix_cap = scalars[4];
  axes.longest_square = scalars[5];
  axes.rest_share = scalars[6];
  try {
    return CodeSpace(std::move(axes));
  } catch (const std::invalid_argument& e) {
    throw broken(dataset.folder(), e.what());
  }
}

IndexFolder open_index(const std::filesystem::path& folder) {
  IndexFolder index{Dataset::open(folder, kIndexKind)};
  try {
    const nlohmann::json& m = index.metadata();
    index.metric = metric_from_name(m.at("metric").get<std::string>());
    index.storage = dtype_from_name(m.at("storage").get<std::string>());
    index.dim = integer_of(m.at("dimension"));
    index.vectors = integer_of(m.at("count"));
    index.nlist = integer_of(m.at("nlist"));
  } catch (const nlohmann::json::exception&) {
    throw broken(folder, "the manifest does not describe an index");
  } catch (const std::invalid_argument& e) {
    throw broken(folder, e.what());
  }
  const Manifest& manifest = index.dataset.manifest();
  std::vector<TableSchema> found;
  for (const TableEntry& table : manifest.tables) found.push_back(table.schema);
  const MetadataColumns metadata(index.dataset, "entries");
  if (found != index_tables(index.storage, index.dim,
                            metadata_schemas(metadata.columns(), metadata.external_ids())) ||
      index.dataset.rows("lists") != index.nlist || index.dataset.rows("entries") != index.vectors)
    throw broken(folder, "the index's tables are not what its metadata say");
  return index;
}

}  // namespace tutti
