// Claims about the train job as a user starts it, GPT-2 124M, 16 sequences of 1024 tokens a step,
// in all runs on the same two threads:
//
//   train.gpt2_124m.two_ranks       2 ranks of 1 thread against 1 rank of 2 threads, in tokens/s
//   train.gpt2_124m.exact_vs_fast   the fixed-order reduction against MPI's order, on 2 ranks
//   train.gpt2_124m.memory          4 GiB against the peak of 1 rank
//   train.gpt2_124m.memory_at_two   65 % of the peak of 1 rank against that of each of 2
//   train.gpt2_124m.start           3 s against the time from mpirun to the first step
//
//   bench_train_gpt2_job [FOLDER]   (FOLDER, default here, takes the runs: 4 GiB for a while)

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/claim.h"
#include "kernels/core/random.h"
#include "runtime/data/byte_level.h"
#include "runtime/data/utf8.h"

namespace tutti::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 3, kSteps = 3;  // the first of which warms up
constexpr std::int64_t kDocuments = 60, kWords = 600;
constexpr double kTokens = 16 * 1024, kGiB = 1 << 30;

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void run(const std::string& command) {
  if (std::system((command + " >>log.txt 2>&1").c_str()) == 0) return;
  std::fprintf(stderr, "failed, see log.txt: %s\n", command.c_str());
  std::exit(1);
}

// A tokenizer as large as GPT-2's: all bytes, pairs of bytes, and the end of a text.
void write_tokenizer(const fs::path& path) {
  constexpr int kPairs = 50000;
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) {
    bytes.emplace_back();
    append_utf8(byte_level_character(static_cast<unsigned char>(b)), bytes.back());
  }
  nlohmann::json vocabulary, merges = nlohmann::json::array();
  for (int b = 0; b < 256; ++b) vocabulary[bytes[std::size_t(b)]] = b;
  for (int pair = 0; pair < kPairs; ++pair) {
    const std::string &left = bytes[std::size_t(pair / 256)],
                      &right = bytes[std::size_t(pair % 256)];
    vocabulary[left + right] = 256 + pair;
    merges.push_back({left, right});
  }
  const nlohmann::json byte_level = {{"type", "ByteLevel"},
                                     {"add_prefix_space", false},
                                     {"trim_offsets", true},
                                     {"use_regex", true}};
  const nlohmann::json end = {
      {"id", 50256},     {"content", "<|endoftext|>"}, {"single_word", false}, {"lstrip", false},
      {"rstrip", false}, {"normalized", false},        {"special", true}};
  vocabulary["<|endoftext|>"] = 50256;
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

struct Way {
  std::string name;
  int ranks, threads;
  std::string reduce;
  std::vector<double> rates, starts;  // tokens a second, seconds
  double peak = 0;                    // bytes of the largest rank
};

std::string tutti(int ranks) {
  return fmt::format("mpirun --bind-to none -n {} " TUTTI_BINARY " ", ranks);
}

// One start of the job, and what its records tell.
void train(Way& way) {
  fs::remove_all("run");
  const double launched = now();
  run(tutti(way.ranks) +
      fmt::format("train train.toml --run run --set threads={} --set train.reduce={}", way.threads,
                  way.reduce));
  std::ifstream events("run/events.jsonl"), results("run/result.json");
  way.peak =
      std::max(way.peak, nlohmann::json::parse(results).at("peak_memory_bytes").get<double>());
  for (std::string line; std::getline(events, line);) {
    const auto event = nlohmann::json::parse(line);
    if (event.at("event") != "step") continue;
    const double rate = event.at("tokens_per_second");
    if (event.at("step") > 1)
      way.rates.push_back(rate);
    else
      way.starts.push_back(event.at("time").get<double>() - kTokens / rate - launched);
  }
}

void prepare() {
  write_tokenizer("tokenizer.json");
  write_documents("documents.jsonl");
  std::ofstream("shard.toml") << "shards = 2\n[input]\npaths = [\"documents.jsonl\"]\n"
                                 "[tokenizer]\nmodel = \"tokenizer.json\"\n[passage]\ntokens = 0\n";
  std::ofstream("train.toml")
      << "dataset = \"data\"\n[data]\nseparator = \"<|endoftext|>\"\n[model]\nkind = \"gpt2\"\n"
         "width = 768\nlayers = 12\nheads = 12\nmax_tokens = 1024\n[batch]\nglobal = 16\nmicro = "
         "1\n"
         "leaf = 8\n[evaluate]\nsequences = 0\n[checkpoint]\nevery = \"1h\"\n[train]\nsteps = "
      << kSteps << "\n";
  run(tutti(2) + "shard shard.toml --run data");
}

std::string detail_of(const Way& way) {
  return fmt::format("{}: {:.0f} tokens/s, {:.2f} GiB", way.name, median(way.rates),
                     way.peak / kGiB);
}

void report(const Way& one, const Way& two, const Way& fast) {
  const std::string sizes = detail_of(one) + "; " + detail_of(two);
  print_claim("train.gpt2_124m.two_ranks", median(two.rates) / median(one.rates), 0.95, sizes);
  print_claim("train.gpt2_124m.exact_vs_fast", median(two.rates) / median(fast.rates), 0.90,
              detail_of(two) + "; " + detail_of(fast));
  print_claim("train.gpt2_124m.memory", 4 * kGiB / one.peak, 1, sizes);
  print_claim("train.gpt2_124m.memory_at_two", 0.65 * one.peak / two.peak, 1, sizes);
  print_claim("train.gpt2_124m.start", 3 / median(one.starts), 1,
              fmt::format("{:.2f} s from mpirun to the first step on 1 rank, {:.2f} s on 2",
                          median(one.starts), median(two.starts)));
}

void measure(const fs::path& folder) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  fs::current_path(folder);
  prepare();
  Way one{"1 rank", 1, 2, "exact", {}, {}}, two{"2 ranks", 2, 1, "exact", {}, {}},
      fast{"2 ranks, fast", 2, 1, "fast", {}, {}};
  for (int round = 0; round < kRounds; ++round)
    for (Way* way : {&one, &two, &fast}) train(*way);
  report(one, two, fast);
  fs::current_path("..");
  fs::remove_all(folder);
}

}  // namespace
}  // namespace tutti::bench

int main(int argc, char** argv) {
  tutti::bench::measure(std::filesystem::absolute(std::filesystem::path(argc > 1 ? argv[1] : ".") /
                                                  "bench_train_gpt2"));
}
