#include "runtime/checkpoint/store.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "runtime/io/file.h"

namespace tutti {
namespace {

constexpr std::string_view kPrefix = "generation-";
constexpr const char* kManifest = "manifest.json";

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

void CheckpointStore::retain(std::int64_t keep) const {
  const std::vector<std::int64_t> all = committed();
  for (std::size_t i = std::size_t(std::max<std::int64_t>(keep, 1)); i < all.size(); ++i)
    remove(all[i]);
}

}  // namespace tutti
