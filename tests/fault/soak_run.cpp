#include "tests/fault/soak_run.h"

#include <set>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "kernels/core/random.h"
#include "runtime/data/paths.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/scratch_folder.h"

namespace tutti::testing {
namespace {

constexpr const char* kNodes[] = {"a", "b"};

void must(const std::string& arguments) {
  const CommandResult done = run_tutti(1, arguments);
  if (done.exit_code != 0)
    throw std::runtime_error("tutti " + arguments + "\nended with " +
                             std::to_string(done.exit_code) + ":\n" + done.output);
}

std::string arguments_of(const std::string& job, const std::filesystem::path& folder,
                         const std::filesystem::path& run) {
  return job + " " + (folder / (job + ".toml")).string() + " --run " + run.string();
}

std::filesystem::path undisturbed(const std::filesystem::path& folder, const std::string& job) {
  return folder / ("undisturbed-" + job);
}

// Large enough to be killed in the middle, small enough to be over soon.
void write_configurations(const std::filesystem::path& folder) {
  const std::string quoted = "\"" + folder.string();
  write_text(folder / "train.toml",
             "threads = 1\ndataset = " + quoted +
                 "/data\"\n[model]\nwidth = 32\nlayers = 2\nheads = 2\nfeed_forward = 64\n"
                 "max_tokens = 32\n[batch]\nglobal = 20\nmicro = 4\n[train]\nsteps = 40\n"
                 "[optimizer]\nwarmup_steps = 5\n");
  write_text(folder / "index.toml", "threads = 1\nvectors = " + quoted +
                                        "/vectors\"\n[index]\nnlist = 37\nshards = 5\n"
                                        "[kmeans]\niterations = 60\nblock = 256\n");
}

// The files of a run but for its records and checkpoints.
std::set<std::string> files_of(const std::filesystem::path& run) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(run))
    names.insert(entry.path().filename().string());
  for (const char* record :
       {kConfigFile, kEventsFile, kLogFile, kResultFile, kLockFile, kRanksFile, kCheckpointFolder})
    names.erase(record);
  return names;
}

std::string digest_of(const std::filesystem::path& run, const std::string& job) {
  const auto result = nlohmann::json::parse(read_text(run / kResultFile), nullptr, false);
  if (!result.is_object()) return "no " + std::string(kResultFile);
  return result.value(job == "train" ? "model_digest" : "index_digest", "no digest");
}

}  // namespace

void prepare_soak(const std::filesystem::path& folder) {
  write_corpus(folder / "corpus.jsonl", 120);
  must("shard --run " + (folder / "data").string() +
       " --set input.paths=" + (folder / "corpus.jsonl").string() +
       " --set shards=5 --set tokenizer.vocabulary=300 --set passage.tokens=24");
  constexpr std::int64_t kCount = 3000, kDim = 20;
  write_vectors<float>(folder / "vectors", clustered_vectors(kCount, kDim, 1), kDim);
  write_configurations(folder);
  for (const std::string job : kSoakJobs)
    must(arguments_of(job, folder, undisturbed(folder, job)) + " --set checkpoint.every=1h");
}

SoakRun::SoakRun(std::filesystem::path folder, std::string job)
    : folder_(std::move(folder)), run_(folder_ / ("run-" + job)), job_(std::move(job)) {}

std::filesystem::path SoakRun::local(const std::string& node) const {
  return run_.string() + "-local-" + node;
}

void SoakRun::begin_afresh(bool on_nodes) {
  on_nodes_ = on_nodes;
  std::filesystem::remove_all(run_);
  for (const char* node : kNodes) std::filesystem::remove_all(local(node));
}

std::string SoakRun::command(int ranks, std::uint64_t draw) const {
  const std::string start = arguments_of(job_, folder_, run_) +
                            " --set checkpoint.every=" + (draw / 8 % 3 == 0 ? "100ms" : "10ms");
  if (!on_nodes_) return tutti_command(ranks, start);
  // The node that is first has the root; one rank has one node, and two may share it.
  const bool other_way = draw % 2 != 0, one_node = ranks == 1 || (ranks == 2 && draw % 8 < 2);
  const auto part = [&](int count, const char* node) {
    return " -n " + std::to_string(count) + " -x TUTTI_NODE=" + node + " " + TUTTI_BINARY + " " +
           start + " --set checkpoint.shared_every=200ms --set checkpoint.local=" +
           local("{host}").string();
  };
  const std::string command = std::string(TUTTI_MPIEXEC) + " --oversubscribe --bind-to none";
  if (one_node) return command + part(ranks, kNodes[other_way]);
  return command + part(ranks / 2, kNodes[other_way]) + " :" + part(ranks / 2, kNodes[!other_way]);
}

void SoakRun::lose_node(std::uint64_t draw) const {
  std::filesystem::remove_all(local(kNodes[draw % 2]));
}

StartWatch SoakRun::watch() const {
  std::vector<std::filesystem::path> folders = {run_ / kCheckpointFolder};
  for (const char* node : kNodes) folders.push_back(local(node));
  return {run_, folders, job_ == "train" ? R"("step":40,)" : R"("iteration":60,)"};
}

std::vector<std::string> SoakRun::differences() const {
  const std::filesystem::path wanted = undisturbed(folder_, job_);
  std::vector<std::string> found;
  if (digest_of(run_, job_) != digest_of(wanted, job_))
    found.push_back(job_ + ": digest " + digest_of(run_, job_) + " for " + digest_of(wanted, job_));
  std::set<std::string> names = files_of(wanted);
  names.merge(files_of(run_));
  for (const std::string& name : names)
    if (!std::filesystem::exists(wanted / name) || !std::filesystem::exists(run_ / name))
      found.push_back(job_ + ": " + name + " is in one of the two runs only");
    else if (read_text(wanted / name) != read_text(run_ / name))
      found.push_back(job_ + ": " + name + " has other bytes");
  return found;
}

int SoakRun::damaged() const {
  int found = 0;
  for (const std::string& folder : {run_.string(), local("a").string(), local("b").string()}) {
    if (!std::filesystem::exists(folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
      found += entry.path().extension() == ".damaged";
  }
  return found;
}

}  // namespace tutti::testing
