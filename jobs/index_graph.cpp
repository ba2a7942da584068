#include "jobs/index_graph.h"

#include <algorithm>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "jobs/index_folder.h"
#include "runtime/base/error.h"
#include "runtime/data/paths.h"
#include "runtime/data/segments.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

constexpr const char* kGraphKey = "graph";
constexpr const char* kEdgesDataset = "/edges";
constexpr const char* kOffsetsDataset = "/starts/offsets";
constexpr const char* kStartsDataset = "/starts/values";

std::int64_t code_bytes(std::int64_t dim) { return dim + 1 + 2 * CodeRows::kBlock; }

}  // namespace

std::optional<IndexGraph> graph_of(const Manifest& manifest, std::int64_t nlist) {
  if (!manifest.metadata.contains(kGraphKey)) return std::nullopt;
  const auto broken = [] {
    return Error(ExitCode::data, "the manifest lists no graph of the index's shape", kManifestFile,
                 "build the index again");
  };
  IndexGraph graph;
  try {
    const nlohmann::json& told = manifest.metadata[kGraphKey];
    graph.shape = {integer_of(told.at("degree")), integer_of(told.at("probes"))};
  } catch (const nlohmann::json::exception&) {
    throw broken();
  }
  const TableEntry* entries = manifest.find_table("entries");
  const Range first = segments_of(manifest).front().shards;
  for (std::int64_t shard = first.begin; entries && shard < first.end; ++shard)
    graph.entries += entries->shard_rows[std::size_t(shard)];
  const FileRecord* record = manifest.find_file(kGraphFile);
  const auto has = [&](const char* name, DType type, const std::vector<std::int64_t>& shape) {
    const int column = record ? record->find(name) : -1;
    if (column < 0) return false;
    const ExtentRecord& extent = record->extents[std::size_t(column)];
    return extent.dtype == type &&
           (extent.shape == shape || (shape.empty() && extent.shape.size() == 1));
  };
  if (graph.shape.degree < 2 || graph.shape.probes < 1 ||
      !has(kEdgesDataset, DType::i32, {graph.entries, graph.shape.degree}) ||
      !has(kOffsetsDataset, DType::i64, {nlist + 1}) || !has(kStartsDataset, DType::i32, {}))
    throw broken();
  return graph;
}

nlohmann::json to_json(const GraphShape& shape) {
  return {{"degree", shape.degree}, {"probes", shape.probes}};
}

FileRecord write_graph(const std::filesystem::path& folder, ConstMatrixView<std::int32_t> edges,
                       const ListEntries& starts) {
  ExtentWriter writer(folder / kGraphFile,
                      {{kEdgesDataset, DType::i32, {edges.rows, edges.cols}, {}},
                       {kOffsetsDataset, DType::i64, {std::int64_t(starts.offsets.size())}, {}},
                       {kStartsDataset, DType::i32, {std::int64_t(starts.vertices.size())}, {}}});
  writer.write_all(0, std::as_bytes(std::span(edges.data, std::size_t(edges.rows * edges.cols))));
  writer.write_all(1, std::as_bytes(std::span(starts.offsets)));
  writer.write_all(2, std::as_bytes(std::span(starts.vertices)));
  return writer.finish();
}

GraphParts read_graph(const IndexFolder& index) {
  const std::filesystem::path file = index.dataset.folder() / kGraphFile;
  const FileRecord& record = *index.dataset.manifest().find_file(kGraphFile);
  const std::int64_t entries = index.graph->entries, degree = index.graph->shape.degree;
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::data, fmt::format("{}, and there are {} entries", what, entries),
                file.string(), "build the index again");
  };
  const ExtentReader reader(file, record);
  GraphParts parts;
  parts.edges.grow(entries * degree);
  const auto edges = parts.edges.span().first(std::size_t(entries * degree));
  reader.read(std::size_t(record.find(kEdgesDataset)), 0, edges);
  const auto wrong =
      std::ranges::find_if(edges, [&](std::int32_t to) { return to < -1 || to >= entries; });
  if (wrong != edges.end())
    refuse(
        fmt::format("an edge of entry {} leads to {}", (wrong - edges.begin()) / degree, *wrong));
  ListEntries& starts = parts.starts;
  starts.offsets.resize(std::size_t(index.nlist + 1));
  reader.read(std::size_t(record.find(kOffsetsDataset)), 0, std::span(starts.offsets));
  starts.vertices.resize(
      std::size_t(record.extents[std::size_t(record.find(kStartsDataset))].shape[0]));
  reader.read(std::size_t(record.find(kStartsDataset)), 0, std::span(starts.vertices));
  if (starts.offsets.front() != 0 || starts.offsets.back() != std::ssize(starts.vertices) ||
      !std::ranges::is_sorted(starts.offsets))
    refuse("the offsets of what stands for the lists do not fit");
  for (const std::int32_t vertex : starts.vertices)
    if (vertex < 0 || vertex >= entries) refuse(fmt::format("{} stands for a list", vertex));
  return parts;
}

std::vector<std::int64_t> list_begins(const IndexFolder& index) {
  const Dataset& dataset = index.dataset;
  std::vector<std::int64_t> sizes(std::size_t(index.nlist)), begins{0};
  dataset.read(dataset.column("lists", "entries"), 0, index.nlist, std::span(sizes));
  const std::int64_t entries = index.entries_of(index.segments[0].shards).size();
  for (const std::int64_t size : sizes) {
    if (size < 0 || size > entries - begins.back()) break;
    begins.push_back(begins.back() + size);
  }
  if (std::ssize(begins) != index.nlist + 1 || begins.back() != entries)
    throw Error(ExitCode::data, "the table of lists does not fit the entries",
                dataset.folder().string(), "build the index again");
  return begins;
}

std::int64_t bytes_to_build(std::int64_t entries, std::int64_t dim, DType storage,
                            std::int64_t degree) {
  const std::int64_t edges =
      4 * degree * std::int64_t(sizeof(std::int32_t));  // and those that come
  return entries * (dim * std::int64_t(size_of(storage)) + 2 * code_bytes(dim) + edges);
}

std::int64_t bytes_to_search(std::int64_t entries, std::int64_t dim, DType storage,
                             std::int64_t degree) {
  return entries *
         (dim * std::int64_t(size_of(storage)) + code_bytes(dim) +
          std::int64_t(sizeof(std::int64_t)) + degree * std::int64_t(sizeof(std::int32_t)));
}

void check_graph_memory(std::int64_t bytes, std::int64_t usable, const std::string& what,
                        const std::string& fix) {
  if (bytes <= usable) return;
  throw Error(ExitCode::usage,
              fmt::format("{} takes {} MiB of each rank's memory, of which memory_limit leaves {}",
                          what, (bytes >> 20) + 1, usable >> 20),
              "memory_limit", "raise it, or " + fix);
}

}  // namespace tutti
