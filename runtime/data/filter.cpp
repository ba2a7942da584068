#include "runtime/data/filter.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include <fmt/format.h>

#include "runtime/base/nearest_name.h"
#include "runtime/data/filter_comparison.h"
#include "runtime/data/filter_tokens.h"
#include "runtime/data/filter_tree.h"

namespace tutti {
namespace {

using Kind = FilterToken::Kind;

// Parentheses and nots within each other: bounds the stack, here and in the evaluation.
constexpr int kMostDepth = 100;
constexpr std::array<std::string_view, 8> kKeywords = {"and",     "or", "not",  "in",
                                                       "between", "is", "null", "contains"};

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return text;
}

// Recursive descent, a function a rule.
class Parser {
 public:
  Parser(std::string_view filter, std::span<const MetadataColumn> columns)
      : filter_(filter), columns_(columns), tokens_(filter_tokens(filter)) {}

  FilterNode parse() {
    FilterNode root = disjunction();
    if (here().kind != Kind::end) expected("'and', 'or' or the end");
    return root;
  }
  std::vector<std::size_t> used() const { return {used_.begin(), used_.end()}; }

 private:
  FilterNode disjunction() {
    std::vector<FilterNode> parts;
    do parts.push_back(conjunction());
    while (take_keyword("or"));
    return parts.size() == 1 ? std::move(parts[0]) : FilterNode{AnyOf{std::move(parts)}};
  }

  FilterNode conjunction() {
    std::vector<FilterNode> parts;
    do parts.push_back(factor());
    while (take_keyword("and"));
    return parts.size() == 1 ? std::move(parts[0]) : FilterNode{AllOf{std::move(parts)}};
  }

  FilterNode factor() {
    if (++depth_ > kMostDepth)
      throw filter_error(
          filter_, here().at,
          fmt::format("more than {} parentheses and 'not' within each other", kMostDepth));
    FilterNode node = take_keyword("not") ? negated(factor())
                      : take_symbol("(")  ? parenthesis()
                                          : test();
    --depth_;
    return node;
  }

  FilterNode parenthesis() {
    FilterNode inside = disjunction();
    if (!take_symbol(")")) expected("'and', 'or' or ')'");
    return inside;
  }

  FilterNode test() {
    const FilterColumn column = take_column();
    if (take_keyword("is")) return null_test(column);
    const bool negative = take_keyword("not");
    FilterNode node = take_keyword("in")         ? list_test(column)
                      : take_keyword("between")  ? range_test(column)
                      : take_keyword("contains") ? tag_test(column)
                      : negative                 ? expected("'in', 'between' or 'contains'")
                                                 : comparison(column);
    return negative ? negated(std::move(node)) : std::move(node);
  }

  FilterNode null_test(FilterColumn column) {
    const bool negative = take_keyword("not");
    if (!take_keyword("null")) expected(negative ? "'null'" : "'null' or 'not null'");
    FilterNode node{IsNull{column.index}};
    return negative ? negated(std::move(node)) : std::move(node);
  }

  FilterNode list_test(FilterColumn column) {
    const FilterToken& op = last();
    if (!take_symbol("(")) expected("'('");
    std::vector<FilterToken> values;
    do values.push_back(take_value());
    while (take_symbol(","));
    if (!take_symbol(")")) expected("',' or ')'");
    return is_one_of(filter_, column, op, values);
  }

  FilterNode range_test(FilterColumn column) {
    const FilterToken& op = last();
    const FilterToken low = take_value();
    if (!take_keyword("and")) expected("'and' and the upper end");
    return is_between(filter_, column, op, low, take_value());
  }

  FilterNode tag_test(FilterColumn column) {
    const FilterToken& op = last();
    return contains(filter_, column, op, take_value());
  }

  FilterNode comparison(FilterColumn column) {
    constexpr std::array<std::string_view, 7> kOps = {"=", "!=", "<>", "<", "<=", ">", ">="};
    const FilterToken& op = here();
    if (op.kind != Kind::symbol || std::ranges::find(kOps, op.text) == kOps.end())
      return expected("a comparison, 'in', 'between', 'contains' or 'is null'");
    ++next_;
    return compare(filter_, column, op, take_value());
  }

  static FilterNode negated(FilterNode node) { return {Negation{{std::move(node)}}}; }

  const FilterToken& here() const { return tokens_[next_]; }
  const FilterToken& last() const { return tokens_[next_ - 1]; }

  // A name that is a keyword in any case, in lower case; otherwise "".
  static std::string keyword(const FilterToken& token) {
    const std::string name = token.kind == Kind::name ? lower_case(token.text) : "";
    return std::ranges::find(kKeywords, name) != kKeywords.end() ? name : "";
  }
  bool take_keyword(std::string_view wanted) {
    if (keyword(here()) != wanted) return false;
    ++next_;
    return true;
  }
  bool take_symbol(std::string_view wanted) {
    if (here().kind != Kind::symbol || here().text != wanted) return false;
    ++next_;
    return true;
  }

  FilterToken take_value() {
    if (here().kind == Kind::text || here().kind == Kind::number) return tokens_[next_++];
    const bool is_null = keyword(here()) == "null";
    expected("a number, or a string in single quotes",
             is_null ? "nothing equals null: write 'is null' or 'is not null'" : "");
  }

  FilterColumn take_column() {
    const FilterToken& token = here();
    if ((token.kind != Kind::name && token.kind != Kind::quoted_name) || !keyword(token).empty())
      expected("a column's name",
               keyword(token).empty() ? "" : "quote a column of that name: \"" + token.text + "\"");
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].name != token.text) continue;
      used_.insert(i);
      ++next_;
      return {i, &columns_[i]};
    }
    std::vector<std::string> names;
    for (const MetadataColumn& column : columns_) names.push_back(column.name);
    throw filter_error(filter_, token.at, "there is no column '" + token.text + "'",
                       names.empty()
                           ? "the vectors have no metadata; see metadata.columns of tutti shard"
                           : "the nearest is '" + nearest_name(token.text, names) + "'");
  }

  [[noreturn]] FilterNode expected(const std::string& what, std::string remedy = "") const {
    throw filter_error(filter_, here().at, "found " + described(here()) + "; expected " + what,
                       std::move(remedy));
  }

  std::string_view filter_;
  std::span<const MetadataColumn> columns_;
  std::vector<FilterToken> tokens_;
  std::size_t next_ = 0;
  int depth_ = 0;
  std::set<std::size_t> used_;
};

}  // namespace

Filter::Filter(std::string_view text, std::span<const MetadataColumn> columns) {
  Parser parser(text, columns);
  root_ = std::make_unique<const FilterNode>(parser.parse());
  used_ = parser.used();
}

Filter::~Filter() = default;
Filter::Filter(Filter&&) noexcept = default;
Filter& Filter::operator=(Filter&&) noexcept = default;

}  // namespace tutti
