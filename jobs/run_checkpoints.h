// A run's checkpoints as its jobs use them: in the run's folder, told of in events.jsonl, asked for
// by signals and by people.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include "jobs/job.h"
#include "runtime/checkpoint/checkpoint.h"

namespace tutti {

// Collective.
class RunCheckpoints {
 public:
  // `progress` is the key of a snapshot's state that tells how far the job was: "step".
  RunCheckpoints(JobContext& context, const CheckpointOptions& options, std::string progress);

  // As Checkpointer::restore.
  std::optional<nlohmann::json> restore(const nlohmann::json& identity,
                                        std::span<const ArraySlice> wanted);
  // Between two steps. Returns whether the job is to stop; a checkpoint is then there.
  bool boundary(const std::function<Snapshot()>& take);
  // A checkpoint of this moment.
  void save(const Snapshot& snapshot);

  // Adds what checkpoints cost to the run's result.
  void report();

 private:
  bool local_asked_by_file();
  Snapshot signed_snapshot(Snapshot snapshot) const;

  JobContext& context_;
  std::string progress_;
  Checkpointer checkpoints_;
  std::chrono::steady_clock::time_point last_look_;
};

}  // namespace tutti
