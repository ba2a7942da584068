#include "runtime/data/bm25.h"

#include <algorithm>
#include <cmath>

namespace tutti {
namespace {

constexpr double kSaturation = 1.2, kLengthWeight = 0.75;

// Bytes above 127 count as letters: words of other scripts stay whole.
bool in_word(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c > 127;
}

template <class Visit>
void visit_words(std::string_view text, Visit visit) {
  std::string word;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const unsigned char c = i < text.size() ? static_cast<unsigned char>(text[i]) : ' ';
    if (in_word(c)) {
      word += char(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    } else if (!word.empty()) {
      visit(word);
      word.clear();
    }
  }
}

}  // namespace

void Bm25::add(std::string_view text) {
  const std::int32_t number = std::int32_t(lengths_.size());
  std::int32_t length = 0;
  visit_words(text, [&](const std::string& word) {
    ++length;
    std::vector<Posting>& list = postings_[word];
    if (list.empty() || list.back().text != number) list.push_back({number, 0});
    ++list.back().count;
  });
  lengths_.push_back(length);
  words_ += length;
}

std::vector<std::int64_t> Bm25::best(std::string_view query, std::int64_t k) const {
  const double texts = double(lengths_.size()), mean_length = double(words_) / std::max(1.0, texts);
  std::unordered_map<std::int32_t, double> scores;
  visit_words(query, [&](const std::string& word) {
    const auto found = postings_.find(word);
    if (found == postings_.end()) return;
    const double holding = double(found->second.size());
    const double idf = std::log(1 + (texts - holding + 0.5) / (holding + 0.5));
    for (const Posting& p : found->second) {
      const double length = double(lengths_[std::size_t(p.text)]) / mean_length;
      const double norm = kSaturation * (1 - kLengthWeight + kLengthWeight * length);
      scores[p.text] += idf * double(p.count) * (kSaturation + 1) / (double(p.count) + norm);
    }
  });
  std::vector<std::pair<double, std::int64_t>> order;
  for (const auto& [text, score] : scores) order.emplace_back(-score, text);
  const std::size_t count = std::min(order.size(), std::size_t(k));
  std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(count), order.end());
  std::vector<std::int64_t> best;
  for (std::size_t i = 0; i < count; ++i) best.push_back(order[i].second);
  return best;
}

}  // namespace tutti
