// What a comparison of a filter asks of the column that it names.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/filter_tokens.h"
#include "runtime/data/filter_tree.h"
#include "runtime/data/metadata_column.h"

namespace tutti {

// A column of metadata and its number.
struct FilterColumn {
  std::size_t index;
  const MetadataColumn* column;
};

// `column op value` for an op of = != <> < <= > >=. Categories compare by their bytes. Values are
// tokens of a text or a number. Throws the Error of filter_error where the column's type does not
// go with op or value; `filter` is for that alone, `at` the byte of the op.
FilterNode compare(std::string_view filter, FilterColumn column, const FilterToken& op,
                   const FilterToken& value);
// From `low` to `high`, both included.
FilterNode is_between(std::string_view filter, FilterColumn column, const FilterToken& op,
                      const FilterToken& low, const FilterToken& high);
// The column's value is one of these, at least one.
FilterNode is_one_of(std::string_view filter, FilterColumn column, const FilterToken& op,
                     std::span<const FilterToken> values);
// The column's tags have this one.
FilterNode contains(std::string_view filter, FilterColumn column, const FilterToken& op,
                    const FilterToken& value);

}  // namespace tutti
