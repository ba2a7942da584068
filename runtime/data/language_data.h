// What a language model is trained on: sequences of tokens with what follows each, each batch a
// function of (seed, step) alone.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/comm/partition.h"
#include "runtime/data/sampler.h"
#include "runtime/data/sequences.h"

namespace tutti {

// Tokens with what follows each of them. Documents and examples do not see each other: each is a
// sequence of its own here.
struct LanguageBatch {
  Sequences sequences;
  std::vector<std::int32_t> targets;  // one a token; -1 where nothing is to be predicted
};

struct TokenCount {
  std::int64_t tokens = 0;
  std::int64_t asked = 0;  // of them, those with a target
};

// Sequences 0 to sequences() - 1 of at most a configured length, in an order that is new in each
// epoch; a batch holds whole ones. Local; reads only what a batch needs; errors as for Dataset.
class LanguageData {
 public:
  virtual ~LanguageData() = default;

  std::int64_t sequences() const { return sampler_.count(); }
  // The sequences' numbers of [samples.begin, samples.end) of step `step`'s batch of `batch`
  // sequences.
  std::vector<std::int64_t> numbers(std::int64_t step, std::int64_t batch, Range samples) const;
  LanguageBatch load(std::int64_t step, std::int64_t batch, Range samples) const;
  // Sequences [numbers.begin, numbers.end) in order, as an evaluation takes them.
  LanguageBatch load_in_order(Range numbers) const;

  // Of these sequences, without reading them: any rank knows all ranks' counts.
  TokenCount count(std::span<const std::int64_t> numbers) const;
  TokenCount count_in_order(Range numbers) const;

  // Bytes of text that a token stands for, on average; nothing where targets are not all of a text.
  virtual std::optional<double> bytes_per_token() const { return std::nullopt; }

 protected:
  explicit LanguageData(std::uint64_t seed) : seed_(seed) {}
  // To be called once, with at least 1.
  void set_sequences(std::int64_t count) { sampler_ = Sampler(count, seed_); }
  virtual void append(std::int64_t number, LanguageBatch& batch) const = 0;
  virtual TokenCount count_of(std::int64_t number) const = 0;

 private:
  std::uint64_t seed_;
  Sampler sampler_{1, 0};
};

}  // namespace tutti
