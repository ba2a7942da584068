#include "runtime/io/user_cache.h"

#include <cstdlib>
#include <exception>
#include <filesystem>

#include "runtime/io/digest.h"
#include "runtime/io/file.h"
#include "runtime/io/sealed_json.h"

namespace tutti {
namespace {

// An absolute path in an environment variable; nothing else counts.
std::filesystem::path path_in(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value == '/' ? value : "";
}

// Nothing where the user has no folder for it.
std::filesystem::path cache_folder() {
  if (const auto caches = path_in("XDG_CACHE_HOME"); !caches.empty()) return caches / "tutti";
  if (const auto home = path_in("HOME"); !home.empty()) return home / ".cache" / "tutti";
  return {};
}

std::filesystem::path file_of(const std::string& key) {
  return cache_folder() / (digest_of(key) + ".json");
}

}  // namespace

std::optional<nlohmann::json> read_user_cache(const std::string& key) try {
  if (cache_folder().empty()) return std::nullopt;
  const nlohmann::json kept = read_sealed_json(file_of(key));
  if (kept.at("key") != key) return std::nullopt;
  return kept.at("value");
} catch (const std::exception&) {
  return std::nullopt;
}

void write_user_cache(const std::string& key, const nlohmann::json& object) try {
  if (cache_folder().empty()) return;
  create_folders(cache_folder());
  write_sealed_json(file_of(key), {{"key", key}, {"value", object}});
} catch (const std::exception&) {
  return;  // it is but a cache
}

}  // namespace tutti
