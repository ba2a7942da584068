// Text that was made from another, and where in that other each byte came from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/utf8.h"

namespace tutti {

// A view of a text with the origin of each byte: `origins[i]`, or `base + i` where `origins` is
// null.
struct MappedView {
  std::string_view text;
  std::int64_t base = 0;
  const std::int64_t* origins = nullptr;

  std::int64_t origin(std::size_t i) const { return origins ? origins[i] : base + std::int64_t(i); }
  MappedView part(std::size_t begin, std::size_t end) const {
    return {text.substr(begin, end - begin), origins ? base : base + std::int64_t(begin),
            origins ? origins + begin : nullptr};
  }
};

// Such a text while it is made. Origins cost time and are kept only where asked for; without them,
// those of the view have no meaning.
class MappedText {
 public:
  // Empty; the memory is kept.
  void reset(bool with_origins) {
    text_.clear();
    origins_.clear();
    with_origins_ = with_origins;
  }

  // All of `bytes` came from one place.
  void append(std::string_view bytes, std::int64_t origin) {
    text_ += bytes;
    if (with_origins_) origins_.resize(text_.size(), origin);
  }
  void append(const MappedView& part) {
    text_ += part.text;
    if (with_origins_)
      for (std::size_t i = 0; i < part.text.size(); ++i) origins_.push_back(part.origin(i));
  }
  void append_character(char32_t code, std::int64_t origin) {
    append_utf8(code, text_);
    if (with_origins_) origins_.resize(text_.size(), origin);
  }

  MappedView view() const { return {text_, 0, with_origins_ ? origins_.data() : nullptr}; }

 private:
  std::string text_;
  std::vector<std::int64_t> origins_;
  bool with_origins_ = false;
};

}  // namespace tutti
