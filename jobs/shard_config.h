// The keys of the shard job.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/config.h"
#include "runtime/data/input_files.h"
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

  void describe(Schema& schema);
  // Throws Error(usage).
  void check();

  bool has_examples() const { return text.examples.is_wanted(); }
  // All that the shards follow from, but for the files' contents.
  nlohmann::json identity(const InputFiles& input, const std::string& tokenizer_digest) const;

 private:
  void describe_input(Schema& schema);
  void describe_examples(Schema& schema);
  void check_examples();
};

}  // namespace tutti
