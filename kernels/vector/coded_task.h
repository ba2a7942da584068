// How scans by codes are cut into tasks. Internal to kernels/vector.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/vector/coded_scan.h"

namespace tutti {

// A piece of a list's vectors for some of its queries.
struct CodedTask {
  const CodedList* list;
  std::span<const std::int32_t> queries;
  std::int64_t begin, end;  // vectors of the list; it begins with a whole group

  // Groups of codes.
  std::int64_t first_group() const { return list->first_group + begin / CodedVectors::kLanes; }
  std::int64_t end_group() const { return list->first_group + CodedVectors::groups_of(end); }
};

inline std::vector<CodedTask> cut_lists(std::span<const CodedList> lists) {
  constexpr std::int64_t kPiece = 4096;  // vectors of a task
  constexpr std::int64_t kChunk = 256;   // queries of a task
  std::vector<CodedTask> tasks;
  for (const CodedList& list : lists) {
    const auto queries = static_cast<std::int64_t>(list.queries.size());
    for (std::int64_t begin = 0; begin < list.vectors.count; begin += kPiece)
      for (std::int64_t from = 0; from < queries; from += kChunk)
        tasks.push_back(
            {&list,
             list.queries.subspan(static_cast<std::size_t>(from),
                                  static_cast<std::size_t>(std::min(kChunk, queries - from))),
             begin, std::min(begin + kPiece, list.vectors.count)});
  }
  return tasks;
}

}  // namespace tutti
