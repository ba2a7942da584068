// A hash table from 64 bits to a small value: one array, for look-ups that have to be quick.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tutti {

template <class Value>
class FlatTable {
 public:
  static constexpr std::uint64_t kNone = ~std::uint64_t(0);  // no key

  // The value of `key`, made where it is missing. Holds until the next one is made.
  Value& operator[](std::uint64_t key) {
    if (3 * (count_ + 1) > 2 * slots_.size()) grow();
    Slot& slot = slots_[place_of(key)];
    if (slot.key == kNone) {
      slot.key = key;
      ++count_;
    }
    return slot.value;
  }
  const Value* find(std::uint64_t key) const {
    for (std::size_t at = slot_of(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) return &slots_[at].value;
      if (slots_[at].key == kNone) return nullptr;
    }
  }

 private:
  struct Slot {
    std::uint64_t key = kNone;
    Value value{};
  };
  std::size_t slot_of(std::uint64_t key) const {
    return std::size_t((key * 0x9E3779B97F4A7C15u) >> shift_);
  }

  // Where the key is, or belongs.
  std::size_t place_of(std::uint64_t key) const {
    std::size_t at = slot_of(key);
    while (slots_[at].key != key && slots_[at].key != kNone) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    --shift_;
    for (const Slot& slot : old)
      if (slot.key != kNone) slots_[place_of(slot.key)] = slot;
  }

  std::vector<Slot> slots_ = std::vector<Slot>(16);
  std::size_t count_ = 0;
  int shift_ = 60;  // leaves as many bits as a slot's index has
};

}  // namespace tutti
