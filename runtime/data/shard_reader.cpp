#include "runtime/data/shard_reader.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/data/paths.h"

namespace tutti {

ShardReader::ShardReader(const std::filesystem::path& folder, const Manifest& manifest,
                         std::int64_t index)
    : manifest_(&manifest),
      index_(index),
      file_(folder / shard_file(index), *manifest.find_file(shard_file(index))) {
  for (std::size_t t = 0; t < manifest.tables.size(); ++t) {
    columns_.emplace_back();
    for (const auto& column : manifest.tables[t].schema.columns)
      columns_.back().push_back(locate(manifest.tables[t].schema, column, rows(t)));
  }
}

std::int64_t ShardReader::rows(std::size_t table) const {
  return manifest_->tables[table].shard_rows[std::size_t(index_)];
}

ShardReader::Column ShardReader::locate(const TableSchema& table, const ColumnSchema& column,
                                        std::int64_t rows) const {
  const std::string dataset = column_dataset(table, column);
  switch (column.kind) {
    case ColumnKind::scalar:
      return {locate_extent(dataset, column.dtype, {rows}), -1};
    case ColumnKind::vector:
      return {locate_extent(dataset, column.dtype, {rows, column.width}), -1};
    case ColumnKind::ragged:
      return {locate_extent(dataset, column.dtype, {}),
              locate_extent(offsets_dataset(table, column), DType::i64, {rows + 1})};
  }
  CHECK(false);
}

// An empty `shape` stands for any of one dimension.
int ShardReader::locate_extent(const std::string& dataset, DType dtype,
                               const std::vector<std::int64_t>& shape) const {
  const FileRecord& record = file_.record();
  const int extent = record.find(dataset);
  if (extent >= 0) {
    const ExtentRecord& found = record.extents[std::size_t(extent)];
    if (found.dtype == dtype && (shape.empty() ? found.shape.size() == 1 : found.shape == shape))
      return extent;
  }
  throw Error(ExitCode::data,
              "the manifest's table asks for " + dataset + ", and its file does not have it so",
              record.name);
}

void ShardReader::read_rows(std::size_t table, std::size_t column, std::int64_t begin,
                            std::int64_t count, std::span<std::byte> data) const {
  const std::int64_t width = manifest_->tables[table].schema.columns[column].width;
  CHECK(columns_[table][column].offsets < 0, "a ragged column is read by offsets and values");
  file_.read(std::size_t(columns_[table][column].values), begin * width, count * width, data);
}

void ShardReader::read_offsets(std::size_t table, std::size_t column, std::int64_t begin,
                               std::span<std::int64_t> offsets) const {
  const Column& place = columns_[table][column];
  CHECK(place.offsets >= 0 && !offsets.empty());
  file_.read(std::size_t(place.offsets), begin, offsets);
  const ExtentRecord& values = file_.record().extents[std::size_t(place.values)];
  if (offsets.front() < 0 || offsets.back() > values.elements() ||
      !std::is_sorted(offsets.begin(), offsets.end()))
    throw Error(ExitCode::data,
                "the offsets of " + values.dataset + " do not ascend within its values, at row " +
                    std::to_string(begin),
                file_.record().name);
}

void ShardReader::read_values(std::size_t table, std::size_t column, std::int64_t begin,
                              std::int64_t count, std::span<std::byte> data) const {
  file_.read(std::size_t(columns_[table][column].values), begin, count, data);
}

}  // namespace tutti
