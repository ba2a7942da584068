// The keys of the shard job.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/config.h"
#include "runtime/data/input_files.h"
#include "runtime/data/metadata_record.h"
#include "runtime/data/text_sharder.h"
#include "runtime/data/text_source.h"
#include "runtime/data/tokenizer_training.h"

namespace tutti {

struct ShardConfig {
  std::vector<std::string> paths;
  std::string format = "auto", dataset = "train", on_bad_record = "fail";
  std::int64_t shards = 8, memory_limit = std::int64_t(512) << 20, split_seed = 1;
  std::string tokenizer_model;
  TokenizerOptions tokenizer;
  TextOptions text;
  std::string examples_format = "none", examples_template = "chatml", examples_end = "</s>";
  TextShardOptions sharding;

  std::string metadata_file, metadata_id;
  std::vector<std::string> metadata_columns;
  MetadataFields metadata;  // as check finds them

  void describe(Schema& schema);
  // Throws Error(usage).
  void check();

  bool has_examples() const { return text.examples.is_wanted(); }
  // The files of metadata, none where there are to be none. Local; errors of find_input.
  InputFiles find_metadata() const;
  bool has_metadata() const { return !metadata_file.empty(); }
  // All that the shards follow from, but for the files' contents. `metadata_input`: the files of
  // metadata, where there are some.
  nlohmann::json identity(const InputFiles& input, const InputFiles& metadata_input,
                          const std::string& tokenizer_digest) const;

 private:
  void describe_input(Schema& schema);
  void describe_examples(Schema& schema);
  void check_examples();
  void describe_metadata(Schema& schema);
  void check_metadata();
  void check_metadata_id();
};

}  // namespace tutti
