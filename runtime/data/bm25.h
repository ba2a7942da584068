// BM25: the yardstick that a learned retrieval has to beat.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tutti {

// Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) over
// lower-case runs of letters and digits, with k1 = 1.2, b = 0.75 and idf = log(1 + (N - n + 0.5) /
// (n + 0.5)). In memory. Local.
class Bm25 {
 public:
  // Appends a text; its number is how many there were before.
  void add(std::string_view text);

  // The numbers of the `k` texts that score highest, best first, ties by number; fewer where fewer
  // share a word with the query.
  std::vector<std::int64_t> best(std::string_view query, std::int64_t k) const;

 private:
  struct Posting {
    std::int32_t text = 0;
    std::int32_t count = 0;
  };
  std::unordered_map<std::string, std::vector<Posting>> postings_;
  std::vector<std::int32_t> lengths_;  // words in each text
  std::int64_t words_ = 0;
};

}  // namespace tutti
