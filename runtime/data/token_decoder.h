// The decoders of a tokenizer.json: from pieces back to text.
#pragma once

#include <string>
#include <vector>

namespace tutti {

// One step; which members count depends on the kind.
struct DecoderStep {
  enum class Kind { byte_level, word_piece, replace, byte_fallback, fuse, strip, metaspace };
  Kind kind = Kind::fuse;
  std::string text,
      replacement;  // word_piece: its prefix; replace; strip and metaspace: a character
  std::size_t start = 0, stop = 0;  // strip: how many at the most
  bool cleanup = false;             // word_piece: no space before punctuation
  bool drop_first = false;          // metaspace: the mark in front stands for no space
};

// The text of `pieces`, as `tokenizers` gives it; without steps a space stands between pieces.
// Bytes that are no UTF-8 become U+FFFD.
std::string decode_pieces(const std::vector<DecoderStep>& steps, std::vector<std::string> pieces);

}  // namespace tutti
