#include "runtime/data/normal_form.h"

#include <algorithm>

#include <utf8proc.h>

#include "runtime/base/check.h"
#include "runtime/data/unicode_classes.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

constexpr int kLongestDecomposition = 18;  // U+FDFA

int combining_class(char32_t c) {
  if (c < 0x300 || (UnicodeTable::instance()[c] & kUnnormalised)) return 0;
  return utf8proc_get_property(std::int32_t(c))->combining_class;
}

// Marks between two starters, in the order of their combining classes; those of one class keep
// theirs.
void sort_marks(std::vector<MappedCharacter>& characters) {
  const auto is_mark = [](const MappedCharacter& c) { return combining_class(c.code) != 0; };
  const auto is_less = [](const MappedCharacter& a, const MappedCharacter& b) {
    return combining_class(a.code) < combining_class(b.code);
  };
  for (auto at = characters.begin(); at != characters.end();) {
    const auto begin = std::find_if(at, characters.end(), is_mark);
    at = std::find_if_not(begin, characters.end(), is_mark);
    if (at - begin > 1) std::stable_sort(begin, at, is_less);
  }
}

// Composes what decompose made of a piece without characters that stay as they are, and appends it.
void append_composed(std::int64_t origin, NormalizerScratch& scratch, MappedText& out) {
  scratch.composed.clear();
  for (const MappedCharacter& c : scratch.characters)
    scratch.composed.push_back(std::int32_t(c.code));
  const auto count =
      utf8proc_normalize_utf32(scratch.composed.data(), std::ptrdiff_t(scratch.composed.size()),
                               utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  CHECK(count >= 0);
  for (std::ptrdiff_t i = 0; i < count; ++i)
    out.append_character(char32_t(scratch.composed[std::size_t(i)]), origin);
}

// Reads the character at `i` and those that join it into the scratch; returns where the next piece
// begins.
std::size_t read_piece(std::string_view text, std::size_t i, std::int64_t origin,
                       NormalizerScratch& scratch) {
  const UnicodeTable& table = UnicodeTable::instance();
  const char* const end = text.data() + text.size();
  scratch.characters.clear();
  for (bool first = true; i < text.size(); first = false) {
    const Character c = character_at(text.data() + i, end);
    const bool is_joining = table[c.code] & kJoinsPrevious;
    if (!first && !is_joining) break;
    scratch.characters.push_back({c.code, origin});
    i += c.bytes;
    if (table[c.code] & kUnnormalised) break;
  }
  return i;
}

void append_normalized(NormalForm form, std::int64_t origin, NormalizerScratch& scratch,
                       MappedText& out) {
  decompose(form == NormalForm::nfkc || form == NormalForm::nfkd, scratch);
  if (form == NormalForm::nfc || form == NormalForm::nfkc)
    return append_composed(origin, scratch, out);
  for (const MappedCharacter& c : scratch.characters) out.append_character(c.code, origin);
}

}  // namespace

void decompose(bool compatibly, NormalizerScratch& scratch) {
  const UnicodeTable& table = UnicodeTable::instance();
  const auto options =
      utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatibly ? UTF8PROC_COMPAT : 0));
  scratch.decomposed.clear();
  for (const MappedCharacter& c : scratch.characters) {
    std::int32_t parts[kLongestDecomposition] = {std::int32_t(c.code)};
    std::ptrdiff_t count = 1;
    int boundary = 0;
    if (c.code >= 0xA0 && !(table[c.code] & kUnnormalised))
      count = utf8proc_decompose_char(std::int32_t(c.code), parts, kLongestDecomposition, options,
                                      &boundary);
    CHECK(count >= 1 && count <= kLongestDecomposition);
    for (std::ptrdiff_t i = 0; i < count; ++i)
      scratch.decomposed.push_back({char32_t(parts[i]), c.origin});
  }
  scratch.characters.swap(scratch.decomposed);
  sort_marks(scratch.characters);
}

bool plainly_normal(std::string_view text, NormalForm form) {
  // U+0300 starts with 0xCC, and NFC has nothing to do before it. The other forms leave only ASCII
  // alone.
  const unsigned char least = form == NormalForm::nfc ? 0xCC : 0x80;
  unsigned char largest = 0;
  for (const char c : text) largest = std::max(largest, static_cast<unsigned char>(c));
  return largest < least;
}

void normalize_to(NormalForm form, const MappedView& in, NormalizerScratch& scratch,
                  MappedText& out) {
  const UnicodeTable& table = UnicodeTable::instance();
  const std::string_view text = in.text;
  std::size_t plain = 0, i = 0;  // [plain, i) goes as it is
  while (i < text.size()) {
    const std::size_t next = read_piece(text, i, in.origin(i), scratch);
    const char32_t first = scratch.characters.front().code;
    const bool stays = scratch.characters.size() == 1 &&
                       (first < 0x80 || (form == NormalForm::nfc && !(table[first] & kNfcChanges)));
    if (!stays) {
      out.append(in.part(plain, i));
      append_normalized(form, in.origin(i), scratch, out);
      plain = next;
    }
    i = next;
  }
  out.append(in.part(plain, i));
}

}  // namespace tutti
