#include "runtime/checkpoint/store.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/io/file.h"
#include "runtime/io/sealed_json.h"

namespace tutti {
namespace {

constexpr std::string_view kPrefix = "generation-";
constexpr const char* kManifest = "manifest.json";
constexpr const char* kPin = "pinned";

// The number in "generation-00000042" or "generation-00000042.damaged"; `whole` tells the former
// from the latter.
std::optional<std::int64_t> number_of(const std::string& name, bool* whole) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::int64_t number = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, number);
  if (parsed.ec != std::errc()) return std::nullopt;
  *whole = parsed.ptr == end;
  return number;
}

template <class Visit>
void visit_generations(const std::filesystem::path& folder, Visit visit) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    bool whole = false;
    if (const auto number = number_of(entry.path().filename().string(), &whole))
      visit(*number, whole);
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw_file_error("list", folder, error.value());
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
  std::vector<std::int64_t> found;
  visit_generations(folder_, [&](std::int64_t number, bool whole) {
    if (whole && std::filesystem::exists(manifest_of(number))) found.push_back(number);
  });
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::int64_t CheckpointStore::next_generation() const {
  std::int64_t next = 0;
  visit_generations(folder_, [&](std::int64_t number, bool) { next = std::max(next, number + 1); });
  return next;
}

void CheckpointStore::remove_unfinished() const {
  std::vector<std::int64_t> unfinished;
  visit_generations(folder_, [&](std::int64_t number, bool whole) {
    if (whole && !std::filesystem::exists(manifest_of(number))) unfinished.push_back(number);
  });
  for (std::int64_t number : unfinished) remove_tree(generation_folder(number));
}

void CheckpointStore::set_aside(std::int64_t generation) const {
  const std::filesystem::path from = generation_folder(generation);
  std::error_code error;
  std::filesystem::rename(from, from.string() + ".damaged", error);
  if (error) throw_file_error("rename", from, error.value());
  sync_folder(folder_);
}

void CheckpointStore::remove(std::int64_t generation) const {
  remove_file(manifest_of(generation));
  sync_folder(generation_folder(generation));
  remove_tree(generation_folder(generation));
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

bool CheckpointStore::looks_whole(std::int64_t generation) const {
  const std::filesystem::path manifest = manifest_of(generation);
  try {
    const CheckpointManifest read =
        checkpoint_manifest_from_json(read_sealed_json(manifest), manifest.string());
    for (const CheckpointPart& part : read.parts) {
      const std::filesystem::path file = generation_folder(generation) / part.file.name;
      if (!all_parts_ && !std::filesystem::exists(file)) continue;
      if (File(file, FileMode::read).size() != part.file.bytes) return false;
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace tutti
