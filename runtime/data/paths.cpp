#include "runtime/data/paths.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "runtime/base/check.h"

namespace tutti {
namespace {

constexpr std::size_t kDigits = 5;

// What stands around a number of five digits.
struct Pattern {
  std::string_view start, end;
};
constexpr Pattern kShard{"shard-", ".h5"}, kRecord{"shard-", ".json"}, kDeleted{"deleted-", ".h5"},
    kColumns{"columns-", ".json"}, kWhole{"dataset-", ".h5"};

std::string numbered(std::int64_t index, const Pattern& pattern) {
  CHECK(index >= 0 && index < kMaxShards);
  return fmt::format("{}{:05}{}", pattern.start, index, pattern.end);
}

bool is_numbered(std::string_view name, const Pattern& pattern) {
  if (name.size() != pattern.start.size() + kDigits + pattern.end.size()) return false;
  const std::string_view digits = name.substr(pattern.start.size(), kDigits);
  return name.starts_with(pattern.start) && name.ends_with(pattern.end) &&
         std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string shard_file(std::int64_t index) { return numbered(index, kShard); }
bool is_shard_file(std::string_view name) { return is_numbered(name, kShard); }

std::string deleted_file(std::int64_t number) { return numbered(number, kDeleted); }
bool is_deleted_file(std::string_view name) { return is_numbered(name, kDeleted); }

std::string changed_columns_file(std::int64_t number) { return numbered(number, kColumns); }
std::string changed_whole_file(std::int64_t number) { return numbered(number, kWhole); }
bool is_whole_file(std::string_view name) {
  return name == kWholeFile || is_numbered(name, kWhole);
}

bool is_change_file(std::string_view name) {
  return is_deleted_file(name) || is_numbered(name, kColumns) || is_numbered(name, kWhole);
}

std::string shard_record_file(std::int64_t index) { return numbered(index, kRecord); }
bool is_shard_record_file(std::string_view name) { return is_numbered(name, kRecord); }

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
  return (name.starts_with(kShard.start) && name.ends_with(".spool")) || name.ends_with(".tmp");
}

}  // namespace tutti
