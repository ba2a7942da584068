#include "runtime/data/sequences.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

constexpr std::int64_t kRowsAtOnce = 4096;
constexpr std::pair<const char*, const char*> kTokenColumns[] = {
    {"documents", "query"}, {"documents", "title_tokens"}, {"passages", "tokens"}};

// A number of the metadata; the largest of all where they name none.
std::int64_t number_of(const Manifest& manifest, const char* key) {
  const auto named = manifest.metadata.find(key);
  const bool is_number = named != manifest.metadata.end() && named->is_number_integer();
  return is_number ? named->get<std::int64_t>() : std::numeric_limits<std::int64_t>::max();
}

// One above the largest id that the dataset may have.
std::int64_t end_of_ids(const Manifest& manifest) { return number_of(manifest, "vocabulary"); }

[[noreturn]] void refuse_token(const Dataset& dataset, const Dataset::Column& column,
                               std::int64_t row, std::int64_t place, std::int32_t token,
                               std::int64_t end) {
  const TableSchema& table = dataset.manifest().tables[column.table].schema;
  std::int64_t shard = 0;
  while (dataset.shard_rows(table.name, shard).end <= row) ++shard;
  throw Error(ExitCode::data,
              fmt::format("token {} of row {} is {}; expected one of the vocabulary, from 0 to {}",
                          place, row - dataset.shard_rows(table.name, shard).begin, token, end - 1),
              fmt::format("{}, {}", (dataset.folder() / shard_file(shard)).string(),
                          column_dataset(table, table.columns[column.column])),
              "make the dataset again, with the tokenizer that lies in its folder");
}

}  // namespace

void Sequences::add(std::span<const std::int32_t> sequence, std::int64_t longest) {
  add(sequence, TextForm{longest, {}});
}

void Sequences::add(std::span<const std::int32_t> text, const TextForm& form) {
  const auto cut = text.first(std::min(text.size(), std::size_t(form.room())));
  for (const std::span<const std::int32_t> part :
       {std::span(form.frame.front), cut, std::span(form.frame.back)})
    tokens.insert(tokens.end(), part.begin(), part.end());
  offsets.push_back(std::int32_t(tokens.size()));
}

void read_tokens(const Dataset& dataset, const Dataset::Column& column, Range rows,
                 std::vector<std::int64_t>& offsets, std::vector<std::int32_t>& tokens) {
  dataset.read_ragged(column, rows.begin, rows.size(), offsets, tokens);
  const std::int64_t end = end_of_ids(dataset.manifest());
  const auto bad = std::find_if(tokens.begin(), tokens.end(),
                                [&](std::int32_t token) { return token < 0 || token >= end; });
  if (bad == tokens.end()) return;
  const auto row = std::upper_bound(offsets.begin(), offsets.end(), bad - tokens.begin()) - 1;
  refuse_token(dataset, column, rows.begin + (row - offsets.begin()), bad - tokens.begin() - *row,
               *bad, end);
}

void check_tokens(Comm& comm, const Dataset& dataset) {
  if (number_of(dataset.manifest(), kLargestTokenKey) < end_of_ids(dataset.manifest())) return;
  comm.attempt([&] {
    std::vector<std::int64_t> offsets;
    std::vector<std::int32_t> tokens;
    for (const auto& [table, name] : kTokenColumns) {
      const auto column = dataset.column(table, name);
      const Range mine = part_of(column.rows, comm.size(), comm.rank());
      for (std::int64_t row = mine.begin; row < mine.end; row += kRowsAtOnce)
        read_tokens(dataset, column, {row, std::min(mine.end, row + kRowsAtOnce)}, offsets, tokens);
    }
  });
}

void check_separator(const Dataset& dataset, std::int32_t token) {
  const std::int64_t end = end_of_ids(dataset.manifest());
  if (token >= 0 && token < end) return;
  throw Error(ExitCode::data,
              fmt::format("the token between documents is {}; expected one of the vocabulary, from "
                          "0 to {}",
                          token, end - 1),
              (dataset.folder() / kManifestFile).string(),
              "make the dataset again, with the tokenizer that lies in its folder");
}

void append_rows(const Dataset& dataset, const Dataset::Column& column, Range rows,
                 const TextForm& form, Sequences& sequences) {
  std::vector<std::int64_t> offsets;
  std::vector<std::int32_t> tokens;
  read_tokens(dataset, column, rows, offsets, tokens);
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    sequences.add(std::span(tokens).subspan(std::size_t(offsets[i]),
                                            std::size_t(offsets[i + 1] - offsets[i])),
                  form);
}

}  // namespace tutti
