// Small documents to run jobs on.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "kernels/core/random.h"

namespace tutti::testing {

// Documents as JSON lines: each about a topic word of its own, so that a summary finds its text. A
// function of `count` and `seed` alone.
inline void write_corpus(const std::filesystem::path& file, int count, std::uint64_t seed = 1) {
  static const char* const kSyllables[] = {"ka", "to",  "mi", "ren", "sul", "bo",
                                           "ta", "vin", "el", "dro", "pa",  "lu"};
  const auto word = [&](std::uint64_t number) {
    std::string text;
    for (int i = 0; i < 3; ++i, number /= 12) text += kSyllables[number % 12];
    return text;
  };
  std::ofstream out(file);
  for (int d = 0; d < count; ++d) {
    const auto common = [&](std::uint64_t i) {
      return word(random_u64(seed, std::uint64_t(d), i) % 200);
    };
    const std::string topic = word(std::uint64_t(300 + d));
    std::string body;
    for (std::uint64_t i = 0; i < 60 + random_u64(seed, std::uint64_t(d), 999) % 120; ++i)
      body += (i % 7 == 3 ? topic : common(i)) + (i % 15 == 14 ? ".\\n\\n" : " ");
    out << R"({"id": "doc)" << d << R"(", "title": ")" << topic << R"(", "summary": ")"
        << common(500) << " " << topic << " " << common(501) << R"(", "text": ")" << body
        << "\"}\n";
  }
}

}  // namespace tutti::testing
