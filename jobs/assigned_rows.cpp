#include "jobs/assigned_rows.h"

#include <algorithm>
#include <span>
#include <utility>

#include "runtime/data/paths.h"

namespace tutti {
namespace {

constexpr std::int32_t kUnknown = -2;
constexpr std::int64_t kMostFiles = 256;  // that a start leaves

}  // namespace

AssignedRows::AssignedRows(std::filesystem::path folder, std::string key, Range rows)
    : rows_(rows),
      lists_(std::size_t(rows.size()), kUnknown),
      kept_(std::move(folder), kAssignedFiles, std::move(key), rows.size() / kMostFiles) {
  kept_.each([&](Range pieces, std::string_view bytes) { take(pieces, bytes); });
  found_ = known_;
}

void AssignedRows::take(Range rows, std::string_view bytes) {
  const Range common{std::max(rows_.begin, rows.begin), std::min(rows_.end, rows.end)};
  std::vector<std::int32_t> lists(bytes.size() / sizeof(std::int32_t));
  if (std::ssize(lists) != rows.size()) return;
  std::ranges::copy(std::as_bytes(std::span(bytes)),
                    std::as_writable_bytes(std::span(lists)).begin());
  for (std::int64_t row = common.begin; row < common.end; ++row)
    set(row, lists[std::size_t(row - rows.begin)]);
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

bool AssignedRows::add(Range rows) {
  const auto* first = reinterpret_cast<const char*>(lists_.data() + (rows.begin - rows_.begin));
  return kept_.add(rows, {first, std::size_t(rows.size()) * sizeof(std::int32_t)});
}

}  // namespace tutti
