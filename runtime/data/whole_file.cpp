#include "runtime/data/whole_file.h"

#include <algorithm>
#include <vector>

#include "runtime/data/paths.h"
#include "runtime/data/shard_reader.h"
#include "runtime/io/extent_file.h"

namespace tutti {
namespace {

constexpr std::int64_t kRowsAtOnce = std::int64_t(1) << 18;

VirtualColumn virtual_column(const Manifest& manifest, const TableSchema& table,
                             const ColumnSchema& column) {
  VirtualColumn whole{column_dataset(table, column),
                      column.dtype,
                      column.kind == ColumnKind::vector ? column.width : 0,
                      {}};
  for (std::int64_t shard = 0; shard < manifest.shards(); ++shard) {
    const FileRecord& file = *manifest.find_file(shard_file(shard));
    const int extent = file.find(whole.dataset);
    const std::int64_t rows = file.extents.at(std::size_t(extent)).shape[0];
    whole.sources.push_back({file.name, whole.dataset, rows, rows});
  }
  return whole;
}

// Appends the offsets of one shard's rows, moved behind the values of the shards before it.
void append_offsets(ExtentWriter& writer, std::size_t extent, const ShardReader& shard,
                    std::size_t table, std::size_t column, std::int64_t* values_before) {
  std::int64_t last = 0;
  std::vector<std::int64_t> offsets;
  for (std::int64_t at = 0; at < shard.rows(table); at += kRowsAtOnce) {
    offsets.resize(std::size_t(std::min(kRowsAtOnce, shard.rows(table) - at)) + 1);
    shard.read_offsets(table, column, at, offsets);
    last = offsets.back();
    for (auto& offset : offsets) offset += *values_before;
    writer.append(extent, std::as_bytes(std::span(offsets)).subspan(sizeof(std::int64_t)));
  }
  *values_before += last;
}

}  // namespace

FileRecord write_whole_file(const std::filesystem::path& folder, const Manifest& manifest,
                            const std::string& name) {
  struct Ragged {
    std::size_t table, column;
    std::int64_t values = 0;  // of the shards so far
  };
  std::vector<VirtualColumn> whole;
  std::vector<ColumnSpec> own;
  std::vector<Ragged> ragged;
  for (std::size_t t = 0; t < manifest.tables.size(); ++t) {
    const auto& [schema, shard_rows] = manifest.tables[t];
    for (std::size_t c = 0; c < schema.columns.size(); ++c) {
      whole.push_back(virtual_column(manifest, schema, schema.columns[c]));
      if (schema.columns[c].kind != ColumnKind::ragged) continue;
      own.push_back({offsets_dataset(schema, schema.columns[c]),
                     DType::i64,
                     {manifest.tables[t].rows() + 1},
                     {}});
      ragged.push_back({t, c});
    }
  }
  ExtentWriter writer(folder / name, std::move(own), {}, std::move(whole));
  const std::int64_t zero = 0;
  for (std::size_t i = 0; i < ragged.size(); ++i)
    writer.append(i, std::as_bytes(std::span(&zero, 1)));
  for (std::int64_t s = 0; s < manifest.shards(); ++s) {
    const ShardReader shard(folder, manifest, s);
    for (std::size_t i = 0; i < ragged.size(); ++i)
      append_offsets(writer, i, shard, ragged[i].table, ragged[i].column, &ragged[i].values);
  }
  return writer.finish();
}

}  // namespace tutti
