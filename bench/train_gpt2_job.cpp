// Claims about the train job as a user starts it, GPT-2 124M, 16 sequences of 1024 tokens a step,
// in all runs on the same two threads:
//
//   train.gpt2_124m.two_ranks       2 ranks of 1 thread against 1 rank of 2 threads, in tokens/s
//   train.gpt2_124m.exact_vs_fast   the fixed-order reduction against MPI's order, on 2 ranks
//   train.gpt2_124m.memory          4 GiB against the peak of 1 rank
//   train.gpt2_124m.memory_at_two   65 % of the peak of 1 rank against that of each of 2
//   train.gpt2_124m.start           3 s against the time from mpirun to the first step
//   checkpoint.restart              5 s against that time where the job goes on from a checkpoint
//
//   bench_train_gpt2_job [FOLDER]   (FOLDER, default here, takes the runs: 4 GiB for a while)

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/claim.h"
#include "bench/job.h"

namespace tutti::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 3, kSteps = 3;  // the first of which warms up
constexpr double kTokens = 16 * 1024, kGiB = 1 << 30;

struct Way {
  std::string name;
  int ranks, threads;
  std::string reduce;
  std::vector<double> rates, starts;  // tokens a second, seconds
  double peak = 0;                    // bytes of the largest rank
};

// One start of the job, and what its records tell.
void train(Way& way) {
  fs::remove_all("run");
  const double launched = now();
  run_job(way.ranks, way.threads, "train train.toml --run run --set train.reduce=" + way.reduce);
  const JobRecord record("run", kTokens);
  way.peak = std::max(way.peak, record.peak_bytes);
  way.rates.insert(way.rates.end(), record.rates.begin(), record.rates.end());
  way.starts.push_back(record.first_step - launched);
}

void prepare() {
  write_tokenizer("tokenizer.json", 50257);
  write_documents("documents.jsonl");
  std::ofstream("shard.toml") << "shards = 2\n[input]\npaths = [\"documents.jsonl\"]\n"
                                 "[tokenizer]\nmodel = \"tokenizer.json\"\n[passage]\ntokens = 0\n";
  std::ofstream("train.toml")
      << "dataset = \"data\"\n[data]\nseparator = \"<|endoftext|>\"\n[model]\nkind = \"gpt2\"\n"
         "width = 768\nlayers = 12\nheads = 12\nmax_tokens = 1024\n[batch]\nglobal = 16\nmicro = "
         "1\n"
         "leaf = 8\n[evaluate]\nsequences = 0\n[checkpoint]\nevery = \"1h\"\n[train]\nsteps = "
      << kSteps << "\n";
  run_job(2, 1, "shard shard.toml --run data");
}

std::string detail_of(const Way& way) {
  return fmt::format("{}: {:.0f} tokens/s, {:.2f} GiB", way.name, median(way.rates),
                     way.peak / kGiB);
}

// Seconds from mpirun until a stopped job goes on with its first step.
double restart() {
  fs::remove_all("run");
  const std::string train = "train train.toml --run run --max-time ";
  run_job(1, 2, train + "10s", 75);
  const double launched = now();
  run_job(1, 2, train + "1s", 75);
  return JobRecord("run", kTokens).ready - launched;
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
  const JobFolder in(folder);
  prepare();
  Way one{"1 rank", 1, 2, "exact", {}, {}}, two{"2 ranks", 2, 1, "exact", {}, {}},
      fast{"2 ranks, fast", 2, 1, "fast", {}, {}};
  for (int round = 0; round < kRounds; ++round)
    for (Way* way : {&one, &two, &fast}) train(*way);
  report(one, two, fast);
  std::vector<double> restarts;
  for (int round = 0; round < kRounds; ++round) restarts.push_back(restart());
  print_claim("checkpoint.restart", 5 / median(restarts), 1,
              fmt::format("{:.2f} s from mpirun to the first step, 1.5 GB restored and verified",
                          median(restarts)));
}

}  // namespace
}  // namespace tutti::bench

int main(int argc, char** argv) {
  tutti::bench::measure(std::filesystem::absolute(std::filesystem::path(argc > 1 ? argv[1] : ".") /
                                                  "bench_train_gpt2"));
}
