#include "runtime/data/json_node.h"

#include <cmath>
#include <limits>

#include "runtime/base/error.h"

namespace tutti {

JsonNode JsonNode::at(const std::string& name) const {
  if (!value_->is_object()) fail("expected an object");
  const auto it = value_->find(name);
  if (it == value_->end()) fail("\"" + name + "\" is missing");
  return {*it, place_ + (place_.ends_with(": ") ? "" : ".") + name};
}

bool JsonNode::has(const std::string& name) const {
  if (!value_->is_object()) fail("expected an object");
  const auto it = value_->find(name);
  return it != value_->end() && !it->is_null();
}

std::vector<JsonNode> JsonNode::items() const {
  if (!value_->is_array()) fail("expected an array");
  std::vector<JsonNode> items;
  for (std::size_t i = 0; i < value_->size(); ++i)
    items.emplace_back((*value_)[i], place_ + "[" + std::to_string(i) + "]");
  return items;
}

const std::string& JsonNode::text() const {
  if (!value_->is_string()) fail("expected a string");
  return value_->get_ref<const std::string&>();
}

bool JsonNode::boolean() const {
  if (!value_->is_boolean()) fail("expected true or false");
  return value_->get<bool>();
}

std::int64_t JsonNode::integer() const {
  const bool is_small =
      value_->is_number_unsigned() &&
      value_->get<std::uint64_t>() <= std::uint64_t(std::numeric_limits<std::int32_t>::max());
  if (!is_small) fail("expected a whole number from 0 to 2147483647");
  return value_->get<std::int64_t>();
}

double JsonNode::number() const {
  if (!value_->is_number()) fail("expected a number");
  const double number = value_->get<double>();
  if (!std::isfinite(number)) fail("expected a finite number");
  return number;
}

void JsonNode::fail(const std::string& problem, const std::string& remedy) const {
  throw Error(ExitCode::data, problem, place_, remedy);
}

void JsonNode::refuse(const std::string& what) const {
  fail(what + " is not supported", "use a tokenizer.json without it, or a SentencePiece model");
}

}  // namespace tutti
