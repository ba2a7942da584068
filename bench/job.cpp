#include "bench/job.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>

#include "kernels/core/random.h"
#include "runtime/data/byte_level.h"
#include "runtime/data/utf8.h"

namespace tutti::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDocuments = 60, kWords = 600;

}  // namespace

JobFolder::JobFolder(const fs::path& folder) : folder_(folder), before_(fs::current_path()) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  fs::current_path(folder);
}

JobFolder::~JobFolder() {
  fs::current_path(before_);
  fs::remove_all(folder_);
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void run_job(int ranks, int threads, const std::string& command, int code) {
  const std::string line =
      fmt::format("mpirun --bind-to none -n {} " TUTTI_BINARY " {} --set threads={} >>log.txt 2>&1",
                  ranks, command, threads);
  const int status = std::system(line.c_str());
  if (WIFEXITED(status) && WEXITSTATUS(status) == code) return;
  std::fprintf(stderr, "failed, see log.txt: %s\n", line.c_str());
  std::exit(1);
}

void write_tokenizer(const fs::path& path, int vocabulary_size) {
  const int pairs = vocabulary_size - 257;
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) {
    bytes.emplace_back();
    append_utf8(byte_level_character(static_cast<unsigned char>(b)), bytes.back());
  }
  nlohmann::json vocabulary, merges = nlohmann::json::array();
  for (int b = 0; b < 256; ++b) vocabulary[bytes[std::size_t(b)]] = b;
  for (int pair = 0; pair < pairs; ++pair) {
    const std::string &left = bytes[std::size_t(pair / 256)],
                      &right = bytes[std::size_t(pair % 256)];
    vocabulary[left + right] = 256 + pair;
    merges.push_back({left, right});
  }
  const nlohmann::json byte_level = {{"type", "ByteLevel"},
                                     {"add_prefix_space", false},
                                     {"trim_offsets", true},
                                     {"use_regex", true}};
  const nlohmann::json end = {{"id", vocabulary_size - 1},
                              {"content", "<|endoftext|>"},
                              {"single_word", false},
                              {"lstrip", false},
                              {"rstrip", false},
                              {"normalized", false},
                              {"special", true}};
  vocabulary["<|endoftext|>"] = vocabulary_size - 1;
  std::ofstream(path) << nlohmann::json{
      {"version", "1.0"},
      {"added_tokens", {end}},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}}};
}

void write_documents(const fs::path& path) {
  std::ofstream out(path);
  for (std::int64_t d = 0; d < kDocuments; ++d) {
    std::string text;
    for (std::int64_t w = 0; w < kWords; ++w) {
      const std::uint64_t letters = random_u64(1, std::uint64_t(d), std::uint64_t(w));
      for (std::uint64_t k = 0; k < 2 + letters % 7; ++k)
        text += char('a' + (letters >> (8 + 6 * k)) % 26);
      text += ' ';
    }
    out << nlohmann::json{{"id", std::to_string(d)}, {"text", text}} << "\n";
  }
}

JobRecord::JobRecord(const fs::path& run, double tokens_of_a_step) {
  std::ifstream events(run / "events.jsonl"), result(run / "result.json");
  peak_bytes = nlohmann::json::parse(result).at("peak_memory_bytes");
  for (std::string line; std::getline(events, line);) {
    const auto event = nlohmann::json::parse(line);
    if (event.at("event") == "ready") ready = event.at("time");
    if (event.at("event") != "step") continue;
    const double rate = event.at("tokens_per_second");
    if (event.at("step") > 1)
      rates.push_back(rate);
    else
      first_step = event.at("time").get<double>() - tokens_of_a_step / rate;
  }
}

}  // namespace tutti::bench
