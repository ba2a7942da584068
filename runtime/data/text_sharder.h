// Documents, or examples, into shards of two tables.
//
// documents: id, title, query_text (ragged u8, UTF-8), query, title_tokens (ragged i32), split (u8,
// see split.h),
//   first_passage (i64, a row of the same shard's passages), passages (i32, how many)
// passages: document (i64, a row of the same shard's documents), text (ragged u8), tokens (ragged
// i32), and of examples predicted (ragged i32, the ranges of EncodedExample)
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "runtime/data/chat_template.h"
#include "runtime/data/passages.h"
#include "runtime/data/shard_writer.h"
#include "runtime/data/sharder.h"
#include "runtime/data/tokenizer.h"

namespace tutti {

struct TextShardOptions {
  std::int64_t shards = 8;
  PassageOptions passage;
  std::int64_t query_tokens = 32;  // a query's and a title's; the rest is cut off
  // Of examples: what makes them tokens, and passage.* does not count; null: documents.
  const ChatTemplate* examples = nullptr;
  double heldout = 0.05;  // share of documents
  std::uint64_t split_seed = 1;
  std::int64_t memory_bytes = std::int64_t(256)
                              << 20;  // that the shard is gathered in before it goes to disk
};

// The column of `passages` that tells examples from documents.
inline constexpr const char* kPredictedColumn = "predicted";
std::vector<TableSchema> text_tables(bool of_examples = false);

// Shard `index` holds the documents of part `index` of the source's `shards` parts.
class TextSharder : public Sharder {
 public:
  // Source, tokenizer, options and what they point to must outlive the sharder.
  TextSharder(const std::filesystem::path& folder, std::int64_t index, const TextSource& source,
              const Tokenizer& tokenizer, const TextShardOptions& options);

  bool read() override;
  void process() override;
  void write() override;
  ShardRecord finish() override { return writer_.finish(); }
  SkippedRecords skipped() const override { return reader_.skipped(); }

 private:
  struct Work {
    Record document;
    std::vector<std::int32_t> query, title;
    std::vector<Passage> passages;        // of an example one, its text and tokens
    std::vector<std::int32_t> predicted;  // of an example
  };
  void encode_document(Work& work) const;
  void encode_example(Work& work) const;
  void write_document(const Work& work);
  void write_tokens(std::size_t column, std::span<const std::int32_t> tokens);

  const Tokenizer& tokenizer_;
  const TextShardOptions& options_;
  TextSource::Reader reader_;
  ShardWriter writer_;
  struct Columns {
    std::size_t id, title, query_text, query, title_tokens, split, first_passage, passages,
        document, text, tokens, predicted;
  } columns_;
  std::vector<Work> batch_;
};

}  // namespace tutti
