// Filters over the metadata of vectors, in the manner of SQL's WHERE:
//
//   lang = 'en' and year >= 2020 and not (tags contains 'draft' or score is null)
//
// A test is COLUMN = != <> < <= > >= VALUE, COLUMN [not] in (VALUE, ...), COLUMN [not] between
// VALUE and VALUE, COLUMN is [not] null, or COLUMN [not] contains VALUE, the last for tags. `not`
// binds closer than `and`, `and` closer than `or`. Keywords may be in any case, names of columns
// may not; one that is a keyword, or has other characters than letters, digits and '_', stands in
// double quotes. Strings stand in single quotes, and a quote within is written twice. Strings
// compare by their bytes. A test of a value that is missing is neither true nor false, as in SQL:
// only `is null` finds it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/data/metadata_column.h"

namespace tutti {

struct FilterNode;

// Local; threads may share one.
class Filter {
 public:
  // Throws Error(data) that names the character, what stands there and what was expected, or the
  // nearest column to one that there is not. Strings are looked up among the columns' values once,
  // here; nothing of the arguments need outlive the filter.
  Filter(std::string_view text, std::span<const MetadataColumn> columns);
  ~Filter();
  Filter(Filter&&) noexcept;
  Filter& operator=(Filter&&) noexcept;

  // The numbers of the columns that it reads, ascending.
  const std::vector<std::size_t>& columns() const { return used_; }

  // Which of the rows the filter is true of: bit r % 64 of bits[r / 64] for row r. Bits behind the
  // last row are 0. `columns`: as many as the filter was made with, in that order; those that it
  // does not read may be empty, the others have `rows` rows. Of `bits` there are words_of(rows).
  void evaluate(std::span<const ColumnView> columns, std::int64_t rows,
                std::span<std::uint64_t> bits) const;

  static std::int64_t words_of(std::int64_t rows) { return (rows + 63) / 64; }

 private:
  std::unique_ptr<const FilterNode> root_;
  std::vector<std::size_t> used_;
};

// Rows that a filter takes.
std::int64_t count_bits(std::span<const std::uint64_t> bits);

}  // namespace tutti
