#include "runtime/data/unicode_classes.h"

#include <algorithm>
#include <map>

#include "runtime/base/check.h"

namespace tutti {

UnicodeTable::UnicodeTable() {
  std::vector<std::uint16_t> all;
  all.reserve(kEnd);
  for (const UnicodeRun& run : kUnicodeRuns) all.insert(all.end(), run.count, run.bits);
  CHECK(all.size() == kEnd);
  std::map<std::vector<std::uint16_t>, std::uint16_t> known;  // most pages are alike
  for (std::size_t i = 0; i < page_of_.size(); ++i) {
    const auto begin = all.begin() + std::ptrdiff_t(i * kPage);
    const std::vector<std::uint16_t> page(begin, begin + kPage);
    const auto [it, is_new] = known.try_emplace(page, std::uint16_t(known.size()));
    if (is_new) pages_.insert(pages_.end(), page.begin(), page.end());
    page_of_[i] = it->second;
  }
}

const UnicodeTable& UnicodeTable::instance() {
  static const UnicodeTable table;
  return table;
}

char32_t UnicodeTable::lower(char32_t c) const {
  if (!((*this)[c] & kHasLowerCase)) return c;
  const auto run = std::lower_bound(kLowerCaseRuns.begin(), kLowerCaseRuns.end(), c,
                                    [](const LowerCaseRun& r, char32_t x) { return r.last < x; });
  return char32_t(std::int32_t(c) + run->difference);
}

}  // namespace tutti
