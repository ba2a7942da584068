// Starts the soak's jobs, kills them, and judges how each start ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/fault/soak_record.h"
#include "tests/fault/soak_run.h"
#include "tests/support/process.h"

namespace tutti::testing {

class SoakKiller {
 public:
  // `folder` is prepared. What happens follows from the seed, as far as processes allow.
  SoakKiller(std::filesystem::path folder, std::uint64_t seed);

  // Starts and kills until `kills` starts were killed in all; a job that comes to its end is
  // compared and begun afresh. Then each is left to its end. `tell` is called now and then.
  template <class Tell>
  void run(int kills, Tell tell) {
    while (record_.kills < kills && record_.starts < 10 * kills + 10) {
      const int before = record_.kills;
      start(next_run(), true);
      if (record_.kills / 10 != before / 10) tell(record_);
    }
    finish();
  }
  const SoakRecord& record() const { return record_; }

 private:
  enum class Victim { all, one_rank, launcher };
  // What was done to a start, and when.
  struct Strike {
    bool struck = false;
    std::string victim, moment;
  };

  std::uint64_t draw(std::uint64_t purpose, std::uint64_t below) const;
  SoakRun& next_run();
  void start(SoakRun& run, bool kills);
  void finish();
  Strike strike(Process& job, const StartWatch& watch);
  std::string moment_of(const StartWatch& watch) const;
  void judge(SoakRun& run, const StartWatch& watch, int exit_code, const Strike& strike);
  void complete(SoakRun& run);
  bool is_refusal(const std::string& said) const;
  std::string keep_log(const SoakRun& run, const std::string& what);
  void settle();

  std::filesystem::path folder_;
  std::uint64_t seed_;
  std::vector<SoakRun> runs_;
  SoakRun* last_ = nullptr;
  std::vector<ProcessName> survivors_;  // ranks of killed starts that may run still
  std::chrono::steady_clock::time_point struck_at_;
  SoakRecord record_;
};

}  // namespace tutti::testing
