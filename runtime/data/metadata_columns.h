// Reads the metadata of vectors out of an artefact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"
#include "runtime/data/id_key.h"
#include "runtime/data/manifest.h"
#include "runtime/data/metadata_column.h"
#include "runtime/data/metadata_record.h"

namespace tutti {

// The columns of metadata that an artefact has, from its columns.json, verified; none where there
// is no such file. Where segments have files of their own, all the values that one of them has.
// Local; throws Error(data), also where the files have not the same columns.
std::vector<MetadataColumn> load_metadata_columns(const std::filesystem::path& folder,
                                                  const Manifest& manifest);

// How found columns differ from those that are wanted, values apart ("score is of type float, not
// integer"), or "".
std::string column_difference(std::span<const MetadataColumn> wanted,
                              std::span<const MetadataColumn> found);

// Local; threads may share one. Throws Error(data) naming file and row where the disk does not hold
// what it should; errors of Dataset.
class MetadataColumns {
 public:
  // `table`: the one with a row a vector. The dataset must outlive this. Throws Error(data) where
  // the table has not the columns of columns.json, each with the type that it has there.
  explicit MetadataColumns(const Dataset& dataset, std::string_view table = "vectors");

  const std::vector<MetadataColumn>& columns() const { return columns_; }
  std::int64_t rows() const { return rows_; }

  // Global rows of one column. Codes are checked: each is one of the column's values, or null.
  ColumnValues read(std::size_t column, Range rows) const;
  // One a column, in their order; those that are not wanted stay empty. With views_of, this is what
  // Filter::evaluate takes of Filter::columns().
  std::vector<ColumnValues> read(std::span<const std::size_t> wanted, Range rows) const;

  // What a user calls the vectors by.
  ExternalIdType external_ids() const { return id_type_; }
  // Of rows; there must be external ids.
  std::vector<IdKey> read_id_keys(Range rows) const;
  // The same as texts; integers in decimal.
  std::vector<std::string> read_external_ids(Range rows) const;

 private:
  // Rows whose codes count among the values of one file of columns: by column, what each code is
  // among all values.
  struct Part {
    Range rows;
    bool as_stored = false;
    std::vector<std::vector<std::int32_t>> codes;
  };
  void find_external_ids(const TableEntry& table);
  void settle_codes(std::size_t column, Range rows, ColumnValues& values) const;
  [[noreturn]] void refuse_code(std::size_t column, std::int64_t row, std::int32_t code,
                                std::size_t end) const;

  const Dataset& dataset_;
  std::string table_;
  std::int64_t rows_ = 0;
  std::vector<MetadataColumn> columns_;
  std::vector<Dataset::Column> places_;  // of each
  std::vector<Part> parts_;
  ExternalIdType id_type_ = ExternalIdType::none;
};

}  // namespace tutti
