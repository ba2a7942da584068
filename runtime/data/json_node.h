// A value of a JSON file that others wrote, with its place in it: whatever is not as expected is an
// Error that says where.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace tutti {

// Refers to the JSON and to its place, which must outlive it. Every function throws Error(data)
// where the value is of another type.
class JsonNode {
 public:
  JsonNode(const nlohmann::json& value, std::string place)
      : value_(&value), place_(std::move(place)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& place() const { return place_; }

  bool is_null() const { return value_->is_null(); }
  // The member `name`, which must be there.
  JsonNode at(const std::string& name) const;
  // Whether it is there and not null.
  bool has(const std::string& name) const;
  std::vector<JsonNode> items() const;

  const std::string& text() const;
  bool boolean() const;
  std::int64_t integer() const;  // 0 to 2^31 - 1
  double number() const;         // finite

  // Members that may be missing or null.
  bool boolean_or(const std::string& name, bool otherwise) const {
    return has(name) ? at(name).boolean() : otherwise;
  }
  std::int64_t integer_or(const std::string& name, std::int64_t otherwise) const {
    return has(name) ? at(name).integer() : otherwise;
  }
  double number_or(const std::string& name, double otherwise) const {
    return has(name) ? at(name).number() : otherwise;
  }
  std::string text_or(const std::string& name, const std::string& otherwise) const {
    return has(name) ? at(name).text() : otherwise;
  }

  [[noreturn]] void fail(const std::string& problem, const std::string& remedy = "") const;
  // For what is right, but more than we can do.
  [[noreturn]] void refuse(const std::string& what) const;

 private:
  const nlohmann::json* value_;
  std::string place_;
};

}  // namespace tutti
