#include "jobs/entry_set.h"

#include <bit>

#include "runtime/base/check.h"

namespace tutti {

EntrySet::EntrySet(Range entries)
    : entries_(entries), bits_(std::size_t((entries.size() + 63) / 64)) {}

EntrySet EntrySet::all_of(Range entries) {
  EntrySet all(entries);
  all.bits_.assign(all.bits_.size(), ~std::uint64_t(0));
  if (const std::int64_t rest = entries.size() % 64; rest > 0)
    all.bits_.back() = (std::uint64_t(1) << rest) - 1;
  return all;
}

std::int64_t EntrySet::count(Range part) const {
  if (part.size() <= 0) return 0;
  const auto first = std::uint64_t(part.begin - entries_.begin),
             last = std::uint64_t(part.end - entries_.begin) - 1;
  std::int64_t count = 0;
  for (std::uint64_t word = first / 64; word <= last / 64; ++word) {
    std::uint64_t bits = bits_[word];
    if (word == first / 64) bits = bits >> (first % 64) << (first % 64);
    if (word == last / 64) bits = bits << (63 - last % 64) >> (63 - last % 64);
    count += std::popcount(bits);
  }
  return count;
}

std::int64_t EntrySet::nth(Range part, std::int64_t n) const {
  auto at = std::uint64_t(part.begin - entries_.begin);
  std::uint64_t word = bits_[at / 64] >> (at % 64) << (at % 64);
  at -= at % 64;
  for (; std::popcount(word) <= n; word = bits_[at / 64]) {
    n -= std::popcount(word);
    at += 64;
  }
  for (; n > 0; --n) word &= word - 1;
  return entries_.begin + std::int64_t(at) + std::countr_zero(word);
}

std::vector<std::int64_t> EntrySet::members() const {
  std::vector<std::int64_t> members;
  for (std::int64_t entry = entries_.begin; entry < entries_.end; ++entry)
    if (contains(entry)) members.push_back(entry);
  return members;
}

void EntrySet::intersect(const EntrySet& other) {
  CHECK(entries_ == other.entries_);
  for (std::size_t i = 0; i < bits_.size(); ++i) bits_[i] &= other.bits_[i];
}

}  // namespace tutti
