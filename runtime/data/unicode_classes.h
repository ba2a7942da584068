// What each Unicode code point is to a tokenizer, as the Python package `tokenizers` sees it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace tutti {

// Bits of a code point; scripts/unicode-classes writes the table and says which Unicode versions
// are behind it.
enum UnicodeClass : std::uint16_t {
  kLetter = 1 << 0,           // \p{L}
  kNumber = 1 << 1,           // \p{N}
  kWhiteSpace = 1 << 2,       // \s
  kWordCharacter = 1 << 3,    // \w
  kBertPunctuation = 1 << 4,  // a word of its own to BERT
  kBertRemoved = 1 << 5,      // what BERT's clean_text drops
  kBertSpace = 1 << 6,        // what it makes a space
  kBertIdeograph = 1 << 7,    // what BERT puts spaces around
  kBertAccent = 1 << 8,       // what BERT's strip_accents drops
  kCombiningMark = 1 << 9,    // what StripAccents drops
  kUnnormalised = 1 << 10,    // what no normal form touches
  kJoinsPrevious =
      1 << 11,  // what a normal form may move before, or compose with, the character in front
  kNfcChanges = 1 << 12,  // what NFC changes even where it stands alone
  kHasLowerCase =
      1 << 13,  // with another lower case, U+0130 apart, whose lower case is two characters
};

// Code points in order: `count` of them have these bits.
struct UnicodeRun {
  std::uint32_t count = 0;
  std::uint16_t bits = 0;
};
extern const std::vector<UnicodeRun> kUnicodeRuns;

// Each `step`-th of these code points has its lower case `difference` further.
struct LowerCaseRun {
  std::uint32_t first = 0, last = 0, step = 1;
  std::int32_t difference = 0;
};
extern const std::vector<LowerCaseRun> kLowerCaseRuns;

// The table, expanded into pages for quick look-ups. Immutable.
class UnicodeTable {
 public:
  static const UnicodeTable& instance();

  // Bits of UnicodeClass; 0 for what is no code point.
  std::uint16_t operator[](char32_t c) const {
    if (c < kPage) return pages_[c];
    return c < kEnd ? pages_[page_of_[c / kPage] * kPage + c % kPage] : 0;
  }
  // The lower case of one that has kHasLowerCase, else the character itself.
  char32_t lower(char32_t c) const;

 private:
  static constexpr char32_t kPage = 128, kEnd = 0x110000;
  UnicodeTable();

  std::array<std::uint16_t, kEnd / kPage> page_of_;
  std::vector<std::uint16_t> pages_;  // the first is that of ASCII
};

}  // namespace tutti
