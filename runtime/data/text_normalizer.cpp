#include "runtime/data/text_normalizer.h"

#include <algorithm>

#include "runtime/data/normal_form.h"
#include "runtime/data/unicode_classes.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

using Kind = NormalizerStep::Kind;

const UnicodeTable& table() { return UnicodeTable::instance(); }

// Calls `work(character, index)` for each.
template <class Work>
void each_character(std::string_view text, Work&& work) {
  const char* const end = text.data() + text.size();
  for (std::size_t i = 0; i < text.size();) {
    const Character c = character_at(text.data() + i, end);
    work(c, i);
    i += c.bytes;
  }
}

void append_lower(char32_t c, std::int64_t origin, MappedText& out) {
  if (c == 0x130)
    return out.append("i\xCC\x87", origin);  // the one whose lower case is two characters
  out.append_character(c >= 'A' && c <= 'Z' ? c + 32 : c < 0x80 ? c : table().lower(c), origin);
}

void lowercase(const MappedView& in, MappedText& out) {
  each_character(in.text,
                 [&](Character c, std::size_t i) { append_lower(c.code, in.origin(i), out); });
}

void strip_accents(const MappedView& in, MappedText& out) {
  each_character(in.text, [&](Character c, std::size_t i) {
    if (!(table()[c.code] & kCombiningMark)) out.append_character(c.code, in.origin(i));
  });
}

MappedView stripped(const NormalizerStep& step, MappedView in) {
  std::size_t begin = in.text.size(), end = 0;  // of what is no white space
  each_character(in.text, [&](Character c, std::size_t i) {
    if (table()[c.code] & kWhiteSpace) return;
    begin = std::min(begin, i);
    end = i + c.bytes;
  });
  if (end == 0) return step.left || step.right ? in.part(0, 0) : in;
  return in.part(step.left ? begin : 0, step.right ? end : in.text.size());
}

void replace(const NormalizerStep& step, const MappedView& in, MappedText& out) {
  std::size_t at = 0;
  for (std::size_t found; (found = in.text.find(step.text, at)) != std::string_view::npos;) {
    out.append(in.part(at, found));
    out.append(step.replacement, in.origin(found));
    at = found + step.text.size();
  }
  out.append(in.part(at, in.text.size()));
}

// What BERT does, in its order: clean, set ideographs apart, strip accents, lowercase.
class BertStep {
 public:
  BertStep(const NormalizerStep& step, NormalizerScratch& scratch, MappedText& out)
      : step_(step), scratch_(scratch), out_(out) {}

  void apply(const MappedView& in) {
    const char* const end = in.text.data() + in.text.size();
    for (std::size_t i = 0; i < in.text.size();) {
      if (is_simple(in.text[i])) {
        const char c = in.text[i];
        const bool is_space = step_.clean_text && (c == '\t' || c == '\n' || c == '\r');
        const char result = is_space ? ' ' : step_.lower && c >= 'A' && c <= 'Z' ? char(c + 32) : c;
        out_.append({&result, 1}, in.origin(i++));
        continue;
      }
      // Accents are sorted and stripped over a stretch that ends where ASCII begins that stays.
      scratch_.characters.clear();
      while (i < in.text.size() && !is_simple(in.text[i])) {
        const Character c = character_at(in.text.data() + i, end);
        clean(c.code, in.origin(i));
        i += c.bytes;
      }
      finish_stretch();
    }
  }

 private:
  // ASCII that clean_text does not drop.
  bool is_simple(char c) const {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x80 && !(step_.clean_text && (table()[byte] & kBertRemoved));
  }

  void put(char32_t c, std::int64_t origin) { scratch_.characters.push_back({c, origin}); }

  void clean(char32_t c, std::int64_t origin) {
    const std::uint16_t bits = table()[c];
    if (step_.clean_text && (bits & kBertRemoved)) return;
    if (step_.clean_text && (bits & kBertSpace)) return put(' ', origin);
    if (!step_.ideographs || !(bits & kBertIdeograph)) return put(c, origin);
    put(' ', origin);
    put(c, origin);
    put(' ', origin);
  }

  void finish_stretch() {
    if (step_.accents) decompose(false, scratch_);
    for (const auto& [code, origin] : scratch_.characters) {
      if (step_.accents && (table()[code] & kBertAccent)) continue;
      step_.lower ? append_lower(code, origin, out_) : out_.append_character(code, origin);
    }
  }

  const NormalizerStep& step_;
  NormalizerScratch& scratch_;
  MappedText& out_;
};

NormalForm form_of(Kind kind) {
  return kind == Kind::nfc    ? NormalForm::nfc
         : kind == Kind::nfd  ? NormalForm::nfd
         : kind == Kind::nfkc ? NormalForm::nfkc
                              : NormalForm::nfkd;
}

bool is_form(Kind kind) {
  return kind == Kind::nfc || kind == Kind::nfd || kind == Kind::nfkc || kind == Kind::nfkd;
}

// Whether the step leaves the text as it is, as far as a glance tells.
bool does_nothing(const NormalizerStep& step, std::string_view text) {
  if (text.empty()) return true;
  if (is_form(step.kind)) return plainly_normal(text, form_of(step.kind));
  return step.kind == Kind::replace && text.find(step.text) == std::string_view::npos;
}

void apply(const NormalizerStep& step, const MappedView& in, NormalizerScratch& scratch,
           MappedText& out) {
  switch (step.kind) {
    case Kind::bert:
      return BertStep(step, scratch, out).apply(in);
    case Kind::lowercase:
      return lowercase(in, out);
    case Kind::strip_accents:
      return strip_accents(in, out);
    case Kind::strip:
      return out.append(stripped(step, in));
    case Kind::replace:
      return replace(step, in, out);
    case Kind::prepend:
      out.append(step.text, in.origin(0));
      return out.append(in);
    case Kind::nfc:
    case Kind::nfd:
    case Kind::nfkc:
    case Kind::nfkd:
      return normalize_to(form_of(step.kind), in, scratch, out);
  }
}

}  // namespace

TextNormalizer::TextNormalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}

MappedView TextNormalizer::normalize(MappedView text, bool with_origins,
                                     NormalizerScratch& scratch) const {
  int next = 0;
  for (const NormalizerStep& step : steps_) {
    if (does_nothing(step, text.text)) continue;
    MappedText& out = scratch.texts[next];
    out.reset(with_origins);
    apply(step, text, scratch, out);
    text = out.view();
    next = 1 - next;
  }
  return text;
}

}  // namespace tutti
