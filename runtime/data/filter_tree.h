// A filter as a tree of tests, between its parser and its evaluation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

namespace tutti {

struct FilterNode;

// At least one part each.
struct AllOf {
  std::vector<FilterNode> parts;
};
struct AnyOf {
  std::vector<FilterNode> parts;
};
struct Negation {
  std::vector<FilterNode> part;  // one
};
struct IsNull {
  std::size_t column;
};
// A number from `low` to `high`, both included; none where low > high. Never kNullInteger.
template <class T>
struct Within {
  std::size_t column;
  T low, high;
};
// One of some numbers, which ascend.
template <class T>
struct OneOf {
  std::size_t column;
  std::vector<T> values;
};
// A category whose test has been made for each of its values.
struct CodeTable {
  std::size_t column;
  std::vector<std::uint8_t> truth;  // by code + 1, as kFilterFalse and so on; of null first
};
struct HasTag {
  std::size_t column;
  std::int32_t code;
};

struct FilterNode {
  std::variant<AllOf, AnyOf, Negation, IsNull, Within<std::int64_t>, Within<double>,
               OneOf<std::int64_t>, OneOf<double>, CodeTable, HasTag>
      test;
};

// What a test says of a row. In this order `and` is the minimum, `or` the maximum, and `not` turns
// it round.
inline constexpr std::uint8_t kFilterFalse = 0, kFilterUnknown = 1, kFilterTrue = 2;

}  // namespace tutti
