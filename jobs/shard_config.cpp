#include "jobs/shard_config.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

using nlohmann::json;

// Changes whenever the same input and configuration would give other shards.
constexpr int kShardingVersion = 1;
// The longest record may take this share of a rank's memory: it is there as a line, as a document
// and as passages.
constexpr std::int64_t kRecordShare = 8;

[[noreturn]] void wrong(const std::string& what, const char* key, const char* fix) {
  throw Error(ExitCode::usage, what, key, fix);
}

}  // namespace

void ShardConfig::describe_input(Schema& s) {
  s.key("input.paths", &paths, "files, folders (with their sub-folders) and globs to read");
  s.require("input.paths");
  s.choice("input.format", &format, input_formats(),
           "auto: by the files' endings; text: a file is a document");
  s.key("input.dataset", &dataset, "of HDF5 files of vectors: the dataset to read");
  s.bytes("input.longest_record", &text.longest_record, "longest line or text file to take");
  s.key("fields.id", &text.fields.id,
        "JSONL field that names a document; \"\": file name and byte");
  s.key("fields.title", &text.fields.title,
        "JSONL field with the title; may be missing in a record");
  s.key("fields.query", &text.fields.query,
        "JSONL field with the question or summary; may be missing in a record");
  s.key("fields.text", &text.fields.text, "JSONL field with the text");
}

void ShardConfig::describe_examples(Schema& s) {
  s.choice("examples.format", &examples_format, {"none", "completion", "messages"},
           "what language models are fine-tuned with: prompts and completions, or conversations; "
           "none: lines are documents");
  s.key("examples.prompt", &text.examples.prompt, "completion: JSONL field with the prompt");
  s.key("examples.completion", &text.examples.completion,
        "completion: JSONL field with what follows the prompt, beginning with its space");
  s.key("examples.messages", &text.examples.messages,
        "messages: JSONL field with the list of {role, content}");
  s.choice("examples.template", &examples_template, chat_style_names(),
           "messages: how they become one text; the templates in Jinja of Hugging Face's folders "
           "are not interpreted");
  s.key("examples.end", &examples_end,
        "completion, and the template plain: the special piece that ends an answer");
}

void ShardConfig::describe_metadata(Schema& s) {
  s.key("metadata.file", &metadata_file,
        "of vectors: JSONL with a line a vector, in their order; a file, folder or glob");
  s.key("metadata.columns", &metadata_columns,
        "fields to take, as \"NAME:TYPE\"; types are integer, float, category (a string of few) "
        "and tags (a list of such strings)");
  s.key("metadata.id", &metadata_id,
        "field by which users name vectors, each once, as \"NAME:integer\" or \"NAME:string\"");
}

void ShardConfig::describe(Schema& s) {
  describe_input(s);
  describe_metadata(s);
  describe_examples(s);
  s.choice("on_bad_record", &on_bad_record, {"fail", "skip"},
           "skip: leave bad records out, count and report them");
  s.key("shards", &shards, "shards",
        "files that the dataset is cut into, whatever the number of ranks");
  s.key("split.heldout", &sharding.heldout, "", "share of documents that is held out of training");
  s.key("split.seed", &split_seed, "", "another seed holds out other documents");
  s.key("tokenizer.model", &tokenizer_model,
        "SentencePiece model or tokenizer.json to use; \"\": train one");
  s.key("tokenizer.vocabulary", &tokenizer.vocabulary, "pieces",
        "size of a trained tokenizer, at the most");
  s.bytes("tokenizer.sample", &tokenizer.sample_bytes, "text to train the tokenizer on");
  s.choice("tokenizer.normalization", &tokenizer.normalization, tokenizer_normalizations(),
           "how a trained tokenizer unifies characters; those ending in _cf ignore case");
  s.key("passage.tokens", &sharding.passage.tokens, "tokens",
        "longest passage; 0: documents are not cut, as language models want them");
  s.key("passage.per_document", &sharding.passage.per_document, "passages",
        "passages after which the rest of a document is left out; 0: no limit");
  s.key("query.tokens", &sharding.query_tokens, "tokens",
        "longest question, summary or title; the rest is cut off");
  s.bytes("memory_limit", &memory_limit, "memory of a rank for the data in flight");
}

void ShardConfig::check() {
  if (paths.empty()) wrong("no input", "input.paths", "name files, folders or globs");
  if (shards < 1 || shards > kMaxShards) wrong("expected 1 to 100000 shards", "shards", "");
  if (!(sharding.heldout >= 0 && sharding.heldout < 1))
    wrong("expected a share below 1", "split.heldout", "");
  if (sharding.passage.tokens != 0 && sharding.passage.tokens < 8)
    wrong("a passage has at least 8 tokens", "passage.tokens", "0 is no limit");
  if (sharding.passage.per_document < 0)
    wrong("a negative count", "passage.per_document", "0 is no limit");
  if (sharding.query_tokens < 1) wrong("a question has at least 1 token", "query.tokens", "");
  if (text.fields.text.empty()) wrong("the text must be in some field", "fields.text", "");
  if (tokenizer.vocabulary < 300 || tokenizer.vocabulary > 1 << 20)
    wrong("expected 300 to 1048576 pieces", "tokenizer.vocabulary",
          "256 of them stand for single bytes");
  if (tokenizer.sample_bytes < 1)
    wrong("no text to train on", "tokenizer.sample", "\"4MiB\" is usual");
  if (text.longest_record < 1 || memory_limit / kRecordShare < text.longest_record)
    wrong("memory_limit must be at least 8 times input.longest_record", "memory_limit",
          "raise it, or lower the other");
  check_examples();
  check_metadata();
  text.skip_bad = on_bad_record == "skip";
  sharding.shards = shards;
  sharding.split_seed = std::uint64_t(split_seed);
  sharding.memory_bytes = memory_limit / 2;
}

void ShardConfig::check_examples() {
  ExampleOptions& e = text.examples;
  if (examples_format == "none") return;
  if (e.prompt.empty() || e.completion.empty() || e.messages.empty() || examples_end.empty())
    wrong("a name is empty", "examples.*", "");
  const bool is_pair = examples_format == "completion";
  e.format = is_pair ? ExampleOptions::Format::completion : ExampleOptions::Format::messages;
  e.style = is_pair ? ChatStyle::pair : chat_style_of(examples_template);
}

void ShardConfig::check_metadata() {
  if (!has_metadata() && !(metadata_columns.empty() && metadata_id.empty()))
    wrong("no file to take metadata from", "metadata.file", "name one");
  if (has_metadata() && metadata_columns.empty() && metadata_id.empty())
    wrong("no columns to take", "metadata.columns", "name fields and their types");
  for (const std::string& asked : metadata_columns) {
    MetadataColumn column = parse_metadata_column(asked, "metadata.columns");
    if (std::ranges::find(metadata.columns, column.name, &MetadataColumn::name) !=
        metadata.columns.end())
      throw Error(ExitCode::usage, "the column '" + column.name + "' is named twice",
                  "metadata.columns");
    metadata.columns.push_back(std::move(column));
  }
  if (!metadata_id.empty()) check_metadata_id();
}

InputFiles ShardConfig::find_metadata() const {
  if (!has_metadata()) return {};
  try {
    return find_input({metadata_file}, "jsonl");
  } catch (const Error& error) {  // whose remedy is about the vectors' files
    throw Error(error.code(), error.problem(), error.place(), "check metadata.file");
  }
}

void ShardConfig::check_metadata_id() {
  const std::size_t colon = metadata_id.rfind(':');
  const std::string type = colon == std::string::npos ? "" : metadata_id.substr(colon + 1);
  metadata.id = metadata_id.substr(0, colon);
  if (metadata.id.empty() || (type != "integer" && type != "string"))
    throw Error(ExitCode::usage, "'" + metadata_id + "' is no field and type", "metadata.id",
                "write \"NAME:integer\" or \"NAME:string\"");
  metadata.id_type = type == "integer" ? ExternalIdType::integer : ExternalIdType::text;
}

json ShardConfig::identity(const InputFiles& input, const InputFiles& metadata_input,
                           const std::string& tokenizer_digest) const {
  json all = {{"version", kShardingVersion},
              {"input", to_json(input)},
              {"dataset", dataset},
              {"fields", {text.fields.id, text.fields.title, text.fields.query, text.fields.text}},
              {"examples",
               {examples_format, text.examples.prompt, text.examples.completion,
                text.examples.messages, examples_template, examples_end}},
              {"longest_record", text.longest_record},
              {"on_bad_record", on_bad_record},
              {"shards", shards},
              {"heldout", sharding.heldout},
              {"split_seed", split_seed},
              {"tokenizer", tokenizer_digest},
              {"passage", {sharding.passage.tokens, sharding.passage.per_document}},
              {"query_tokens", sharding.query_tokens}};
  if (has_metadata()) all["metadata"] = {to_json(metadata_input), metadata_columns, metadata_id};
  return all;
}

}  // namespace tutti
