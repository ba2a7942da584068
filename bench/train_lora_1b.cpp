// Claims train.lora_1b.memory and train.lora_1b.overhead: LoRA steps of a Llama-shaped model of 1.1
// billion parameters (TinyLlama's sizes) by the train job, 1 rank of 2 threads, sequences of 512
// tokens: 6 GiB, and the model's weights in bf16 and a fifth, against its peak. The account: what
// base and adapters (parameters, gradient, two moments) take follows from their sizes; the rest is
// layers' inputs, one layer's activations, logits and scratch. A run that keeps all activations
// tells what it costs to compute them once more.
//
//   bench_train_lora_1b [FOLDER]    (FOLDER, default here, takes the model: 5 GiB for a while)

#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/claim.h"
#include "bench/job.h"

namespace tutti::bench {
namespace {

namespace fs = std::filesystem;

constexpr double kGiB = 1 << 30;

void prepare() {
  write_tokenizer("tokenizer.json", 32000);
  write_documents("documents.jsonl");
  std::ofstream("shard.toml")
      << "shards = 1\n[input]\npaths = [\"documents.jsonl\"]\n[tokenizer]\nmodel = "
         "\"tokenizer.json\"\n[passage]\ntokens = 0\n";
  std::ofstream("base.toml")
      << "dataset = \"data\"\n[data]\nseparator = \"<|endoftext|>\"\n[model]\nkind = \"llama\"\n"
         "width = 2048\nlayers = 22\nheads = 32\nkv_heads = 4\nfeed_forward = 5632\n"
         "max_tokens = 512\ntied_head = false\n[evaluate]\nsequences = 0\n[batch]\nglobal = 4\n"
         "micro = 1\n[train]\nsteps = 0\n";
  std::ofstream("lora.toml")
      << "dataset = \"data\"\n[model]\nfrom = \"base\"\nmax_tokens = 512\n[lora]\nrank = 16\n"
         "[evaluate]\nsequences = 0\n[batch]\nglobal = 4\nmicro = 1\nleaf = 4\n[train]\n"
         "steps = 3\n[checkpoint]\nevery = \"1h\"\n";
  run_job(1, 2, "shard shard.toml --run data");
  run_job(1, 2, "train base.toml --run base");
}

double parameters_of(const std::string& run) {
  return nlohmann::json::parse(std::ifstream(run + "/result.json")).at("parameters");
}

void measure(const fs::path& folder) {
  const JobFolder in(folder);
  prepare();
  run_job(1, 2, "train lora.toml --run lora");
  run_job(1, 2, "train lora.toml --run kept --set train.recompute=false");
  const JobRecord record("lora", 4 * 512), kept("kept", 4 * 512);
  const double base = 2 * parameters_of("base"), adapters = 4 * 4 * parameters_of("lora");
  print_claim("train.lora_1b.memory", 6 * kGiB / record.peak_bytes, 1,
              fmt::format("{:.2f} GiB at most: base weights in bf16 {:.2f}, adapters with gradient "
                          "and moments {:.2f}, the rest (layers' inputs, one layer's activations, "
                          "logits, scratch) {:.2f}; rank 16 on all matrices",
                          record.peak_bytes / kGiB, base / kGiB, adapters / kGiB,
                          (record.peak_bytes - base - adapters) / kGiB));
  print_claim("train.lora_1b.overhead", 1.2 * base / record.peak_bytes, 1,
              fmt::format("{:.1f} % above the base weights, {:.0f} tokens/s; without recomputation "
                          "{:.1f} %, {:.0f} tokens/s",
                          100 * (record.peak_bytes / base - 1), median(record.rates),
                          100 * (kept.peak_bytes / base - 1), median(kept.rates)));
}

}  // namespace
}  // namespace tutti::bench

int main(int argc, char** argv) {
  tutti::bench::measure(std::filesystem::absolute(std::filesystem::path(argc > 1 ? argv[1] : ".") /
                                                  "bench_train_lora"));
}
