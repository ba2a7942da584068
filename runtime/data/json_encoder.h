// A tokenizer.json at work: what each of its parts became.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/data/added_tokens.h"
#include "runtime/data/text_encoder.h"
#include "runtime/data/text_normalizer.h"
#include "runtime/data/token_decoder.h"
#include "runtime/data/vocabulary.h"
#include "runtime/data/word_cache.h"
#include "runtime/data/word_model.h"
#include "runtime/data/word_splitter.h"

namespace tutti {

// What happens to a text between two added tokens before it is cut: the character for a space is
// put in front, unless one is there, and spaces become `mark` where there is one.
struct PrefixStep {
  enum class When { never, first, always } when = When::never;
  std::string mark;
};

// What tokenizer_json.cpp reads. The vocabulary holds the model's pieces and the added tokens;
// `words` refers to it.
struct JsonEncoderParts {
  std::unique_ptr<Vocabulary> vocabulary;
  std::vector<AddedToken> added;
  std::vector<NormalizerStep> normalizer;
  PrefixStep prefix;
  std::vector<WordSplit> splits;
  std::unique_ptr<WordModel> words;
  TokenFrame frame;
  std::vector<DecoderStep> decoder;
};

class JsonEncoder : public TextEncoder {
 public:
  explicit JsonEncoder(JsonEncoderParts parts);

  std::int32_t vocabulary() const override { return parts_.vocabulary->size(); }
  const TokenFrame& frame() const override { return parts_.frame; }
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override;
  void encode(std::string_view text, std::int64_t origin,
              std::vector<Token>& tokens) const override;
  void encode_plain(std::string_view text, bool is_first,
                    std::vector<std::int32_t>& ids) const override;
  bool is_special(std::int32_t id) const override { return is_special_[std::size_t(id)]; }
  std::string decode(std::span<const std::int32_t> ids, bool skip_special) const override;
  std::optional<std::int32_t> id_of(std::string_view piece) const override;

 private:
  // Memory of one call at a time; kept for the next one.
  struct Scratch {
    NormalizerScratch normalizer;
    MappedText prefixed;
    WordScratch words;
    WordCache cache;
  };
  // Added tokens to look for before and after normalising.
  struct Finders {
    AddedTokenFinder raw, normalized;
  };
  // Where tokens go: `ids`, or `tokens` with their places. Bytes of one character begin where it
  // does.
  struct Output {
    std::vector<std::int32_t>* ids = nullptr;
    std::vector<Token>* tokens = nullptr;
    std::int64_t latest = 0;  // where the last token begins
  };

  std::unique_ptr<Scratch> borrow() const;
  void give_back(std::unique_ptr<Scratch> scratch) const;
  Finders finders(bool with_special) const;
  void encode(const MappedView& text, const Finders& added, bool is_first, Output& out) const;
  void encode_section(const MappedView& section, bool is_first, Scratch& scratch,
                      Output& out) const;
  MappedView prefixed(const MappedView& section, bool is_first, bool with_origins,
                      Scratch& scratch) const;
  void encode_word(const MappedView& section, std::string_view word, Scratch& scratch,
                   Output& out) const;

  const JsonEncoderParts parts_;
  const TextNormalizer normalizer_;
  const Finders all_, ordinary_;  // with the special tokens, and without
  std::vector<bool> is_special_;  // by id
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> idle_;
};

}  // namespace tutti
