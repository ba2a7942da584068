#include "jobs/export_vectors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "jobs/export_graph.h"
#include "jobs/export_lists.h"
#include "jobs/index_folder.h"
#include "jobs/vector_column.h"
#include "kernels/vector/distance.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"
#include "runtime/data/faiss_file.h"
#include "runtime/data/neighbors_file.h"
#include "runtime/data/paths.h"
#include "runtime/data/vector_file.h"
#include "runtime/data/vector_writer.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/output_file.h"

namespace tutti {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFaissFile = "index.faiss";
constexpr const char* kHnswlibFile = "index.hnswlib";
constexpr const char* kTruthFile = "groundtruth.bin";
constexpr const char* kNeighborIdsFile = "neighbors.ivecs";
constexpr const char* kNeighborDistancesFile = "distances.fvecs";

template <class T>
std::span<const std::byte> bytes_of(const T& values) {
  return std::as_bytes(std::span(values));
}

[[noreturn]] void no_such_format(const std::string& format, const std::string& kind,
                                 const char* formats) {
  throw Error(ExitCode::usage, fmt::format("{} are not written as {}", kind, format),
              "export.format", fmt::format("give {}", formats));
}

[[noreturn]] void no_codes() {
  throw Error(ExitCode::usage, "only an index as faiss has codes of parts", "export.code_parts",
              "leave it at 0");
}

// The vectors of a column as floats, of unit length where the metric is cosine.
void append_floats(VectorColumn& column, std::int64_t begin, std::int64_t count, Metric metric,
                   OutputFile& file) {
  ElementConverter converter(column.dtype(), DType::f32, column.dim());
  const std::span<const std::byte> stored = converter.convert(column.read(begin, count), begin);
  if (metric != Metric::cosine) return file.append(stored);
  std::vector<float> values(std::size_t(count * column.dim()));
  std::memcpy(values.data(), stored.data(), stored.size());
  normalise({values.data(), count, column.dim()});
  file.append(bytes_of(values));
}

Metric metric_of(const Manifest& manifest) {
  try {
    return metric_from_name(manifest.metadata_text("metric", "l2"));
  } catch (const std::invalid_argument& e) {
    throw Error(ExitCode::data, e.what(), kManifestFile);
  }
}

const char* published_name(Metric metric) {
  return metric == Metric::l2 ? "euclidean" : metric == Metric::cosine ? "angular" : "ip";
}

// An HDF5 file under a temporary name until it is whole.
class Hdf5Output {
 public:
  Hdf5Output(fs::path path, std::vector<ColumnSpec> columns, const Attributes& attributes)
      : path_(std::move(path)), writer_(temporary_of(path_), std::move(columns), attributes) {}

  void append(std::size_t column, std::span<const std::byte> data) { writer_.append(column, data); }
  void finish() {
    writer_.finish();
    rename_file(temporary_of(path_), path_);
  }

 private:
  fs::path path_;
  ExtentWriter writer_;
};

// ---- vectors ----

class VectorsExport {
 public:
  explicit VectorsExport(const VectorExport& wanted)
      : wanted_(wanted),
        dataset_(Dataset::open(wanted.from, kVectorsKind)),
        column_(dataset_, "vectors"),
        format_(wanted.format == "auto" ? natural_format() : wanted.format),
        metric_(metric_of(dataset_.manifest())) {
    if (format_ == "ivecs" || format_ == "bigann" || format_ == "hnswlib")
      no_such_format(format_, "vectors",
                     "fvecs, bvecs, fbin, f16bin, u8bin, i8bin, npy, hdf5 or faiss");
    check_ids();
    if (!wanted_.queries.empty()) open_queries();
    if (!wanted_.neighbors.empty()) open_neighbors();
  }

  json figures() const {
    return {{"format", format_},
            {"vectors", column_.rows()},
            {"dimension", column_.dim()},
            {"files", {file_name()}}};
  }

  void write(const fs::path& folder) {
    const fs::path path = folder / file_name();
    if (format_ == "hdf5") return write_hdf5(path);
    if (format_ == "faiss") return write_faiss(path);
    VectorWriter writer(path, format_, column_.rows(), column_.dim(), column_.dtype());
    in_pieces(column_.rows(), column_.row_bytes(),
              [&](std::int64_t at, std::int64_t count) { writer.append(column_.read(at, count)); });
    writer.finish();
  }

 private:
  std::string natural_format() const {
    if (!wanted_.queries.empty() || !wanted_.neighbors.empty()) return "hdf5";
    const DType type = column_.dtype();
    return type == DType::u8    ? "u8bin"
           : type == DType::i8  ? "i8bin"
           : type == DType::f16 ? "f16bin"
                                : "fbin";
  }
  std::string file_name() const { return format_ == "faiss" ? kFaissFile : "vectors." + format_; }

  // Other tools take a vector's row for its id.
  void check_ids() {
    bool same = true;
    in_pieces(column_.rows(), sizeof(std::int64_t), [&](std::int64_t at, std::int64_t count) {
      for (const std::int64_t id : column_.read_ids(at, count)) same = same && id == at++;
    });
    if (same) return;
    if (!wanted_.neighbors.empty())
      throw Error(ExitCode::data,
                  "neighbours name vectors by ids, which are not the numbers of their rows here",
                  wanted_.from, "export vectors of which none was left out");
    log_warning("the vectors' ids are not the numbers of their rows: they are not exported");
  }

  void open_queries() {
    if (format_ != "hdf5")
      throw Error(ExitCode::usage, "only hdf5 has a place for queries", "export.queries",
                  "set export.format = \"hdf5\"");
    queries_.emplace(wanted_.queries, "", "test");
    const DType type = queries_->dtype();
    if (queries_->dimension() != column_.dim() || type == DType::i32 || type == DType::i64)
      throw Error(ExitCode::data,
                  fmt::format("the queries have {} dimensions as {}, the vectors have {}",
                              queries_->dimension(), name_of(type), column_.dim()),
                  wanted_.queries, "give queries of these vectors");
  }

  void open_neighbors() {
    if (!queries_)
      throw Error(ExitCode::usage, "there are neighbours, but no queries that they are of",
                  "export.neighbors", "give the file of queries, too: export.queries");
    neighbors_.emplace(wanted_.neighbors);
    if (neighbors_->queries() != queries_->rows())
      throw Error(ExitCode::data,
                  fmt::format("the neighbours are of {} queries, there are {} queries",
                              neighbors_->queries(), queries_->rows()),
                  wanted_.neighbors, "give the search that asked export.queries");
  }

  void write_hdf5(const fs::path& path) {
    const DType type = stored_type("hdf5", column_.dtype());
    std::vector<ColumnSpec> columns = {{"/train", type, {column_.rows(), column_.dim()}, {}}};
    if (queries_) columns.push_back({"/test", DType::f32, {queries_->rows(), column_.dim()}, {}});
    if (neighbors_) {
      const std::vector<std::int64_t> shape = {neighbors_->queries(), neighbors_->k()};
      columns.push_back({"/neighbors", DType::i64, shape, {}});
      columns.push_back({"/distances", DType::f32, shape, {}});
    }
    const Metric metric = neighbors_ ? metric_of(neighbors_->manifest()) : metric_;
    Hdf5Output file(path, std::move(columns),
                    {{"type", std::string("dense")},
                     {"distance", std::string(published_name(metric))},
                     {"dimension", column_.dim()},
                     {"point_type", std::string("float")}});
    ElementConverter converter(column_.dtype(), type, column_.dim());
    in_pieces(column_.rows(), column_.row_bytes(), [&](std::int64_t at, std::int64_t count) {
      file.append(0, converter.convert(column_.read(at, count), at));
    });
    if (queries_) append_queries(file);
    if (neighbors_) append_neighbors(file);
    file.finish();
  }

  void append_queries(Hdf5Output& file) const {
    ElementConverter converter(queries_->dtype(), DType::f32, column_.dim());
    std::vector<std::byte> rows;
    in_pieces(queries_->rows(), queries_->row_bytes(), [&](std::int64_t at, std::int64_t count) {
      rows.resize(std::size_t(count * queries_->row_bytes()));
      queries_->read_rows(at, count, rows);
      file.append(1, converter.convert(rows, at));
    });
  }

  void append_neighbors(Hdf5Output& file) const {
    in_pieces(neighbors_->queries(), neighbors_->k() * 8, [&](std::int64_t at, std::int64_t count) {
      file.append(2, bytes_of(neighbors_->ids(at, count)));
      file.append(3, bytes_of(neighbors_->distances(at, count)));
    });
  }

  void write_faiss(const fs::path& path) {
    const std::string header =
        faiss_flat_header({column_.dim(), column_.rows(), metric_ != Metric::l2});
    OutputFile file(path, std::int64_t(header.size()) + column_.rows() * column_.dim() * 4);
    file.append(bytes_of(header));
    in_pieces(column_.rows(), column_.row_bytes(), [&](std::int64_t at, std::int64_t count) {
      append_floats(column_, at, count, metric_, file);
    });
    file.finish();
  }

  const VectorExport& wanted_;
  Dataset dataset_;
  VectorColumn column_;
  std::string format_;
  Metric metric_;
  std::optional<VectorFile> queries_;
  std::optional<NeighborsReader> neighbors_;
};

// ---- neighbours ----

std::vector<std::int32_t> narrow_ids(const NeighborsReader& found, std::int64_t begin,
                                     std::int64_t count) {
  std::vector<std::int32_t> narrow;
  for (const std::int64_t id : found.ids(begin, count)) {
    if (id > std::numeric_limits<std::int32_t>::max())
      throw Error(ExitCode::data, fmt::format("the id {} does not fit 32 bits", id),
                  "export.format", "neighbors.h5 itself has them in 64 bits");
    narrow.push_back(std::int32_t(id));
  }
  return narrow;
}

// The ids come last and go first: distances alone are nothing.
void write_rows_of_neighbors(const NeighborsReader& found, const fs::path& folder) {
  remove_file(folder / kNeighborIdsFile);
  VectorWriter ids(folder / kNeighborIdsFile, "ivecs", found.queries(), found.k(), DType::i32);
  VectorWriter distances(folder / kNeighborDistancesFile, "fvecs", found.queries(), found.k(),
                         DType::f32);
  in_pieces(found.queries(), found.k() * 8, [&](std::int64_t at, std::int64_t count) {
    ids.append(bytes_of(narrow_ids(found, at, count)));
    distances.append(bytes_of(found.distances(at, count)));
  });
  distances.finish();
  ids.finish();
}

void write_ground_truth(const NeighborsReader& found, const fs::path& folder) {
  const std::uint32_t header[] = {std::uint32_t(found.queries()), std::uint32_t(found.k())};
  if (found.queries() != header[0] || found.k() != header[1])
    throw Error(ExitCode::usage, "more neighbours than its header can count", "export.format",
                "choose ivecs");
  OutputFile file(folder / kTruthFile,
                  std::int64_t(sizeof(header)) + found.queries() * found.k() * 8);
  file.append(bytes_of(header));
  in_pieces(found.queries(), found.k() * 8, [&](std::int64_t at, std::int64_t count) {
    file.append(bytes_of(narrow_ids(found, at, count)));
  });
  in_pieces(found.queries(), found.k() * 8, [&](std::int64_t at, std::int64_t count) {
    file.append(bytes_of(found.distances(at, count)));
  });
  file.finish();
}

json export_neighbors(const VectorExport& wanted, const fs::path& folder, bool dry_run) {
  const std::string format = wanted.format == "auto" ? "ivecs" : wanted.format;
  if (format != "ivecs" && format != "bigann")
    no_such_format(format, "neighbours", "ivecs or bigann; neighbors.h5 is ann-benchmarks' HDF5");
  const NeighborsReader found(wanted.from);
  if (!dry_run && format == "ivecs") write_rows_of_neighbors(found, folder);
  if (!dry_run && format == "bigann") write_ground_truth(found, folder);
  json files = {kTruthFile};
  if (format == "ivecs") files = {kNeighborIdsFile, kNeighborDistancesFile};
  return {{"format", format}, {"queries", found.queries()}, {"k", found.k()}, {"files", files}};
}

// ---- an index ----

json export_index(const VectorExport& wanted, const fs::path& folder, bool dry_run) {
  const std::string format = wanted.format == "auto" ? "faiss" : wanted.format;
  if (format != "faiss" && format != "hnswlib")
    no_such_format(format, "indexes", "faiss or hnswlib, or export the vectors");
  if (format != "faiss" && wanted.code_parts != 0) no_codes();
  const IndexFolder index = open_index(wanted.from);
  check_code_parts(index, wanted.code_parts);
  const char* file = format == "faiss" ? kFaissFile : kHnswlibFile;
  if (!dry_run && format == "faiss") export_lists(index, wanted.code_parts, folder / file);
  if (!dry_run && format == "hnswlib") export_graph(index, folder / file);
  return {
      {"format", format}, {"vectors", index.vectors}, {"nlist", index.nlist}, {"files", {file}}};
}

}  // namespace

void VectorExport::describe(Schema& s) {
  s.key("export.from", &from, "folder of vectors, neighbours or an index");
  s.choice(
      "export.format", &format,
      {"auto", "fvecs", "bvecs", "fbin", "f16bin", "u8bin", "i8bin", "npy", "hdf5", "faiss",
       "hnswlib", "ivecs", "bigann"},
      "auto: vectors in their own type, neighbours as ivecs, an index as faiss. Vectors go to all "
      "but hnswlib, ivecs and bigann; neighbours to these: ivecs, with fvecs of the distances, or "
      "a ground "
      "truth file; an index to faiss, and one with a graph to hnswlib. Numbers are rounded only to "
      "f16");
  s.key("export.code_parts", &code_parts, "bytes",
        "of an index as faiss: instead of whole vectors, codes of product quantisation (IVF-PQ) of "
        "so "
        "many bytes, each for one of as many equal parts of a vector; 0: whole vectors");
  s.key("export.queries", &queries, "file of queries, for the dataset test of hdf5");
  s.key("export.neighbors", &neighbors,
        "folder of neighbours of these queries, for the datasets neighbors and distances of hdf5");
}

json export_vectors(const VectorExport& wanted, const fs::path& folder, bool dry_run) {
  const std::string kind = load_manifest(wanted.from).kind;
  if (kind != kVectorsKind && !(wanted.queries.empty() && wanted.neighbors.empty()))
    throw Error(ExitCode::usage, "queries and neighbours go with vectors", "export.queries", "");
  if (kind != kIndexKind && wanted.code_parts != 0) no_codes();
  if (kind == kNeighborsKind) return export_neighbors(wanted, folder, dry_run);
  if (kind == kIndexKind) return export_index(wanted, folder, dry_run);
  if (kind != kVectorsKind)
    throw Error(ExitCode::usage, "this is a " + kind, wanted.from,
                "give a folder of vectors, neighbours or an index; models go by export.model");
  VectorsExport vectors(wanted);
  if (!dry_run) vectors.write(folder);
  return vectors.figures();
}

}  // namespace tutti
