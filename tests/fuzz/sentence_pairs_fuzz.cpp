// A line of a benchmark of similar sentences, as JSON, as a table's header and as its line.
#include <cmath>

#include "runtime/data/sentence_pairs.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  const std::string_view line = fuzz::text_of(data, size);
  SentencePair pair;
  if (!parse_json_pair(line, pair)) CHECK(std::isfinite(pair.score));
  const auto header = parse_pair_header(line);
  for (const PairColumns& columns : {PairColumns(), header.value_or(PairColumns())})
    if (!parse_table_pair(line, columns, pair)) CHECK(std::isfinite(pair.score));
  return 0;
}
