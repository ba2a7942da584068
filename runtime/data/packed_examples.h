// The examples of a dataset, whole, packed into sequences for a language model that learns what the
// examples say is to be predicted.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/data/language_data.h"
#include "runtime/data/split.h"

namespace tutti {

// Whether a text dataset holds examples, as `shard` makes them with examples.format.
bool has_examples(const Dataset& dataset);

struct PackedExamplesOptions {
  std::uint64_t seed = 1;
  std::int64_t length = 1024;        // the most tokens of a sequence
  std::uint8_t split = kTrainSplit;  // the examples that belong to the data
};

// An example takes as many tokens of a sequence as it has up to its last one that is to be
// predicted, which is a target alone. Examples are taken in the dataset's order, each going into
// the first of the kOpenSequences sequences begun last that has room for it, else into a new one:
// the packing follows from dataset, split and length alone, none is split, and an epoch meets each
// once. One that is longer than a sequence is cut at its end, and left out where nothing to predict
// remains. Keeps 16 bytes an example.
class PackedExamples : public LanguageData {
 public:
  static constexpr std::int64_t kOpenSequences = 64;

  // The dataset must outlive the object. Throws Error(data) where no example is left, or where
  // ranges to predict are none.
  PackedExamples(const Dataset& dataset, PackedExamplesOptions options);

  std::int64_t examples() const { return std::int64_t(examples_.size()); }
  std::int64_t cut() const { return cut_; }            // of them
  std::int64_t left_out() const { return left_out_; }  // beside them
  // Of all sequences.
  TokenCount total() const { return total_; }
  // Share of the sequences' length that holds tokens.
  double fill() const {
    return double(total_.tokens) / (double(sequences()) * double(options_.length));
  }

 protected:
  void append(std::int64_t number, LanguageBatch& batch) const override;
  TokenCount count_of(std::int64_t number) const override;

 private:
  struct Example {
    std::int64_t passage = 0;  // global row
    std::int32_t tokens = 0, asked = 0;
  };
  void index_examples();
  void add_example(std::int64_t passage, std::int64_t tokens,
                   std::span<const std::int32_t> predicted);
  void pack();

  const Dataset& dataset_;
  const PackedExamplesOptions options_;
  const Dataset::Column tokens_, predicted_;
  std::vector<Example> examples_;     // those of a sequence one behind another
  std::vector<std::int64_t> starts_;  // of each sequence in `examples_`, and the end
  std::int64_t cut_ = 0, left_out_ = 0;
  TokenCount total_;
};

}  // namespace tutti
