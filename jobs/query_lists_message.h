// Queries' lists as bytes, for the ranks of one start.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "jobs/found_neighbor.h"

namespace tutti {

// Their number, how many each has, and all of them.
template <class T>
std::vector<std::byte> message_of(const QueryLists<T>& lists) {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::int64_t queries = lists.queries();
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(&queries, 1)),
                                              std::as_bytes(std::span(lists.offsets)),
                                              std::as_bytes(std::span(lists.neighbors))};
  std::vector<std::byte> message(parts[0].size() + parts[1].size() + parts[2].size());
  auto to = message.begin();
  for (const auto part : parts) to = std::ranges::copy(part, to).out;
  return message;
}

// An empty message is no queries.
template <class T>
QueryLists<T> lists_in(std::span<const std::byte> message) {
  QueryLists<T> lists;
  if (message.empty()) return lists;
  const auto take = [&](std::span<std::byte> to) {
    std::ranges::copy(message.first(to.size()), to.begin());
    message = message.subspan(to.size());
  };
  std::int64_t queries = 0;
  take(std::as_writable_bytes(std::span(&queries, 1)));
  lists.offsets.resize(std::size_t(queries) + 1);
  take(std::as_writable_bytes(std::span(lists.offsets)));
  lists.neighbors.resize(message.size() / sizeof(T));
  take(std::as_writable_bytes(std::span(lists.neighbors)));
  return lists;
}

}  // namespace tutti
