#include "tests/fault/soak_killer.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "kernels/core/random.h"
#include "tests/support/scratch_folder.h"

namespace tutti::testing {
namespace {

constexpr double kLimit = 120;         // seconds, of a start, on a machine that has other work, too
constexpr double kSurvivalLimit = 30;  // of ranks whose mpirun is gone
constexpr int kKilled = 128 + SIGKILL, kUsage = 64;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// What draws are for.
enum Purpose : std::uint64_t {
  kRun,
  kRanks,
  kPlace,
  kMoment,
  kWithin,
  kVictim,
  kRank,
  kNodes,
  kLose,
  kWait
};

}  // namespace

SoakKiller::SoakKiller(std::filesystem::path folder, std::uint64_t seed)
    : folder_(std::move(folder)), seed_(seed) {
  for (const char* job : kSoakJobs) runs_.emplace_back(folder_, job);
  runs_.front().begin_afresh(true);
}

// Below `below`; a function of the seed, the number of the start, and what it is for.
std::uint64_t SoakKiller::draw(std::uint64_t purpose, std::uint64_t below) const {
  return random_u64(seed_, purpose, std::uint64_t(record_.starts)) % below;
}

// While ranks of a killed start go on, half of the starts are on their own folder and do not wait
// for them, as of a user who submits again at once.
SoakRun& SoakKiller::next_run() {
  std::erase_if(survivors_, [](const ProcessName& rank) { return !is_running(rank); });
  if (!survivors_.empty() && draw(kWait, 2) == 0) return *last_;
  settle();
  return runs_[draw(kRun, runs_.size())];
}

void SoakKiller::start(SoakRun& run, bool kills) {
  last_ = &run;
  if (run.on_nodes() && survivors_.empty() && draw(kLose, 6) == 0) {
    run.lose_node(draw(kPlace, 2));
    ++record_.nodes_lost;
  }
  constexpr int kCounts[] = {1, 2, 2, 4};
  const int ranks = kCounts[draw(kRanks, std::size(kCounts))];
  std::filesystem::remove(run.log());
  const StartWatch watch = run.watch();
  Process job(run.command(ranks, draw(kPlace, 64)), run.log().string());
  Strike done;
  if (kills) {
    constexpr Moment kMomentsByWeight[] = {
        Moment::checkpoint, Moment::checkpoint, Moment::checkpoint, Moment::restore,
        Moment::restore,    Moment::restore,    Moment::any_time,   Moment::committed,
        Moment::events,     Moment::events,     Moment::ending,     Moment::ending};
    watch.wait_for(kMomentsByWeight[draw(kMoment, std::size(kMomentsByWeight))], job,
                   draw(kWithin, UINT64_MAX), kLimit);
    done = strike(job, watch);
  }
  ++record_.starts_by_ranks[fmt::format("{}{}", ranks, run.on_nodes() ? " on nodes" : "")];
  if (job.ended_within(kLimit)) {
    judge(run, watch, job.wait(), done);
  } else {
    record_.hangs.push_back(keep_log(
        run, fmt::format("start of {} on {} ranks, {} killed", run.job(), ranks, done.victim)));
    job.kill_all();
  }
  ++record_.starts;
}

// Kills what is drawn; nothing where the job has ended.
SoakKiller::Strike SoakKiller::strike(Process& job, const StartWatch& watch) {
  constexpr const char* kNames[] = {"all ranks and mpirun", "one rank", "mpirun"};
  const auto victim = Victim(draw(kVictim, 3));
  const auto began = std::chrono::steady_clock::now();
  std::vector<pid_t> ranks = job.ranks();
  // mpirun takes its time before it has ranks.
  while (!job.ended() && (ranks = job.ranks()).front() == job.number() &&
         seconds_since(began) < kLimit)
    usleep(1000);
  if (job.ended()) return {};
  Strike done{true, kNames[int(victim)], moment_of(watch)};
  std::vector<ProcessName> names;
  for (const pid_t rank : ranks) names.push_back(name_of_process(rank));
  struck_at_ = std::chrono::steady_clock::now();
  if (victim == Victim::all) job.kill_all();
  if (victim == Victim::one_rank) kill(ranks[draw(kRank, ranks.size())], SIGKILL);
  if (victim == Victim::launcher) job.kill_command();
  survivors_.insert(survivors_.end(), names.begin(), names.end());
  return done;
}

// What the job was doing.
std::string SoakKiller::moment_of(const StartWatch& watch) const {
  const std::string events = watch.events();
  if (count(events, R"("event":"ready")") == 0)
    return watch.had_checkpoint() && count(events, R"("event":"start")") > 0 ? "restore"
                                                                             : "start-up";
  if (watch.is_ending()) return "end";
  return watch.writes_checkpoint() ? "checkpoint" : "work";
}

void SoakKiller::judge(SoakRun& run, const StartWatch& watch, int exit_code, const Strike& strike) {
  const std::string events = watch.events(), said = read_text(run.log());
  record_.restores += count(events, R"("event":"restore")");
  record_.generations += count(events, R"("event":"checkpoint")");
  record_.waited += count(said, "waiting for ranks of a job that was killed");
  ++record_.exit_codes[std::to_string(exit_code)];
  if (exit_code == 0) {
    complete(run);
  } else if (strike.struck && exit_code == kKilled) {
    ++record_.kills;
    ++record_.kills_by_victim[strike.victim];
    ++record_.kills_by_moment[strike.moment];
    const int ranks = int(std::ranges::count_if(survivors_, is_running));
    if (strike.victim == "mpirun") record_.survivors += ranks;
  } else if (exit_code == kUsage && is_refusal(said)) {
    ++record_.refused;
    usleep(50000);
  } else {
    record_.unexpected.push_back(keep_log(
        run, fmt::format("{} ended with exit code {}, {} killed at {}", run.job(), exit_code,
                         strike.struck ? strike.victim : "nothing", strike.moment)));
  }
}

// A start may be refused only on behalf of a process that is still there, or was until just now.
bool SoakKiller::is_refusal(const std::string& said) const {
  if (said.find("another job holds this run folder") == std::string::npos) return false;
  return std::ranges::any_of(survivors_, [&](const ProcessName& rank) {
    return said.find(fmt::format(", process {}\n", rank.number)) != std::string::npos ||
           said.find(fmt::format(", process {}:", rank.number)) != std::string::npos ||
           said.find(fmt::format(", process {} ", rank.number)) != std::string::npos;
  });
}

void SoakKiller::complete(SoakRun& run) {
  settle();
  ++record_.completed;
  const int damaged = run.damaged();
  record_.damaged += damaged;
  const std::vector<std::string> differences = run.differences();
  record_.differences.insert(record_.differences.end(), differences.begin(), differences.end());
  if (damaged > 0 || !differences.empty()) {
    const auto kept = folder_ / fmt::format("different-{}", record_.starts);
    std::filesystem::copy(run.run_folder(), kept, std::filesystem::copy_options::recursive);
  }
  run.begin_afresh(draw(kNodes, 2) == 0);
}

std::string SoakKiller::keep_log(const SoakRun& run, const std::string& what) {
  const auto kept = folder_ / fmt::format("start-{}.log", record_.starts);
  std::error_code ignored;
  std::filesystem::copy_file(run.log(), kept, ignored);
  const std::string said = read_text(kept);
  const std::string text =
      fmt::format("start {}: {}; its log, {}, ends with\n{}", record_.starts, what, kept.string(),
                  said.substr(said.size() < 3000 ? 0 : said.size() - 3000));
  std::printf("soak: %s\n", text.c_str());  // now, as the summary may be long in coming
  return text;
}

// Waits until no rank of a killed start runs; what Open MPI leaves behind goes then.
void SoakKiller::settle() {
  const auto runs = [](const ProcessName& rank) { return is_running(rank); };
  bool waited = false;
  while (std::ranges::any_of(survivors_, runs) && seconds_since(struck_at_) < kSurvivalLimit) {
    waited = true;
    usleep(2000);
  }
  if (waited)
    record_.longest_survival_seconds =
        std::max(record_.longest_survival_seconds, seconds_since(struck_at_));
  for (const ProcessName& rank : survivors_) {
    if (!is_running(rank)) continue;
    record_.hangs.push_back(
        fmt::format("process {} outlives its job by more than {} s", rank.number, kSurvivalLimit));
    kill(rank.number, SIGKILL);
  }
  survivors_.clear();
  for (const char* folder : {"OMPI_MCA_btl_vader_backing_directory", "OMPI_MCA_orte_tmpdir_base"})
    if (const char* left = getenv(folder))
      for (const auto& entry : std::filesystem::directory_iterator(left)) {
        std::error_code ignored;
        std::filesystem::remove_all(entry.path(), ignored);
      }
}

// Leaves each run to its end.
void SoakKiller::finish() {
  for (SoakRun& run : runs_) {
    const int before = record_.completed;
    for (int i = 0; i < 3 && record_.completed == before; ++i) {
      settle();
      start(run, false);
    }
  }
}

}  // namespace tutti::testing
