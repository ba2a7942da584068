// The documents of a dataset as one stream of tokens, cut into sequences for a language model.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"
#include "runtime/data/language_data.h"
#include "runtime/data/split.h"

namespace tutti {

struct TokenStreamOptions {
  std::uint64_t seed = 1;
  std::int64_t length = 1024;        // tokens of a sequence
  std::int32_t separator = 0;        // the token in front of each document
  std::uint8_t split = kTrainSplit;  // the documents that belong to the stream
};

// The stream is `separator tokens` of each document of the split, in the dataset's order; a
// document's tokens are those of its passages, one behind the other. Sequence i is the stream's
// tokens [i * length, (i + 1) * length), and its targets are the tokens after those; what is left
// at the end is dropped. Keeps 24 bytes a document.
class TokenStream : public LanguageData {
 public:
  // The dataset must outlive the stream. Throws Error(data) where it holds less than one sequence,
  // or the separator is none of its tokens; what is loaded, where a token is none of its
  // vocabulary.
  TokenStream(const Dataset& dataset, TokenStreamOptions options);

  std::int64_t documents() const { return std::int64_t(starts_.size()) - 1; }
  std::int64_t tokens() const { return starts_.back(); }
  // Bytes of the documents' text.
  std::int64_t text_bytes() const { return text_bytes_; }
  std::optional<double> bytes_per_token() const override {
    return double(text_bytes()) / double(tokens());
  }

 protected:
  void append(std::int64_t number, LanguageBatch& batch) const override;
  TokenCount count_of(std::int64_t) const override { return {options_.length, options_.length}; }

 private:
  static std::int64_t sequences_in(std::int64_t tokens, std::int64_t length) {
    return (tokens - 1) / length;
  }
  void index_documents();
  // Tokens [begin, end) of the stream, and where documents begin among them, counted from `begin`.
  std::vector<std::int32_t> read(std::int64_t begin, std::int64_t end,
                                 std::vector<std::int64_t>& documents) const;

  const Dataset& dataset_;
  TokenStreamOptions options_;
  Dataset::Column column_;
  std::vector<Range> passages_;       // of each document, global rows
  std::vector<std::int64_t> starts_;  // of each document in the stream, and its end
  std::int64_t text_bytes_ = 0;
};

}  // namespace tutti
