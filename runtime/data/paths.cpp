#include "runtime/data/paths.h"

#include <algorithm>
#include <charconv>

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

std::string range_file(std::string_view begin, Range pieces) {
  return fmt::format("{}-{:012}-{:012}", begin, pieces.begin, pieces.end);
}
std::optional<Range> range_of_file(std::string_view begin, std::string_view name) {
  if (!name.starts_with(begin) || name.size() == begin.size()) return std::nullopt;
  const char* const end = name.data() + name.size();
  const char* at = name.data() + begin.size();
  Range pieces;
  for (std::int64_t* number : {&pieces.begin, &pieces.end}) {
    if (at == end || *at != '-') return std::nullopt;
    const auto read = std::from_chars(at + 1, end, *number);
    if (read.ec != std::errc()) return std::nullopt;
    at = read.ptr;
  }
  if (at != end || pieces.begin < 0 || pieces.end < pieces.begin) return std::nullopt;
  return pieces;
}

bool is_leftover_file(std::string_view name) {
  return (name.starts_with(kShardStart) && name.ends_with(".spool")) || name.ends_with(".tmp");
}

}  // namespace tutti
