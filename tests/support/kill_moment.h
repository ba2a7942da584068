// The moments of a job at which a test kills it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace tutti::testing {

// How often a word stands in a text.
int count(const std::string& text, const std::string& word);

enum class Moment {
  any_time,    // of the first half second
  committed,   // after its first checkpoint
  events,      // some events later
  checkpoint,  // while a checkpoint is being written
  restore,     // after the start, before it is at work
  ending,      // after its last step, while it leaves its results
};

// One start of a job in its run folder, as its files show it from outside. What the folder holds
// before the start does not count.
class StartWatch {
 public:
  // `checkpoints`: the folders in which generations appear, or the nodes' folders of runs.
  // `last_step`: what stands in the event of the job's last step.
  StartWatch(const std::filesystem::path& run_folder,
             std::vector<std::filesystem::path> checkpoints, std::string last_step = "");

  // Returns when the moment has come, or the job has ended by itself, or the seconds are over. The
  // rest of the moment follows from `draw`.
  void wait_for(Moment moment, Process& job, std::uint64_t draw, double seconds) const;

  // What this start has told: the lines of events.jsonl that are its own.
  std::string events() const;
  // Whether it has done its last step.
  bool is_ending() const { return !last_step_.empty() && count(events(), last_step_) > 0; }
  // Whether some generation has no manifest yet.
  bool writes_checkpoint() const;
  // Whether there was a committed generation before.
  bool had_checkpoint() const { return had_checkpoint_; }

 private:
  bool has_generation(bool committed) const;

  std::filesystem::path events_;
  std::vector<std::filesystem::path> checkpoints_;
  std::string last_step_;
  std::size_t before_;
  bool had_checkpoint_;
};

}  // namespace tutti::testing
