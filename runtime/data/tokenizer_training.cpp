#include "runtime/data/tokenizer_training.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include <sentencepiece_trainer.h>

#include "runtime/base/error.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

constexpr std::int64_t kWindowBytes = 16 << 10;  // of text that one window gives
constexpr std::size_t kLongestSentence =
    2048;                              // bytes; the trainer's time grows with a sentence's length
constexpr const char* kThreads = "4";  // the order of the trainer's sums follows from it

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& sentences) : sentences_(sentences) {}
  bool done() const override { return next_ >= sentences_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return sentences_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& sentences_;
  std::size_t next_ = 0;
};

// Cuts a text at line ends, and long lines at white space.
void add_sentences(std::string_view text, std::vector<std::string>& sentences) {
  while (!text.empty()) {
    std::size_t end = text.find('\n');
    std::size_t next = end == std::string_view::npos ? text.size() : end + 1;
    end = std::min(end, text.size());
    if (end > kLongestSentence) {
      const std::size_t space = text.rfind(' ', kLongestSentence);
      end = next =
          space != std::string_view::npos && space > 0 ? space : utf8_floor(text, kLongestSentence);
    }
    if (text.find_first_not_of(" \t\r\f\v") < end) sentences.emplace_back(text.substr(0, end));
    text.remove_prefix(next);
  }
}

}  // namespace

std::vector<std::string> tokenizer_normalizations() {
  return {"nmt_nfkc_cf", "nmt_nfkc", "nfkc_cf", "nfkc", "identity"};
}

std::vector<std::string> sample_sentences(const TextSource& source, std::int64_t bytes) {
  const bool all = source.input().bytes() <= bytes;
  const std::int64_t windows = all ? 1 : std::max<std::int64_t>(1, bytes / kWindowBytes);
  const std::int64_t share = all ? bytes : bytes / windows;
  std::vector<std::string> sentences;
  Record document;
  for (std::int64_t window = 0; window < windows; ++window) {
    TextSource::Reader reader = source.read(windows, window);
    for (std::int64_t left = share; left > 0 && reader.next(document);) {
      for (const std::string* field : {&document.title, &document.query, &document.text}) {
        const std::size_t end = utf8_floor(*field, std::size_t(std::max<std::int64_t>(0, left)));
        add_sentences(std::string_view(*field).substr(0, end), sentences);
        left -= std::int64_t(end);
        if (end < field->size()) left = 0;
      }
    }
  }
  return sentences;
}

std::string train_tokenizer(const std::vector<std::string>& sentences,
                            const TokenizerOptions& options) {
  if (sentences.empty())
    throw Error(ExitCode::data, "no text to train a tokenizer on", "input", "check fields.text");
  Sentences iterator(sentences);
  std::string model;
  const std::unordered_map<std::string, std::string> arguments = {
      {"model_type", "unigram"},
      {"vocab_size", std::to_string(options.vocabulary)},
      {"hard_vocab_limit", "false"},
      {"character_coverage", "0.9995"},
      {"byte_fallback", "true"},
      {"normalization_rule_name", options.normalization},
      {"max_sentence_length", std::to_string(2 * kLongestSentence)},
      {"shuffle_input_sentence", "false"},
      {"num_threads", kThreads},
      {"minloglevel", "2"}};
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &model);
  if (!status.ok())
    throw Error(ExitCode::usage, std::string("cannot train a tokenizer: ") + status.message(),
                "tokenizer.vocabulary",
                "give a larger vocabulary, more text, or a tokenizer.model");
  return model;
}

}  // namespace tutti
