#include "jobs/index_folder.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "jobs/deleted_entries.h"
#include "runtime/base/error.h"
#include "runtime/data/metadata_columns.h"
#include "runtime/data/metadata_sharder.h"
#include "runtime/data/paths.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

constexpr const char* kCentroidsDataset = "/centroids";
constexpr std::int64_t kIdsAtOnce = std::int64_t(1) << 20;
constexpr const char* kAxesDataset = "/axes";
constexpr const char* kOriginDataset = "/origin";
constexpr const char* kScalarsDataset = "/scalars";
constexpr std::int64_t kScalars = 7;

Error broken(const std::filesystem::path& folder, const std::string& what) {
  return Error(ExitCode::data, what, (folder / kManifestFile).string(), "build the index again");
}

bool each_segment_has_all_lists(const IndexFolder& index) {
  for (const Segment& segment : index.segments) {
    std::int64_t lists = 0;
    for (std::int64_t s = segment.shards.begin; s < segment.shards.end; ++s)
      lists += index.dataset.shard_rows("lists", s).size();
    if (lists != index.nlist) return false;
  }
  return true;
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

Range IndexFolder::shards_of(std::int64_t parts, std::int64_t part) const {
  const std::int64_t total = dataset.rows("entries"), shards = dataset.manifest().shards();
  // A shard belongs to the part whose even share its middle entry is in.
  const auto boundary = [&](std::int64_t i) {
    if (i == 0) return std::int64_t(0);
    if (i == parts) return shards;
    const std::int64_t share = total / parts * i + total % parts * i / parts;
    std::int64_t shard = 0;
    for (; shard < shards; ++shard) {
      const Range rows = dataset.shard_rows("entries", shard);
      if (rows.begin + rows.size() / 2 >= share) break;
    }
    return shard;
  };
  return {boundary(part), boundary(part + 1)};
}

std::int64_t IndexFolder::largest_id(Range entries) const {
  const Dataset::Column column = dataset.column("entries", "id");
  std::int64_t largest = -1;
  std::vector<std::int64_t> ids;
  for (std::int64_t at = entries.begin; at < entries.end; at += kIdsAtOnce) {
    ids.resize(std::size_t(std::min(kIdsAtOnce, entries.end - at)));
    dataset.read(column, at, std::int64_t(ids.size()), std::span(ids));
    largest = std::max(largest, std::ranges::max(ids));
  }
  return largest;
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

void refuse_changed_index(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / kManifestFile)) return;
  std::optional<Manifest> found;
  try {
    found = load_manifest(folder, kIndexKind);
  } catch (const Error&) {  // no index, or damaged: nothing to lose
    return;
  }
  if (found->metadata.contains("generation"))
    throw Error(ExitCode::usage, "the index in this folder was changed since it was built",
                folder.string(),
                "give another --run folder, or remove this one if what was changed may be lost");
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
  index.segments = segments_of(index.dataset.manifest());
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
  index.graph = graph_of(manifest, index.nlist);
  std::vector<TableSchema> found;
  for (const TableEntry& table : manifest.tables) found.push_back(table.schema);
  const MetadataColumns metadata(index.dataset, "entries");
  if (found != index_tables(index.storage, index.dim,
                            metadata_schemas(metadata.columns(), metadata.external_ids())) ||
      index.nlist < 1 || !each_segment_has_all_lists(index) || index.vectors < 0 ||
      index.deleted() != count_deleted(manifest))
    throw broken(folder, "the index's tables are not what its metadata say");
  return index;
}

IndexFolder open_index(Comm& comm, const std::filesystem::path& folder) {
  constexpr auto kPause = std::chrono::milliseconds(10);
  for (;; std::this_thread::sleep_for(kPause)) {
    std::optional<IndexFolder> index;
    comm.attempt([&] { index.emplace(open_index(folder)); });
    const Manifest& manifest = index->dataset.manifest();
    const auto versions = comm.all_gather_strings(manifest.digest + manifest.metadata.dump());
    if (std::ranges::all_of(versions, [&](const auto& v) { return v == versions.front(); }))
      return std::move(*index);
  }
}

}  // namespace tutti
