// Token sequences one behind another, as the models take them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"
#include "runtime/data/tokenizer.h"

namespace tutti {

// How a model takes a text: in at most `longest` tokens, those of the frame around it among them.
struct TextForm {
  std::int64_t longest = 0;  // more than the frame
  TokenFrame frame;

  // Tokens of the text itself, at most.
  std::int64_t room() const {
    return longest - std::int64_t(frame.front.size() + frame.back.size());
  }
};

// Sequence i is tokens[offsets[i], offsets[i + 1]).
struct Sequences {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> offsets = {0};

  std::int64_t count() const { return std::int64_t(offsets.size()) - 1; }
  // Appends one, cut to its first `longest` tokens.
  void add(std::span<const std::int32_t> sequence, std::int64_t longest);
  // Appends the tokens of a text, which hold no frame: cut to what there is room for, and framed.
  void add(std::span<const std::int32_t> text, const TextForm& form);
};

// As Dataset::read_ragged, of a column of tokens: throws Error(data), too, where one is outside the
// vocabulary that the dataset's manifest names.
void read_tokens(const Dataset& dataset, const Dataset::Column& column, Range rows,
                 std::vector<std::int64_t>& offsets, std::vector<std::int32_t>& tokens);

// Refuses a dataset with tokens that its vocabulary lacks before any is used. What the metadata
// name as the largest is believed, as the shard job saw every one of them; only where they name
// none, or one too large, all are read, each rank's share of them. Collective; throws Error on all
// ranks.
inline constexpr const char* kLargestTokenKey = "largest_token";
void check_tokens(Comm& comm, const Dataset& dataset);

// Throws Error(data) where a token that stands between texts is none of that vocabulary.
void check_separator(const Dataset& dataset, std::int32_t token);

// Appends rows of such a column, each a text. Local; errors as for read_tokens.
void append_rows(const Dataset& dataset, const Dataset::Column& column, Range rows,
                 const TextForm& form, Sequences& sequences);

}  // namespace tutti
