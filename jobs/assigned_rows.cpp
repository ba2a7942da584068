#include "jobs/assigned_rows.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/data/paths.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int32_t kUnknown = -2;
constexpr std::size_t kDigestSize = 32;
constexpr std::int64_t kMostFiles = 256;  // that a start leaves
constexpr int kCheap = 25;                // times as long as keeping rows takes is spent on them

std::string sealed(const std::string& key, std::string_view lists) {
  return digest_of(key + std::string(lists)) + std::string(lists);
}

// What such a file holds, or "" where it is none of the key, or damaged.
std::string unsealed(const std::string& key, const std::string& bytes) {
  if (bytes.size() < kDigestSize) return "";
  const std::string lists = bytes.substr(kDigestSize);
  return bytes == sealed(key, lists) ? lists : "";
}

}  // namespace

AssignedRows::AssignedRows(std::filesystem::path folder, std::string key, Range rows)
    : folder_(std::move(folder)),
      key_(std::move(key)),
      rows_(rows),
      pending_{rows.begin, rows.begin},
      lists_(std::size_t(rows.size()), kUnknown) {
  std::error_code failure;
  std::filesystem::directory_iterator entries(folder_, failure);
  if (failure == std::errc::no_such_file_or_directory) return;
  if (failure) throw_file_error("list", folder_, failure.value());
  for (const auto& entry : entries) load(entry.path());
  found_ = known_;
}

void AssignedRows::load(const std::filesystem::path& file) {
  const std::optional<Range> named = rows_of_assigned_file(file.filename().string());
  if (!named) return;
  const Range common{std::max(rows_.begin, named->begin), std::min(rows_.end, named->end)};
  if (common.size() <= 0) return;
  const std::string bytes = unsealed(key_, read_file(file));
  std::vector<std::int32_t> lists(bytes.size() / sizeof(std::int32_t));
  if (std::int64_t(lists.size()) != named->size()) return;
  std::memcpy(lists.data(), bytes.data(), bytes.size());
  for (std::int64_t row = common.begin; row < common.end; ++row)
    set(row, lists[std::size_t(row - named->begin)]);
}

std::vector<std::int64_t> AssignedRows::unknown(Range rows) const {
  std::vector<std::int64_t> missing;
  for (std::int64_t row = rows.begin; row < rows.end; ++row)
    if (list_of(row) == kUnknown) missing.push_back(row);
  return missing;
}

void AssignedRows::set(std::int64_t row, std::int32_t list) {
  std::int32_t& its = lists_[std::size_t(row - rows_.begin)];
  known_ += its == kUnknown;
  its = list;
}

bool AssignedRows::is_worth_it() const {
  return Clock::now() - flushed_ >= kCheap * cost_ && pending_.size() >= rows_.size() / kMostFiles;
}

bool AssignedRows::add(Range rows) {
  if (pending_.end != rows.begin) {
    flush();
    pending_ = {rows.begin, rows.begin};
  }
  pending_.end = rows.end;
  if (!is_worth_it()) return false;
  flush();
  return true;
}

void AssignedRows::flush() {
  if (pending_.size() == 0) return;
  const auto start = Clock::now();
  const auto first = lists_.begin() + (pending_.begin - rows_.begin);
  const std::vector<std::int32_t> lists(first, first + pending_.size());
  CHECK(std::ranges::find(lists, kUnknown) == lists.end());
  std::string bytes(lists.size() * sizeof(std::int32_t), '\0');
  std::memcpy(bytes.data(), lists.data(), bytes.size());
  create_folders(folder_);
  atomic_replace(folder_ / assigned_file(pending_), sealed(key_, bytes));
  pending_.begin = pending_.end;
  flushed_ = Clock::now();
  cost_ = flushed_ - start;
}

}  // namespace tutti
