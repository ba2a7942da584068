// Small things worth keeping for the next run of this user: the folder tutti in $XDG_CACHE_HOME, or
// else in ~/.cache.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace tutti {

// The object that was kept under `key`; nothing where there is none, or where it cannot be read.
// Local; never throws.
std::optional<nlohmann::json> read_user_cache(const std::string& key);

// Keeps a JSON object under `key`. Local; where that fails, nothing is kept, and nothing is said.
void write_user_cache(const std::string& key, const nlohmann::json& object);

}  // namespace tutti
