#include "jobs/export_graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "jobs/deleted_entries.h"
#include "jobs/vector_column.h"
#include "kernels/vector/assign.h"
#include "runtime/base/error.h"
#include "runtime/data/hnswlib_file.h"
#include "runtime/data/vector_writer.h"
#include "runtime/io/output_file.h"

namespace tutti {
namespace {

void check(const IndexFolder& index) {
  const std::string folder = index.dataset.folder().string();
  if (!index.graph)
    throw Error(ExitCode::data, "the index has no graph", folder,
                "build it with index.graph = true, or export it as faiss");
  if (const std::int64_t all = index.dataset.rows("entries"); all != index.graph->entries)
    throw Error(
        ExitCode::data,
        fmt::format("{} vectors were added since its graph was built", all - index.graph->entries),
        folder, "tutti compact makes an index that has all in its graph");
  if (index.graph->entries == 0)
    throw Error(ExitCode::data, "the index has no vectors", folder, "export another one");
}

// Above the lowest level: the vertices that are nearest to the lists' centroids, each with edges to
// those of the nearest lists; and above these some of them, the first with edges to the others.
std::vector<HnswlibUpper> upper_levels(const IndexFolder& index, const ListEntries& starts) {
  constexpr std::int64_t kNearest = 16;
  const std::vector<float> centroids = index.read_centroids();
  std::vector<float> present;  // centroids of lists that are not empty
  std::vector<std::int32_t> vertices;
  for (std::size_t list = 0; list + 1 < starts.offsets.size(); ++list) {
    if (starts.offsets[list] == starts.offsets[list + 1]) continue;
    vertices.push_back(starts.vertices[std::size_t(starts.offsets[list])]);
    const auto row = centroids.begin() + std::ptrdiff_t(list) * index.dim;
    present.insert(present.end(), row, row + index.dim);
  }
  const ConstMatrixView<float> rows(present.data(), std::ssize(vertices), index.dim);
  const std::int64_t probes = std::min(kNearest + 1, rows.rows),
                     each = std::int64_t(std::sqrt(double(rows.rows)));
  std::vector<Neighbor> nearest(std::size_t(rows.rows * probes));
  assign_probes(rows, PackedVectors(rows), index.metric, {nearest.data(), rows.rows, probes});
  std::vector<HnswlibUpper> upper;
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    HnswlibUpper& its = upper.emplace_back(HnswlibUpper{vertices[std::size_t(i)], {{}}});
    for (std::int64_t j = i * probes; j < (i + 1) * probes; ++j)
      if (const std::int64_t id = nearest[std::size_t(j)].id; id >= 0 && id != i)
        its.edges[0].push_back(vertices[std::size_t(id)]);
    if (i % each == 0 && rows.rows > 1) its.edges.emplace_back();
    if (i % each == 0 && i > 0) upper[0].edges[1].push_back(its.vertex);
  }
  return upper;
}

}  // namespace

void export_graph(const IndexFolder& index, const std::filesystem::path& path) {
  check(index);
  const std::int64_t count = index.graph->entries, degree = index.graph->shape.degree;
  const GraphParts graph = read_graph(index);
  const EntrySet live = live_entries(index, {0, count});
  const std::vector<HnswlibUpper> upper = upper_levels(index, graph.starts);
  const HnswlibIndex shape{index.dim, count, degree, upper};
  const std::string header = hnswlib_header(shape), above = hnswlib_upper_levels(shape);
  OutputFile file(path,
                  std::int64_t(header.size() + above.size()) + count * hnswlib_vector_bytes(shape));
  const auto append = [&](const std::string& bytes) {
    file.append(std::as_bytes(std::span(bytes)));
  };
  append(header);
  VectorColumn column(index.dataset, "entries");
  ElementConverter converter(column.dtype(), DType::f32, index.dim);
  std::vector<float> values;
  in_pieces(count, column.row_bytes(), [&](std::int64_t at, std::int64_t rows) {
    const auto converted = converter.convert(column.read(at, rows), at);
    values.resize(converted.size() / sizeof(float));
    std::memcpy(values.data(), converted.data(), converted.size());
    const auto ids = column.read_ids(at, rows);
    std::string bytes;
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto row =
          graph.edges.span().subspan(std::size_t((at + i) * degree), std::size_t(degree));
      append_hnswlib_vector(
          bytes, shape,
          {row.first(std::size_t(std::ranges::find(row, -1) - row.begin())), !live.contains(at + i),
           std::span(values).subspan(std::size_t(i * index.dim), std::size_t(index.dim)),
           ids[std::size_t(i)]});
    }
    append(bytes);
  });
  append(above);
  file.finish();
}

}  // namespace tutti
