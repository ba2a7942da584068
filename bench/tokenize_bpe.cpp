// Claim tokenize.bpe.vs_hf: text to ids by a byte-level BPE of 32768 pieces, two threads, against
// Hugging Face's tokenizers with two threads:
//
//   bench_tokenize_bpe [FOLDER]       (FOLDER keeps texts and tokenizer from run to run; default:
//   beside the program)
//
// The peer is the Python package `tokenizers`; the variable TUTTI_PYTHON names the python3 that has
// it.

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/claim.h"
#include "bench/peer.h"
#include "runtime/base/error.h"
#include "runtime/data/tokenizer.h"

namespace tutti::bench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kClaim = "tokenize.bpe.vs_hf";
constexpr double kTarget = 3;
constexpr int kRounds = 5, kThreads = 2;
constexpr int kPasses = 8;  // over the texts, so that ours takes long enough to be measured

struct Result {
  double seconds = 0;
  std::int64_t tokens = 0, sum = 0;  // the sum of the ids shows that they are the same
  std::string version;               // of the peer
};

Result theirs(const fs::path& folder) {
  const std::string output = run_peer("'" TUTTI_BENCH_PEER "' encode '" + folder.string() + "'");
  Result result;
  if (!(std::istringstream(output) >> result.seconds >> result.tokens >> result.sum >>
        result.version))
    throw Error(ExitCode::unavailable, "the peer failed", TUTTI_BENCH_PEER);
  return result;
}

std::vector<std::string> read_texts(const fs::path& path) {
  std::ifstream in(path);
  std::vector<std::string> texts;
  for (std::string line; std::getline(in, line);) texts.push_back(nlohmann::json::parse(line));
  return texts;
}

Result ours(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<std::vector<std::int32_t>> ids(texts.size());
  const auto encode_all = [&] {
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&] {
        for (std::size_t i; (i = next++) < texts.size();) ids[i] = tokenizer.encode(texts[i]);
      });
    for (std::thread& thread : threads) thread.join();
  };
  Result result;
  result.seconds = seconds([&] {
    for (int pass = 0; pass < kPasses; ++pass) encode_all();
  });
  result.seconds /= kPasses;
  for (const auto& text : ids) {
    result.tokens += std::int64_t(text.size());
    for (const std::int32_t id : text) result.sum += id;
  }
  return result;
}

void prepare(const fs::path& folder) {
  if (fs::exists(folder / "tokenizer.json")) return;
  fs::create_directories(folder);
  run_peer("'" TUTTI_BENCH_PEER "' prepare '" + folder.string() + "'");
}

void run(const fs::path& folder) {
  prepare(folder);
  const Tokenizer tokenizer = Tokenizer::from_file(folder / "tokenizer.json");
  const std::vector<std::string> texts = read_texts(folder / "texts.jsonl");
  double megabytes = 0;
  for (const std::string& text : texts) megabytes += double(text.size()) / 1e6;
  ours(tokenizer, texts);  // as the peer does, once to fill the cache
  std::vector<double> mine, peer;
  std::string version;
  for (int round = 0; round < kRounds; ++round) {
    const Result a = theirs(folder), b = ours(tokenizer, texts);
    if (a.tokens != b.tokens || a.sum != b.sum)
      throw Error(ExitCode::bug, fmt::format("{} tokens, but the peer has {}", b.tokens, a.tokens),
                  kClaim);
    peer.push_back(a.seconds);
    mine.push_back(b.seconds);
    version = a.version;
  }
  print_claim(
      kClaim, median(peer) / median(mine), kTarget,
      fmt::format(
          "ours, {:.1f} MB/s; tokenizers {}, {:.1f} MB/s; {} threads, {:.1f} MB of text, {} pieces",
          megabytes / median(mine), version, megabytes / median(peer), kThreads, megabytes,
          tokenizer.vocabulary()));
}

}  // namespace
}  // namespace tutti::bench

int main(int argc, char** argv) {
  using namespace tutti::bench;
  try {
    if (!has_package("tokenizers")) {
      print_skipped(kClaim, lacks_package("tokenizers"));
      return 0;
    }
    run(argc > 1 ? fs::path(argv[1]) : fs::absolute(argv[0]).parent_path() / "tokenize_bpe.cache");
    return 0;
  } catch (const tutti::Error& e) {
    std::fprintf(stderr, "bench_tokenize_bpe: %s\n", e.what());
    return int(e.code());
  }
}
