// `tutti checkpoint`: a run's checkpoints, for people.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "runtime/base/error.h"
#include "runtime/comm/comm.h"

namespace tutti {

// What the command line says. Which of the members count depends on the action.
struct CheckpointRequest {
  enum class Action { list, verify, pin, unpin, remove, convert };
  Action action = Action::list;
  std::filesystem::path run;                 // the run's folder
  std::optional<std::int64_t> generation;    // none: all, or the newest one that verifies
  std::filesystem::path out;                 // of convert: the model's folder
  std::filesystem::path tokenizer, dataset;  // of convert: where the tokenizer is now
  std::string local;                         // the run's checkpoint.local; empty: its folder alone
  bool damaged = false;                      // of remove: those that were set aside
  bool json = false;                         // of list
};

// Does it and prints what there is to tell on the root's standard output. Only pin, unpin and
// remove change the run's checkpoints. Collective. Throws on all ranks Error(usage) where there is
// no such run or generation, or it must not be removed; Error(data) where verify finds damage, or
// where there is nothing to convert.
ExitCode run_checkpoint_tool(Comm& comm, const CheckpointRequest& request);

}  // namespace tutti
