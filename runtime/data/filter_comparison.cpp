#include "runtime/data/filter_comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "runtime/base/check.h"

namespace tutti {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Integers that are not null.
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max(), kLeast = -kMost;

bool is_text(const FilterToken& token) { return token.kind == FilterToken::Kind::text; }

// The least integer that is at least `number`, or, with `strict`, above it.
std::optional<std::int64_t> least_from(const FilterNumber& number, bool strict) {
  std::int64_t least = number.integer;
  if (!number.whole) {
    const double edge = strict ? std::floor(number.real) : std::ceil(number.real);
    if (edge >= 0x1p63) return std::nullopt;
    if (edge <= -0x1p63) return kLeast;
    least = std::int64_t(edge);
  }
  if (!strict) return least;
  return least == kMost ? std::nullopt : std::optional(least + 1);
}

// The largest that is at most, or below it.
std::optional<std::int64_t> largest_to(const FilterNumber& number, bool strict) {
  const auto least = least_from({number.whole, -number.integer, -number.real}, strict);
  return least ? std::optional(-*least) : std::nullopt;
}

FilterNode integers_within(std::size_t column, std::optional<std::int64_t> low,
                           std::optional<std::int64_t> high) {
  if (!low || !high) return {Within<std::int64_t>{column, kMost, kLeast}};
  return {Within<std::int64_t>{column, *low, *high}};
}

// op: = < <= > >=.
FilterNode compare_integer(std::size_t column, const std::string& op, const FilterNumber& number) {
  if (op == "=")
    return integers_within(column, least_from(number, false), largest_to(number, false));
  if (op[0] == '<') return integers_within(column, kLeast, largest_to(number, op == "<"));
  return integers_within(column, least_from(number, op == ">"), kMost);
}

FilterNode compare_real(std::size_t column, const std::string& op, double number) {
  if (op == "=") return {Within<double>{column, number, number}};
  if (op == "<=") return {Within<double>{column, -kInfinity, number}};
  if (op == ">=") return {Within<double>{column, number, kInfinity}};
  if (op == "<") return {Within<double>{column, -kInfinity, std::nextafter(number, -kInfinity)}};
  return {Within<double>{column, std::nextafter(number, kInfinity), kInfinity}};
}

template <class Test>
FilterNode table_of(FilterColumn column, Test&& test) {
  CodeTable table{column.index, {kFilterUnknown}};
  for (const std::string& value : column.column->values)
    table.truth.push_back(test(value) ? kFilterTrue : kFilterFalse);
  return {std::move(table)};
}

FilterNode compare_category(FilterColumn column, const std::string& op, const std::string& text) {
  return table_of(column, [&](const std::string& value) {
    const int order = value.compare(text);
    if (op == "=") return order == 0;
    if (op == "<") return order < 0;
    if (op == "<=") return order <= 0;
    return op == ">" ? order > 0 : order >= 0;
  });
}

// Whether values go with a column that holds numbers or strings.
void check_type(std::string_view filter, FilterColumn column, const FilterToken& op,
                std::span<const FilterToken> values) {
  const MetadataColumn& c = *column.column;
  if (c.type == MetadataType::tags)
    throw filter_error(
        filter, op.at,
        fmt::format("{} does not go with the column '{}', which has tags", described(op), c.name),
        fmt::format("write: {} contains 'TAG'", c.name));
  for (const FilterToken& value : values)
    if (is_text(value) != (c.type == MetadataType::category))
      throw filter_error(
          filter, value.at,
          fmt::format("{} does not go with the column '{}', which is {} {}", described(value),
                      c.name, c.type == MetadataType::integer ? "an" : "a", name_of(c.type)),
          is_text(value) ? "write a number, without quotes" : "write a string in single quotes");
}

template <class T>
FilterNode one_of(std::size_t column, std::vector<T> values) {
  std::ranges::sort(values);
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return {OneOf<T>{column, std::move(values)}};
}

}  // namespace

FilterNode compare(std::string_view filter, FilterColumn column, const FilterToken& op,
                   const FilterToken& value) {
  check_type(filter, column, op, {&value, 1});
  if (op.text == "!=" || op.text == "<>") {
    FilterToken equal = op;
    equal.text = "=";
    return {Negation{{compare(filter, column, equal, value)}}};
  }
  if (column.column->type == MetadataType::category)
    return compare_category(column, op.text, value.text);
  if (column.column->type == MetadataType::real)
    return compare_real(column.index, op.text, value.number.real);
  return compare_integer(column.index, op.text, value.number);
}

FilterNode is_between(std::string_view filter, FilterColumn column, const FilterToken& op,
                      const FilterToken& low, const FilterToken& high) {
  check_type(filter, column, op, std::array{low, high});
  FilterToken from = op, to = op;
  from.text = ">=";
  to.text = "<=";
  return {AllOf{{compare(filter, column, from, low), compare(filter, column, to, high)}}};
}

FilterNode is_one_of(std::string_view filter, FilterColumn column, const FilterToken& op,
                     std::span<const FilterToken> values) {
  check_type(filter, column, op, values);
  if (column.column->type == MetadataType::category) {
    std::vector<std::string> wanted;
    for (const FilterToken& value : values) wanted.push_back(value.text);
    std::ranges::sort(wanted);
    return table_of(column, [&](const std::string& value) {
      return std::ranges::binary_search(wanted, value);
    });
  }
  if (column.column->type == MetadataType::real) {
    std::vector<double> wanted;
    for (const FilterToken& value : values) wanted.push_back(value.number.real);
    return one_of(column.index, std::move(wanted));
  }
  std::vector<std::int64_t> wanted;  // without what is no integer, which none equals
  for (const FilterToken& value : values) {
    const auto low = least_from(value.number, false), high = largest_to(value.number, false);
    if (low && low == high) wanted.push_back(*low);
  }
  return one_of(column.index, std::move(wanted));
}

FilterNode contains(std::string_view filter, FilterColumn column, const FilterToken& op,
                    const FilterToken& value) {
  if (column.column->type != MetadataType::tags)
    throw filter_error(
        filter, op.at,
        fmt::format("'contains' does not go with the column '{}', which is {} {}",
                    column.column->name, column.column->type == MetadataType::integer ? "an" : "a",
                    name_of(column.column->type)),
        "it looks for one of a row's tags");
  if (!is_text(value))
    throw filter_error(filter, value.at, described(value) + " is no tag",
                       "write a string in single quotes");
  return {HasTag{column.index, column.column->code_of(value.text)}};
}

}  // namespace tutti
