// The models of transformers beside this file, and what it computed with them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/scratch_folder.h"

namespace tutti::testing {

// The language models; the encoder is "bert".
inline std::vector<std::string> golden_names() {
  return {"gpt2", "llama", "llama_bias", "mistral", "qwen2"};
}

// The folder as transformers wrote it. TUTTI_GOLDEN comes from the build.
inline std::filesystem::path golden_folder(const std::string& name) {
  return std::filesystem::path(TUTTI_GOLDEN) / name;
}

inline nlohmann::json golden_numbers(const std::string& name) {
  return nlohmann::json::parse(read_text(golden_folder(name) / "golden.json"));
}

}  // namespace tutti::testing
