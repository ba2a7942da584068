// Token sequences one behind another, as the models take them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"

namespace tutti {

// Sequence i is tokens[offsets[i], offsets[i + 1]).
struct Sequences {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> offsets = {0};

  std::int64_t count() const { return std::int64_t(offsets.size()) - 1; }
  // Appends one, cut to its first `longest` tokens.
  void add(std::span<const std::int32_t> sequence, std::int64_t longest);
};

// Appends rows of a ragged column of tokens, each cut to `longest`. Local; errors as for Dataset.
void append_rows(const Dataset& dataset, const Dataset::Column& column, Range rows,
                 std::int64_t longest, Sequences& sequences);

}  // namespace tutti
