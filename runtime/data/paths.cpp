#include "runtime/data/paths.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "runtime/base/check.h"

namespace tutti {
namespace {

constexpr std::string_view kShardStart = "shard-", kShardEnd = ".h5", kRecordEnd = ".json";
constexpr std::string_view kAssignedStart = "assigned-";
constexpr std::size_t kShardDigits = 5;

std::string numbered(std::int64_t index, std::string_view end) {
  CHECK(index >= 0 && index < kMaxShards);
  return fmt::format("{}{:05}{}", kShardStart, index, end);
}

bool is_numbered(std::string_view name, std::string_view end) {
  if (name.size() != kShardStart.size() + kShardDigits + end.size()) return false;
  const std::string_view digits = name.substr(kShardStart.size(), kShardDigits);
  return name.starts_with(kShardStart) && name.ends_with(end) &&
         std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string shard_file(std::int64_t index) { return numbered(index, kShardEnd); }
bool is_shard_file(std::string_view name) { return is_numbered(name, kShardEnd); }

std::string shard_record_file(std::int64_t index) { return numbered(index, kRecordEnd); }
bool is_shard_record_file(std::string_view name) { return is_numbered(name, kRecordEnd); }

std::string spool_file(std::int64_t shard, std::int64_t column) {
  return fmt::format("{}.{}.spool", shard_file(shard), column);
}

std::string batch_file(std::int64_t index) { return fmt::format("batch-{:08}.jsonl", index); }
bool is_batch_file(std::string_view name) {
  return name.starts_with("batch-") && name.ends_with(".jsonl");
}

std::string assigned_file(Range rows) {
  return fmt::format("{}{:012}-{:012}", kAssignedStart, rows.begin, rows.end);
}
std::optional<Range> rows_of_assigned_file(std::string_view name) {
  if (!name.starts_with(kAssignedStart)) return std::nullopt;
  name.remove_prefix(kAssignedStart.size());
  const char* const end = name.data() + name.size();
  Range rows;
  const auto first = std::from_chars(name.data(), end, rows.begin);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, rows.end);
  if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
  if (rows.begin < 0 || rows.end < rows.begin) return std::nullopt;
  return rows;
}

bool is_leftover_file(std::string_view name) {
  return (name.starts_with(kShardStart) && name.ends_with(".spool")) || name.ends_with(".tmp");
}

}  // namespace tutti
