// Byte-pair encoding, as the "BPE" model of a tokenizer.json.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/data/flat_table.h"
#include "runtime/data/vocabulary.h"
#include "runtime/data/word_model.h"

namespace tutti {

struct BpeOptions {
  bool byte_level = false;     // pieces are written in GPT-2's characters, and words are bytes
  bool ignore_merges = false;  // a word that is a piece is that piece
  bool byte_fallback =
      false;                  // an unknown character is pieces such as <0x0A>, where they are there
  bool fuse_unknown = false;  // neighbouring unknown characters are one token
  std::int32_t unknown = -1;  // the token for them; -1: they are left out
};

struct BpeMerge {
  std::int32_t left = 0, right = 0, merged = 0;
};

class BpeModel : public WordModel {
 public:
  // `merges` in the order of their rank; of the same pair twice the later counts. The vocabulary
  // must outlive the model.
  BpeModel(const Vocabulary& vocabulary, const std::vector<BpeMerge>& merges,
           const BpeOptions& options);
  void encode(std::string_view word, WordScratch& scratch) const override;

 private:
  struct Merge {
    std::uint32_t rank = 0;
    std::int32_t merged = 0;
  };
  const Merge* find(std::int32_t left, std::int32_t right) const {
    return merges_.find(std::uint64_t(std::uint32_t(left)) << 32 | std::uint32_t(right));
  }
  void put_symbols(std::string_view word, std::vector<WordToken>& symbols) const;
  void put_unknown(std::string_view character, bool follows_unknown,
                   std::vector<WordToken>& symbols) const;
  void merge_short(WordScratch& scratch) const;
  void merge_long(WordScratch& scratch) const;
  void push(WordScratch& scratch, std::uint32_t left, std::uint32_t right) const;

  const Vocabulary& vocabulary_;
  const BpeOptions options_;
  std::array<std::int32_t, 256>
      byte_ids_;  // of single bytes; of ASCII characters where not byte-level
  std::array<std::int32_t, 256> fallback_;  // of <0x00> to <0xFF>
  FlatTable<Merge> merges_;
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;  // look-ups make no string
  };
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>>
      words_;  // the pieces as bytes, where merges may be ignored
};

}  // namespace tutti
