// A line of prompts from outside: it is a prompt, or is told what is wrong with it.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/base/check.h"
#include "runtime/data/prompt_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tutti::Prompt prompt;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  if (const auto problem = tutti::parse_prompt(line, prompt)) {
    CHECK(!problem->empty());
    return 0;
  }
  CHECK(!prompt.max_tokens || *prompt.max_tokens >= 1);
  CHECK(!tutti::to_json(prompt).dump().empty());
  return 0;
}
