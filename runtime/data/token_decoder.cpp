#include "runtime/data/token_decoder.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "runtime/data/byte_level.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

using Pieces = std::vector<std::string>;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string result;
  std::size_t at = 0;
  for (std::size_t found; !what.empty() && (found = text.find(what, at)) != std::string_view::npos;
       at = found + what.size()) {
    result += text.substr(at, found - at);
    result += with;
  }
  return result += text.substr(at);
}

std::string joined(const Pieces& pieces, std::string_view between = "") {
  std::string text;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0) text += between;
    text += pieces[i];
  }
  return text;
}

// Bytes at the front that begin a character but do not end it; at least 1.
std::size_t broken_bytes(std::string_view text) {
  static constexpr std::string_view kEndings[] = {"\x80", "\x80\x80"};
  std::size_t longest = 1;
  for (std::size_t n = 2; n <= 3 && n <= text.size(); ++n)
    for (const std::string_view ending : kEndings)
      if (const std::string whole = std::string(text.substr(0, n)).append(ending);
          utf8_prefix(whole) == whole.size())
        longest = n;
  return longest;
}

std::string well_formed(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t good = utf8_prefix(text);
    result += text.substr(0, good);
    text.remove_prefix(good);
    if (text.empty()) break;
    result += kReplacement;
    text.remove_prefix(broken_bytes(text));
  }
  return result;
}

Pieces byte_level(const Pieces& pieces) {
  std::string bytes;
  for (const std::string& piece : pieces) bytes += byte_level_bytes(piece).value_or(piece);
  return {well_formed(bytes)};
}

std::string cleaned(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> kFixes[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [what, with] : kFixes) text = replaced(text, what, with);
  return text;
}

Pieces word_piece(const DecoderStep& step, Pieces pieces) {
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0)
      pieces[i] =
          pieces[i].starts_with(step.text) ? pieces[i].substr(step.text.size()) : " " + pieces[i];
    if (step.cleanup) pieces[i] = cleaned(std::move(pieces[i]));
  }
  return pieces;
}

// The byte of a piece such as <0x0A>.
std::optional<char> byte_of(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, value, 16);
  if (error != std::errc() || end != piece.data() + 5) return std::nullopt;
  return char(value);
}

Pieces byte_fallback(const Pieces& pieces) {
  Pieces result;
  std::string bytes;
  const auto flush = [&] {
    if (utf8_prefix(bytes) == bytes.size()) {
      if (!bytes.empty()) result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), std::string(kReplacement));
    }
    bytes.clear();
  };
  for (const std::string& piece : pieces) {
    if (const auto byte = byte_of(piece)) {
      bytes += *byte;
      continue;
    }
    flush();
    result.push_back(piece);
  }
  flush();
  return result;
}

std::string stripped(const DecoderStep& step, std::string_view piece) {
  for (std::size_t n = 0; n < step.start && piece.starts_with(step.text); ++n)
    piece.remove_prefix(step.text.size());
  for (std::size_t n = 0; n < step.stop && piece.ends_with(step.text); ++n)
    piece.remove_suffix(step.text.size());
  return std::string(piece);
}

Pieces metaspace(const DecoderStep& step, Pieces pieces) {
  for (std::size_t i = 0; i < pieces.size(); ++i)
    pieces[i] = replaced(pieces[i], step.text, i == 0 && step.drop_first ? "" : " ");
  return pieces;
}

Pieces apply(const DecoderStep& step, Pieces pieces) {
  using Kind = DecoderStep::Kind;
  switch (step.kind) {
    case Kind::byte_level:
      return byte_level(pieces);
    case Kind::word_piece:
      return word_piece(step, std::move(pieces));
    case Kind::byte_fallback:
      return byte_fallback(pieces);
    case Kind::fuse:
      return {joined(pieces)};
    case Kind::metaspace:
      return metaspace(step, std::move(pieces));
    case Kind::replace:
      for (std::string& piece : pieces) piece = replaced(piece, step.text, step.replacement);
      return pieces;
    case Kind::strip:
      for (std::string& piece : pieces) piece = stripped(step, piece);
      return pieces;
  }
  return pieces;
}

}  // namespace

std::string decode_pieces(const std::vector<DecoderStep>& steps, std::vector<std::string> pieces) {
  if (steps.empty()) return joined(pieces, " ");
  for (const DecoderStep& step : steps) pieces = apply(step, std::move(pieces));
  return joined(pieces);
}

}  // namespace tutti
