#include "runtime/data/paths.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/base/check.h"

namespace tutti {
namespace {

constexpr std::string_view kShardStart = "shard-", kShardEnd = ".h5", kRecordEnd = ".json";
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

std::string pair_batch_file(std::int64_t index) { return fmt::format("pairs-{:08}.bin", index); }
bool is_pair_batch_file(std::string_view name) {
  return name.starts_with("pairs-") && name.ends_with(".bin");
}

bool is_leftover_file(std::string_view name) {
  return (name.starts_with(kShardStart) && name.ends_with(".spool")) || name.ends_with(".tmp");
}

}  // namespace tutti
