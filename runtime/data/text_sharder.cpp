#include "runtime/data/text_sharder.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "kernels/core/parallel.h"
#include "runtime/data/split.h"

namespace tutti {
namespace {

// Text of a batch: enough documents to keep the threads busy, few enough to stay in the cache and
// to stop soon.
constexpr std::int64_t kBatchBytes = 1 << 20;

template <class T>
void append_one(ShardWriter& writer, std::size_t column, T value) {
  writer.append<T>(column, std::span<const T>(&value, 1));
}

void append_text(ShardWriter& writer, std::size_t column, std::string_view text) {
  writer.append_ragged<std::uint8_t>(
      column, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

}  // namespace

std::vector<TableSchema> text_tables(bool of_examples) {
  std::vector<TableSchema> tables = {
      {"documents",
       {ColumnSchema::ragged("id", DType::u8), ColumnSchema::ragged("title", DType::u8),
        ColumnSchema::ragged("query_text", DType::u8), ColumnSchema::ragged("query", DType::i32),
        ColumnSchema::ragged("title_tokens", DType::i32), ColumnSchema::scalar("split", DType::u8),
        ColumnSchema::scalar("first_passage", DType::i64),
        ColumnSchema::scalar("passages", DType::i32)}},
      {"passages",
       {ColumnSchema::scalar("document", DType::i64), ColumnSchema::ragged("text", DType::u8),
        ColumnSchema::ragged("tokens", DType::i32)}}};
  if (of_examples) tables[1].columns.push_back(ColumnSchema::ragged(kPredictedColumn, DType::i32));
  return tables;
}

TextSharder::TextSharder(const std::filesystem::path& folder, std::int64_t index,
                         const TextSource& source, const Tokenizer& tokenizer,
                         const TextShardOptions& options)
    : tokenizer_(tokenizer),
      options_(options),
      reader_(source.read(options.shards, index)),
      writer_(folder, index, text_tables(options.examples), options.memory_bytes),
      columns_{writer_.column("documents", "id"),
               writer_.column("documents", "title"),
               writer_.column("documents", "query_text"),
               writer_.column("documents", "query"),
               writer_.column("documents", "title_tokens"),
               writer_.column("documents", "split"),
               writer_.column("documents", "first_passage"),
               writer_.column("documents", "passages"),
               writer_.column("passages", "document"),
               writer_.column("passages", "text"),
               writer_.column("passages", "tokens"),
               options.examples ? writer_.column("passages", kPredictedColumn) : 0} {}

bool TextSharder::read() {
  batch_.clear();
  std::int64_t bytes = 0;
  Work work;
  while (bytes < kBatchBytes && reader_.next(work.document)) {
    bytes += std::int64_t(work.document.text.size()) + 1;
    batch_.push_back(std::move(work));
    work = {};
  }
  counts_.bytes = reader_.bytes();
  counts_.skipped = reader_.skipped().count;
  return !batch_.empty();
}

void TextSharder::process() {
  parallel_for_dynamic(std::int64_t(batch_.size()), [&](std::int64_t i) {
    Work& work = batch_[std::size_t(i)];
    if (options_.examples)
      encode_example(work);
    else
      encode_document(work);
  });
}

void TextSharder::encode_document(Work& work) const {
  const auto short_tokens = [this](const std::string& text) {
    std::vector<std::int32_t> tokens = tokenizer_.encode(text);
    if (std::int64_t(tokens.size()) > options_.query_tokens)
      tokens.resize(std::size_t(options_.query_tokens));
    return tokens;
  };
  work.query = short_tokens(work.document.query);
  work.title = short_tokens(work.document.title);
  work.passages = cut_passages(work.document.text, tokenizer_, options_.passage);
}

void TextSharder::encode_example(Work& work) const {
  EncodedExample example = options_.examples->encode(work.document.messages);
  work.passages = {{0, std::int64_t(work.document.text.size()), std::move(example.tokens)}};
  work.predicted = std::move(example.predicted);
}

void TextSharder::write() {
  for (const Work& work : batch_) write_document(work);
}

void TextSharder::write_tokens(std::size_t column, std::span<const std::int32_t> tokens) {
  for (const std::int32_t token : tokens)
    counts_.largest_token = std::max<std::int64_t>(counts_.largest_token, token);
  writer_.append_ragged(column, tokens);
}

void TextSharder::write_document(const Work& work) {
  const Record& document = work.document;
  const std::uint8_t split = split_of(document.id, options_.heldout, options_.split_seed);
  append_text(writer_, columns_.id, document.id);
  append_text(writer_, columns_.title, document.title);
  append_text(writer_, columns_.query_text, document.query);
  write_tokens(columns_.query, work.query);
  write_tokens(columns_.title_tokens, work.title);
  append_one<std::uint8_t>(writer_, columns_.split, split);
  append_one<std::int64_t>(writer_, columns_.first_passage, counts_.passages);
  append_one<std::int32_t>(writer_, columns_.passages, std::int32_t(work.passages.size()));
  for (const Passage& passage : work.passages) {
    append_one<std::int64_t>(writer_, columns_.document, counts_.records);
    append_text(writer_, columns_.text,
                std::string_view(document.text)
                    .substr(std::size_t(passage.begin), std::size_t(passage.end - passage.begin)));
    write_tokens(columns_.tokens, passage.tokens);
    if (options_.examples) writer_.append_ragged<std::int32_t>(columns_.predicted, work.predicted);
    counts_.tokens += std::int64_t(passage.tokens.size());
  }
  counts_.passages += std::int64_t(work.passages.size());
  counts_.heldout += split == kHeldoutSplit;
  ++counts_.records;
}

}  // namespace tutti
