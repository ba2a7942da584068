#include "runtime/checkpoint/store.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "runtime/io/sealed_json.h"

namespace tutti {
namespace {

constexpr std::string_view kPrefix = "generation-";
constexpr const char* kManifest = "manifest.json";
constexpr const char* kPin = "pinned";
constexpr const char* kDamaged = ".damaged";

// The number in "generation-00000042" or "generation-00000042.damaged", and what follows it.
std::optional<std::int64_t> number_of(const std::string& name, std::string_view* rest) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::int64_t number = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, number);
  if (parsed.ec != std::errc()) return std::nullopt;
  *rest = {parsed.ptr, std::size_t(end - parsed.ptr)};
  return number;
}

template <class Visit>
void visit_generations(const std::filesystem::path& folder, Visit visit) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    std::string_view rest;
    if (const auto number = number_of(name, &rest)) visit(*number, rest);
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw_file_error("list", folder, error.value());
}

// Those that `is_meant` takes, newest first.
template <class Predicate>
std::vector<std::int64_t> find_generations(const std::filesystem::path& folder,
                                           Predicate is_meant) {
  std::vector<std::int64_t> found;
  visit_generations(folder, [&](std::int64_t number, std::string_view rest) {
    if (is_meant(number, rest)) found.push_back(number);
  });
  std::sort(found.rbegin(), found.rend());
  return found;
}

void remove_tree(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (error) throw_file_error("remove", folder, error.value());
}

}  // namespace

std::filesystem::path CheckpointStore::generation_folder(std::int64_t generation) const {
  return folder_ / fmt::format("{}{:08}", kPrefix, generation);
}

std::filesystem::path CheckpointStore::manifest_of(std::int64_t generation) const {
  return generation_folder(generation) / kManifest;
}

std::string CheckpointStore::part_name(int rank) { return fmt::format("part-{:05}.h5", rank); }

std::vector<std::int64_t> CheckpointStore::committed() const {
  return find_generations(folder_, [&](std::int64_t number, std::string_view rest) {
    return rest.empty() && std::filesystem::exists(manifest_of(number));
  });
}

std::vector<std::int64_t> CheckpointStore::unfinished() const {
  return find_generations(folder_, [&](std::int64_t number, std::string_view rest) {
    return rest.empty() && !std::filesystem::exists(manifest_of(number));
  });
}

std::vector<std::int64_t> CheckpointStore::damaged() const {
  return find_generations(folder_,
                          [](std::int64_t, std::string_view rest) { return rest == kDamaged; });
}

std::filesystem::path CheckpointStore::damaged_folder(std::int64_t generation) const {
  return generation_folder(generation).string() + kDamaged;
}

std::int64_t CheckpointStore::next_generation() const {
  std::int64_t next = 0;
  visit_generations(
      folder_, [&](std::int64_t number, std::string_view) { next = std::max(next, number + 1); });
  return next;
}

void CheckpointStore::remove_unfinished() const {
  for (const std::int64_t number : unfinished()) remove_tree(generation_folder(number));
}

void CheckpointStore::set_aside(std::int64_t generation) const {
  const std::filesystem::path from = generation_folder(generation);
  std::error_code error;
  std::filesystem::rename(from, damaged_folder(generation), error);
  if (error) throw_file_error("rename", from, error.value());
  sync_folder(folder_);
}

void CheckpointStore::remove(std::int64_t generation) const {
  remove_file(manifest_of(generation));
  sync_folder(generation_folder(generation));
  remove_tree(generation_folder(generation));
}

void CheckpointStore::remove_damaged(std::int64_t generation) const {
  remove_tree(damaged_folder(generation));
}

void CheckpointStore::retain(const Retention& retention) const {
  std::int64_t whole = 0;
  for (const std::int64_t generation : committed()) {
    if (whole < std::max<std::int64_t>(retention.keep, 1)) {
      whole += looks_whole(generation);
      continue;
    }
    if (retention.keep_every > 0 && generation % retention.keep_every == 0) continue;
    if (is_young(generation, retention.keep_seconds) || is_pinned(generation)) continue;
    remove(generation);
  }
}

bool CheckpointStore::is_young(std::int64_t generation, double seconds) const {
  if (seconds <= 0) return false;
  std::error_code error;
  const auto written = std::filesystem::last_write_time(manifest_of(generation), error);
  if (error) return false;
  const auto age = std::filesystem::file_time_type::clock::now() - written;
  return std::chrono::duration<double>(age).count() <= seconds;
}

bool CheckpointStore::is_pinned(std::int64_t generation) const {
  return std::filesystem::exists(generation_folder(generation) / kPin);
}

void CheckpointStore::pin(std::int64_t generation) const {
  atomic_replace(generation_folder(generation) / kPin, "");
}

void CheckpointStore::unpin(std::int64_t generation) const {
  remove_file(generation_folder(generation) / kPin);
  sync_folder(generation_folder(generation));
}

CheckpointManifest CheckpointStore::read_manifest(std::int64_t generation) const {
  const std::filesystem::path file = manifest_of(generation);
  return checkpoint_manifest_from_json(read_sealed_json(file), generation, file.string());
}

CheckpointManifest CheckpointStore::read_complete(std::int64_t generation) const {
  CheckpointManifest manifest = read_manifest(generation);
  for (const CheckpointPart& part : manifest.parts) {
    const std::filesystem::path file = generation_folder(generation) / part.file.name;
    if (!all_parts_ && !std::filesystem::exists(file)) continue;
    if (const std::int64_t bytes = File(file, FileMode::read).size(); bytes != part.file.bytes)
      throw Error(ExitCode::data,
                  fmt::format("it has {} bytes instead of {}", bytes, part.file.bytes),
                  file.string());
  }
  return manifest;
}

bool CheckpointStore::looks_whole(std::int64_t generation) const {
  try {
    (void)read_complete(generation);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace tutti
