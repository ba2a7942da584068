#include "runtime/data/metadata_sharder.h"

#include <algorithm>

namespace tutti {

std::vector<ColumnSchema> metadata_schemas(std::span<const MetadataColumn> columns,
                                           ExternalIdType id) {
  std::vector<ColumnSchema> schemas;
  for (const MetadataColumn& column : columns) schemas.push_back(schema_of(column));
  if (id == ExternalIdType::integer)
    schemas.push_back(ColumnSchema::scalar(kExternalIdColumn, DType::i64));
  if (id == ExternalIdType::text)
    schemas.push_back(ColumnSchema::ragged(kExternalIdColumn, DType::u8));
  return schemas;
}

void append_values(ShardWriter& writer, std::size_t to, const MetadataColumn& column,
                   const ColumnValues& values) {
  switch (column.type) {
    case MetadataType::integer:
      return writer.append<std::int64_t>(to, values.integers);
    case MetadataType::real:
      return writer.append<double>(to, values.reals);
    case MetadataType::category:
      return writer.append<std::int32_t>(to, values.codes);
    case MetadataType::tags:
      break;
  }
  for (std::size_t row = 0; row + 1 < values.offsets.size(); ++row) {
    const std::int64_t begin = values.offsets[row], end = values.offsets[row + 1];
    writer.append_ragged<std::int32_t>(
        to, std::span(values.codes).subspan(std::size_t(begin), std::size_t(end - begin)));
  }
}

MetadataSharder::MetadataSharder(const MetadataInput& input, std::int64_t first)
    : input_(input), reader_(input, first), values_(input.columns().size()) {}

void MetadataSharder::clear() {
  for (std::size_t i = 0; i < values_.size(); ++i) {
    values_[i] = {};
    if (input_.columns()[i].type == MetadataType::tags) values_[i].offsets = {0};
  }
  ids_.clear();
  id_texts_.clear();
}

void MetadataSharder::read(Range rows, std::span<const std::int64_t> kept) {
  clear();
  std::size_t next = 0;
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    if (next == kept.size() || kept[next] != row) {
      reader_.skip();
      continue;
    }
    take(reader_.next());
    ++next;
  }
}

void MetadataSharder::take(const MetadataRecord& record) {
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const MetadataValue& value = record.values[i];
    switch (input_.columns()[i].type) {
      case MetadataType::integer:
        values_[i].integers.push_back(value.is_null ? kNullInteger : value.integer);
        break;
      case MetadataType::real:
        values_[i].reals.push_back(value.is_null ? kNullReal : value.real);
        break;
      case MetadataType::category:
        values_[i].codes.push_back(value.is_null ? kNullCode
                                                 : reader_.code_of(i, value.strings.front()));
        break;
      case MetadataType::tags:
        take_tags(i, value);
        break;
    }
  }
  if (input_.fields().id_type == ExternalIdType::integer) ids_.push_back(record.id);
  if (input_.fields().id_type == ExternalIdType::text) id_texts_.push_back(record.id_text);
}

void MetadataSharder::take_tags(std::size_t column, const MetadataValue& value) {
  std::vector<std::int32_t> codes;
  if (value.is_null) codes.push_back(kNullCode);
  for (const std::string& tag : value.strings) codes.push_back(reader_.code_of(column, tag));
  std::ranges::sort(codes);
  const auto end = std::unique(codes.begin(), codes.end());
  auto& all = values_[column].codes;
  all.insert(all.end(), codes.begin(), end);
  values_[column].offsets.push_back(std::int64_t(all.size()));
}

void MetadataSharder::write(ShardWriter& writer) const {
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const MetadataColumn& column = input_.columns()[i];
    append_values(writer, writer.column("vectors", column.name), column, values_[i]);
  }
  write_ids(writer);
}

void MetadataSharder::write_ids(ShardWriter& writer) const {
  if (input_.fields().id_type == ExternalIdType::none) return;
  const std::size_t to = writer.column("vectors", kExternalIdColumn);
  if (input_.fields().id_type == ExternalIdType::integer)
    return writer.append<std::int64_t>(to, ids_);
  for (const std::string& id : id_texts_) writer.append_ragged<char>(to, std::span(id));
}

}  // namespace tutti
