// Integers in JSON from outside. nlohmann's get<std::int64_t>() also takes fractions, and floats of
// any size.
#pragma once

#include <cstdint>
#include <vector>

#include <nlohmann/json.hpp>

namespace tutti {

// Throws json::type_error where the value is no integer.
inline std::int64_t integer_of(const nlohmann::json& value) {
  return value.get_ref<const nlohmann::json::number_integer_t&>();
}

// Throws json::type_error where the value is no list of integers.
inline std::vector<std::int64_t> integers_of(const nlohmann::json& value) {
  std::vector<std::int64_t> integers;
  for (const nlohmann::json& element : value.get_ref<const nlohmann::json::array_t&>())
    integers.push_back(integer_of(element));
  return integers;
}

}  // namespace tutti
