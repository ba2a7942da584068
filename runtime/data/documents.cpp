#include "runtime/data/documents.h"

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace tutti {

std::vector<DocumentPlace> documents_of(const Dataset& dataset, std::int64_t shard,
                                        std::uint8_t split) {
  const Range rows = dataset.shard_rows("documents", shard),
              passages = dataset.shard_rows("passages", shard);
  const std::size_t n = std::size_t(rows.size());
  std::vector<std::uint8_t> splits(n);
  std::vector<std::int32_t> counts(n);
  std::vector<std::int64_t> firsts(n);
  dataset.read(dataset.column("documents", "split"), rows.begin, rows.size(), std::span(splits));
  dataset.read(dataset.column("documents", "first_passage"), rows.begin, rows.size(),
               std::span(firsts));
  dataset.read(dataset.column("documents", "passages"), rows.begin, rows.size(), std::span(counts));
  std::vector<DocumentPlace> places;
  for (std::size_t i = 0; i < n; ++i) {
    if (splits[i] != split || counts[i] == 0) continue;
    if (counts[i] < 0 || firsts[i] < 0 || firsts[i] > passages.size() - counts[i])
      throw Error(ExitCode::data,
                  fmt::format("document {} of shard {} has passages that are none of it", i, shard),
                  dataset.folder().string(), "make the dataset again");
    const std::int64_t first = passages.begin + firsts[i];
    places.push_back({rows.begin + std::int64_t(i), {first, first + counts[i]}});
  }
  return places;
}

}  // namespace tutti
