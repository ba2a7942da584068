#include "runtime/data/metadata_columns.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/data/paths.h"
#include "runtime/data/segments.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/file.h"

namespace tutti {

namespace {

using Columns = std::vector<MetadataColumn>;

// Those of each segment.
std::vector<Columns> load_segments(const std::filesystem::path& folder, const Manifest& manifest,
                                   std::span<const Segment> segments) {
  std::vector<Columns> loaded;
  for (const Segment& segment : segments) {
    loaded.emplace_back();
    if (segment.columns_file.empty()) continue;
    const std::filesystem::path file = folder / segment.columns_file;
    const FileRecord* record = manifest.find_file(segment.columns_file);
    if (!record)
      throw Error(ExitCode::data, "the manifest lists no such file of columns", file.string());
    ExtentReader(file, *record).verify_all();
    loaded.back() = columns_from_text(read_file(file), file.string());
  }
  return loaded;
}

Columns merge_columns(std::span<const Columns> segments, const std::filesystem::path& folder) {
  Columns all = segments[0];
  for (const Columns& other : segments.subspan(1)) {
    const std::string difference = column_difference(all, other);
    if (!difference.empty())
      throw Error(ExitCode::data, "segments have not the same metadata: " + difference,
                  folder.string(), "write the artefact again");
    for (std::size_t c = 0; c < all.size(); ++c) {
      std::vector<std::string> values;
      std::ranges::set_union(all[c].values, other[c].values, std::back_inserter(values));
      all[c].values = std::move(values);
    }
  }
  return all;
}

// "score is of type float, not integer", or "".
std::string difference_of(const MetadataColumn& a, const MetadataColumn& b) {
  if (a.name != b.name) return fmt::format("{} stands where {} should", b.name, a.name);
  if (a.type == b.type) return "";
  return fmt::format("{} is of type {}, not {}", b.name, name_of(b.type), name_of(a.type));
}

}  // namespace

std::string column_difference(std::span<const MetadataColumn> wanted,
                              std::span<const MetadataColumn> found) {
  for (std::size_t c = 0; c < std::min(wanted.size(), found.size()); ++c)
    if (const std::string difference = difference_of(wanted[c], found[c]); !difference.empty())
      return difference;
  if (wanted.size() > found.size()) return fmt::format("{} is missing", wanted[found.size()].name);
  if (found.size() > wanted.size())
    return fmt::format("{} is there besides", found[wanted.size()].name);
  return "";
}

std::vector<MetadataColumn> load_metadata_columns(const std::filesystem::path& folder,
                                                  const Manifest& manifest) {
  return merge_columns(load_segments(folder, manifest, segments_of(manifest)), folder);
}

MetadataColumns::MetadataColumns(const Dataset& dataset, std::string_view table)
    : dataset_(dataset), table_(table), rows_(dataset.rows(table)) {
  const std::vector<Segment> segments = segments_of(dataset.manifest());
  const std::vector<Columns> own = load_segments(dataset.folder(), dataset.manifest(), segments);
  columns_ = merge_columns(own, dataset.folder());
  for (std::size_t s = 0; s < segments.size(); ++s) {
    Part part{{parts_.empty() ? 0 : parts_.back().rows.end,
               s + 1 == segments.size() ? rows_
                                        : dataset.shard_rows(table, segments[s].shards.end).begin},
              own[s] == columns_,
              std::vector<std::vector<std::int32_t>>(columns_.size())};
    for (std::size_t c = 0; c < columns_.size(); ++c)
      for (const std::string& value : own[s][c].values)
        part.codes[c].push_back(columns_[c].code_of(value));
    parts_.push_back(std::move(part));
  }
  for (const MetadataColumn& column : columns_) {
    places_.push_back(dataset.column(table_, column.name));
    const ColumnSchema wanted = schema_of(column);
    if (places_.back().dtype != wanted.dtype || places_.back().kind != wanted.kind)
      throw Error(ExitCode::data,
                  fmt::format("the column {} is no {}, as {} has it", column.name,
                              name_of(column.type), kColumnsFile),
                  dataset.folder().string());
  }
  find_external_ids(*dataset.manifest().find_table(table));
}

void MetadataColumns::find_external_ids(const TableEntry& table) {
  const int id = table.schema.find(kExternalIdColumn);
  if (id < 0) return;
  const ColumnSchema& schema = table.schema.columns[std::size_t(id)];
  if (schema == ColumnSchema::scalar(kExternalIdColumn, DType::i64))
    id_type_ = ExternalIdType::integer;
  else if (schema == ColumnSchema::ragged(kExternalIdColumn, DType::u8))
    id_type_ = ExternalIdType::text;
  else
    throw Error(ExitCode::data, "external ids are neither integers nor strings",
                dataset_.folder().string());
}

ColumnValues MetadataColumns::read(std::size_t column, Range rows) const {
  const Dataset::Column& place = places_[column];
  const auto fixed = [&]<class T>(std::vector<T>& values) {
    values.resize(std::size_t(rows.size()));
    dataset_.read(place, rows.begin, rows.size(), std::span(values));
  };
  ColumnValues values;
  switch (columns_[column].type) {
    case MetadataType::integer:
      fixed(values.integers);
      break;
    case MetadataType::real:
      fixed(values.reals);
      break;
    case MetadataType::category:
      fixed(values.codes);
      break;
    case MetadataType::tags:
      dataset_.read_ragged(place, rows.begin, rows.size(), values.offsets, values.codes);
      break;
  }
  settle_codes(column, rows, values);
  return values;
}

// Makes them codes among all values. Evaluation looks codes up without asking, so none may be out
// of range.
void MetadataColumns::settle_codes(std::size_t column, Range rows, ColumnValues& values) const {
  if (!columns_[column].has_codes()) return;
  const auto place_of = [&](std::int64_t row) {
    const std::int64_t at = row - rows.begin;
    return values.offsets.empty() ? at : values.offsets[std::size_t(at)];
  };
  for (const Part& part : parts_) {
    const Range here{std::max(rows.begin, part.rows.begin), std::min(rows.end, part.rows.end)};
    if (here.size() <= 0) continue;
    const std::vector<std::int32_t>& codes = part.codes[column];
    const std::int64_t end = place_of(here.end);
    for (std::int64_t at = place_of(here.begin); at < end; ++at) {
      std::int32_t& code = values.codes[std::size_t(at)];
      if (code < kNullCode || code >= std::int32_t(codes.size())) {
        const std::int64_t row =
            values.offsets.empty()
                ? at
                : std::ranges::upper_bound(values.offsets, at) - values.offsets.begin() - 1;
        refuse_code(column, rows.begin + row, code, codes.size());
      }
      if (!part.as_stored && code >= 0) code = codes[std::size_t(code)];
    }
  }
}

void MetadataColumns::refuse_code(std::size_t column, std::int64_t row, std::int32_t code,
                                  std::size_t end) const {
  throw Error(ExitCode::data,
              fmt::format("the code {} of the column {} is none of its {} values", code,
                          columns_[column].name, end),
              fmt::format("{}, row {} of {}", dataset_.folder().string(), row, table_));
}

std::vector<ColumnValues> MetadataColumns::read(std::span<const std::size_t> wanted,
                                                Range rows) const {
  std::vector<ColumnValues> values(columns_.size());
  for (const std::size_t column : wanted) values[column] = read(column, rows);
  return values;
}

std::vector<IdKey> MetadataColumns::read_id_keys(Range rows) const {
  std::vector<IdKey> keys;
  if (id_type_ == ExternalIdType::integer) {
    std::vector<std::int64_t> integers(std::size_t(rows.size()));
    dataset_.read(dataset_.column(table_, kExternalIdColumn), rows.begin, rows.size(),
                  std::span(integers));
    for (const std::int64_t id : integers) keys.push_back(id_key(id));
  } else {
    for (const std::string& id : read_external_ids(rows)) keys.push_back(id_key(id));
  }
  return keys;
}

std::vector<std::string> MetadataColumns::read_external_ids(Range rows) const {
  CHECK(id_type_ != ExternalIdType::none);
  const Dataset::Column place = dataset_.column(table_, kExternalIdColumn);
  std::vector<std::string> ids;
  if (id_type_ == ExternalIdType::integer) {
    std::vector<std::int64_t> integers(std::size_t(rows.size()));
    dataset_.read(place, rows.begin, rows.size(), std::span(integers));
    for (const std::int64_t id : integers) ids.push_back(std::to_string(id));
    return ids;
  }
  std::vector<std::int64_t> offsets;
  std::vector<char> bytes;
  dataset_.read_ragged(place, rows.begin, rows.size(), offsets, bytes);
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    ids.emplace_back(bytes.data() + offsets[i], bytes.data() + offsets[i + 1]);
  return ids;
}

}  // namespace tutti
