// The normalizers of a tokenizer.json: what happens to text before it is cut into words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/data/mapped_text.h"

namespace tutti {

// One step; which members count depends on the kind.
struct NormalizerStep {
  enum class Kind { bert, nfc, nfd, nfkc, nfkd, lowercase, strip_accents, strip, prepend, replace };
  Kind kind = Kind::nfc;
  bool clean_text = false, ideographs = false, accents = false, lower = false;  // bert
  bool left = false, right = false;                                             // strip
  std::string text, replacement;  // prepend and replace; replace
};

// A code point, and where it came from.
struct MappedCharacter {
  char32_t code = 0;
  std::int64_t origin = 0;
};

// Memory of one thread, kept from text to text.
struct NormalizerScratch {
  MappedText texts[2];
  std::vector<MappedCharacter> characters, decomposed;
  std::vector<std::int32_t> composed;
};

// Gives what `tokenizers` gives. Immutable; threads may share one, each with a scratch of its own.
class TextNormalizer {
 public:
  explicit TextNormalizer(std::vector<NormalizerStep> steps);

  // `text` is well-formed UTF-8. The result lies in `text` where nothing is done, else in the
  // scratch, up to the next call; it has origins where `with_origins` says so or where `text` is
  // the result.
  MappedView normalize(MappedView text, bool with_origins, NormalizerScratch& scratch) const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace tutti
