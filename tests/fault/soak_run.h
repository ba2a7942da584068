// A job that the soak starts, kills and starts again until it is done, and what it is to leave.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/kill_moment.h"

namespace tutti::testing {

// The jobs' names, as one types them.
inline constexpr const char* kSoakJobs[] = {"train", "index"};

// Small documents and vectors in `folder`, and an undisturbed run of each job on them, which all
// others are compared with. Throws std::runtime_error with what was said where that fails.
void prepare_soak(const std::filesystem::path& folder);

// One run of a job in its folder, from nothing to its end.
class SoakRun {
 public:
  // `folder` is what prepare_soak prepared.
  SoakRun(std::filesystem::path folder, std::string job);

  const std::string& job() const { return job_; }
  const std::filesystem::path& run_folder() const { return run_; }
  std::filesystem::path log() const { return run_.string() + ".log"; }
  // Whether it runs on pretended nodes, each with a folder of its own for checkpoints.
  bool on_nodes() const { return on_nodes_; }

  // Removes everything that it has left.
  void begin_afresh(bool on_nodes);
  // The next start on so many ranks; on which nodes follows from `draw`.
  std::string command(int ranks, std::uint64_t draw) const;
  // Takes one of the nodes' folders away, as a node that is gone would. Needs on_nodes().
  void lose_node(std::uint64_t draw) const;
  StartWatch watch() const;

  // Once it is done: what is otherwise than in the undisturbed run, a line each.
  std::vector<std::string> differences() const;
  // Generations that were set aside.
  int damaged() const;

 private:
  std::filesystem::path local(const std::string& node) const;

  std::filesystem::path folder_, run_;
  std::string job_;
  bool on_nodes_ = false;
};

}  // namespace tutti::testing
