// `tutti checkpoint` on the command line.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "jobs/checkpoint_tool.h"

namespace tutti {

struct CheckpointCommand {
  bool given = false;
  CheckpointRequest request;
  std::vector<std::string> operands;  // behind the run's folder
};

// Adds the sub-command and its actions. Parsing fills `command`, which outlives `app`.
void add_checkpoint_command(CLI::App& app, CheckpointCommand& command);

}  // namespace tutti
