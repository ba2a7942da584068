// The documents of a dataset as one stream of tokens, cut into sequences for a language model, each
// batch a function of (seed, step) alone.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"
#include "runtime/data/sampler.h"
#include "runtime/data/sequences.h"
#include "runtime/data/split.h"

namespace tutti {

struct TokenStreamOptions {
  std::uint64_t seed = 1;
  std::int64_t length = 1024;        // tokens of a sequence
  std::int32_t separator = 0;        // the token in front of each document
  std::uint8_t split = kTrainSplit;  // the documents that belong to the stream
};

// Tokens with what follows each of them. Documents do not see each other: each is a sequence of its
// own.
struct LanguageBatch {
  Sequences sequences;
  std::vector<std::int32_t> targets;  // one a token
};

// The stream is `separator tokens` of each document of the split, in the dataset's order; a
// document's tokens are those of its passages, one behind the other. Sequence i is the stream's
// tokens [i * length, (i + 1) * length), and its targets are the tokens after those; what is left
// at the end is dropped. Keeps 16 bytes a document. Local; reads only what a batch needs.
class TokenStream {
 public:
  // The dataset must outlive the stream. Throws Error(data) where it holds less than one sequence.
  TokenStream(const Dataset& dataset, TokenStreamOptions options);

  std::int64_t documents() const { return std::int64_t(starts_.size()) - 1; }
  std::int64_t tokens() const { return starts_.back(); }
  std::int64_t sequences() const { return sampler_.count(); }
  // Bytes of the documents' text.
  std::int64_t text_bytes() const { return text_bytes_; }

  // The sequences' numbers of [samples.begin, samples.end) of step `step`'s batch of `batch`
  // sequences.
  std::vector<std::int64_t> numbers(std::int64_t step, std::int64_t batch, Range samples) const;
  LanguageBatch load(std::int64_t step, std::int64_t batch, Range samples) const;
  // Sequences [numbers.begin, numbers.end) in order, as an evaluation takes them.
  LanguageBatch load_in_order(Range numbers) const;

 private:
  struct Passages {
    std::int64_t first = 0, count = 0;  // global rows
  };
  static std::int64_t sequences_in(std::int64_t tokens, std::int64_t length) {
    return (tokens - 1) / length;
  }
  void index_documents();
  void append(std::int64_t number, LanguageBatch& batch) const;
  // Tokens [begin, end) of the stream, and where documents begin among them, counted from `begin`.
  std::vector<std::int32_t> read(std::int64_t begin, std::int64_t end,
                                 std::vector<std::int64_t>& documents) const;

  const Dataset& dataset_;
  TokenStreamOptions options_;
  Dataset::Column column_;
  std::vector<Passages> passages_;    // of each document
  std::vector<std::int64_t> starts_;  // of each document in the stream, and its end
  std::int64_t text_bytes_ = 0;
  Sampler sampler_;
};

}  // namespace tutti
