// The tokens of words seen before: text repeats its words, and a look-up is quicker than a model.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/data/word_model.h"

namespace tutti {

// A fixed number of places, one for each hash; a later word takes the place of an earlier one. For
// one thread.
class WordCache {
 public:
  static constexpr std::size_t kKeyBytes = 16,
                               kTokens = 8;  // longer words and more tokens are not kept
  using Key = std::array<std::uint64_t, 2>;  // the bytes of a word, zeros behind

  struct alignas(64) Slot {  // a line of the processor's cache
    Key key{};
    std::int32_t ids[kTokens];
    std::uint8_t bytes[kTokens];
    std::uint8_t key_bytes = 0, count = 0;
  };

  WordCache() : slots_(kSlots) {}

  // The word's place, up to the next put; null where the word is not there. `readable`: bytes that
  // may be read from its first on.
  const Slot* find(std::string_view word, std::size_t readable) const {
    if (word.size() > kKeyBytes) return nullptr;
    const Key key = key_of(word, readable);
    const Slot& slot = slots_[place_of(key)];
    return slot.key == key && slot.key_bytes == word.size() ? &slot : nullptr;
  }

  void put(std::string_view word, std::span<const WordToken> tokens) {
    if (word.size() > kKeyBytes || tokens.size() > kTokens) return;
    const Key key = key_of(word, word.size());
    Slot& slot = slots_[place_of(key)];
    slot.key = key;
    slot.key_bytes = std::uint8_t(word.size());
    slot.count = std::uint8_t(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      slot.ids[i] = tokens[i].id;
      slot.bytes[i] = std::uint8_t(tokens[i].bytes);
    }
  }

 private:
  static constexpr std::size_t kSlots = 1 << 15;

  // A whole key is read where the text goes on that far, and what is behind the word cleared: on
  // machines that put the first byte lowest.
  static_assert(std::endian::native == std::endian::little);
  static Key key_of(std::string_view word, std::size_t readable) {
    Key key{};
    if (readable < kKeyBytes) {
      std::memcpy(key.data(), word.data(), word.size());
      return key;
    }
    std::memcpy(key.data(), word.data(), kKeyBytes);
    const std::size_t n = word.size();
    if (n < 8)
      key = {n == 0 ? 0 : key[0] & ~std::uint64_t(0) >> (64 - 8 * n), 0};
    else if (n < kKeyBytes)
      key[1] &= n == 8 ? 0 : ~std::uint64_t(0) >> (128 - 8 * n);
    return key;
  }
  static std::size_t place_of(const Key& key) {
    const std::uint64_t mixed = (key[0] ^ (key[1] * 0x9E3779B97F4A7C15u)) * 0xD6E8FEB86659FD93u;
    return std::size_t((mixed ^ mixed >> 32) * 0x9E3779B97F4A7C15u >> 49);
  }

  std::vector<Slot> slots_;
};

}  // namespace tutti
