#include "jobs/list_merger.h"

#include <algorithm>
#include <numeric>

#include "jobs/list_builder.h"
#include "jobs/vector_column.h"
#include "runtime/data/metadata_sharder.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

constexpr std::int64_t kLargestPiece = std::int64_t(1) << 16;  // entries that are read at a time

}  // namespace

ListMerger::ListMerger(const IndexFolder& index, std::int64_t shards, std::int64_t memory_bytes)
    : index_(index),
      memory_bytes_(memory_bytes),
      piece_rows_(std::clamp<std::int64_t>(
          memory_bytes / 4 / (index.dim * std::int64_t(size_of(index.storage)) + 64), 1,
          kLargestPiece)),
      lists_(index),
      sizes_(lists_.sizes()),
      shard_lists_(balance_lists(sizes_, shards)),
      metadata_(index.dataset, "entries") {}

std::vector<TableSchema> ListMerger::tables() const {
  return index_tables(index_.storage, index_.dim,
                      metadata_schemas(metadata_.columns(), metadata_.external_ids()));
}

std::string ListMerger::columns_file() const {
  return index_.segments[0].columns_file.empty() ? "" : columns_text(metadata_.columns());
}

std::int64_t ListMerger::entries_of(std::int64_t shard) const {
  const Range lists = shard_lists_[std::size_t(shard)];
  return std::reduce(sizes_.begin() + lists.begin, sizes_.begin() + lists.end);
}

ShardWriter ListMerger::open_shard(const std::filesystem::path& folder, std::int64_t shard) const {
  const auto tables = this->tables();
  const bool ragged = std::ranges::any_of(
      tables[1].columns, [](const auto& column) { return column.kind == ColumnKind::ragged; });
  if (ragged) return ShardWriter(folder, shard, tables, memory_bytes_ / 2);
  return ShardWriter(folder, shard, tables,
                     {shard_lists_[std::size_t(shard)].size(), entries_of(shard)});
}

ShardRecord ListMerger::write_shard(const std::filesystem::path& folder, std::int64_t shard) const {
  const Range lists = shard_lists_[std::size_t(shard)];
  ShardWriter writer = open_shard(folder, shard);
  std::vector<std::int64_t> numbers, starts;
  std::int64_t start = 0;
  for (std::int64_t list = lists.begin; list < lists.end; ++list) {
    numbers.push_back(list);
    starts.push_back(start);
    start += sizes_[std::size_t(list)];
    lists_.for_each_piece(list, piece_rows_, [&](Range rows) { append_entries(rows, writer); });
  }
  writer.append<std::int64_t>(writer.column("lists", "list"), numbers);
  writer.append<std::int64_t>(writer.column("lists", "first_entry"), starts);
  writer.append<std::int64_t>(
      writer.column("lists", "entries"),
      std::span(sizes_).subspan(std::size_t(lists.begin), std::size_t(lists.size())));
  return writer.finish();
}

void ListMerger::append_entries(Range rows, ShardWriter& writer) const {
  VectorColumn vectors(index_.dataset, "entries");
  const std::span<const std::byte> stored = vectors.read(rows.begin, rows.size());
  const auto append_as = [&]<class T>(const T* values) {
    writer.append(writer.column("entries", "vector"), std::span(values, stored.size() / sizeof(T)));
  };
  if (index_.storage == DType::bf16)
    append_as(reinterpret_cast<const bf16*>(stored.data()));
  else
    append_as(reinterpret_cast<const float*>(stored.data()));
  writer.append(writer.column("entries", kIdColumn), vectors.read_ids(rows.begin, rows.size()));
  for (std::size_t c = 0; c < metadata_.columns().size(); ++c) {
    const MetadataColumn& column = metadata_.columns()[c];
    append_values(writer, writer.column("entries", column.name), column, metadata_.read(c, rows));
  }
  if (metadata_.external_ids() != ExternalIdType::none) append_external_ids(rows, writer);
}

void ListMerger::append_external_ids(Range rows, ShardWriter& writer) const {
  const std::size_t to = writer.column("entries", kExternalIdColumn);
  if (metadata_.external_ids() == ExternalIdType::text) {
    for (const std::string& id : metadata_.read_external_ids(rows))
      writer.append_ragged<char>(to, std::span(id));
    return;
  }
  std::vector<std::int64_t> ids(std::size_t(rows.size()));
  index_.dataset.read(index_.dataset.column("entries", kExternalIdColumn), rows.begin, rows.size(),
                      std::span(ids));
  writer.append<std::int64_t>(to, ids);
}

}  // namespace tutti
