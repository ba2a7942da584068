#include "jobs/duplicate_groups.h"

#include <algorithm>
#include <numeric>

namespace tutti {

std::int64_t GroupFinder::element_of(std::int64_t id) {
  std::int64_t& element = elements_[std::uint64_t(id)];
  if (element == 0) {
    ids_.push_back(id);
    element = sets_.add() + 1;
  }
  return element - 1;
}

void GroupFinder::add(std::int64_t a, std::int64_t b) {
  const std::int64_t first = element_of(a);
  sets_.join(first, element_of(b));
}

DuplicateGroups GroupFinder::groups() {
  std::vector<std::int64_t> order(ids_.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](std::int64_t e) { return ids_[std::size_t(e)]; });
  std::vector<std::int64_t> numbers(ids_.size(), -1), sizes;  // by set, and by group
  DuplicateGroups found;
  for (const std::int64_t element : order) {
    const std::int64_t id = ids_[std::size_t(element)];
    std::int64_t& number = numbers[std::size_t(sets_.find(element))];
    if (number < 0) {
      number = std::ssize(sizes);
      sizes.push_back(0);
    } else {
      found.dropped.push_back(id);
    }
    ++sizes[std::size_t(number)];
    found.ids.push_back(id);
    found.groups.push_back(number);
  }
  found.count = std::ssize(sizes);
  if (!sizes.empty()) found.largest = std::ranges::max(sizes);
  return found;
}

}  // namespace tutti
