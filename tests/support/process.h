// A command that runs beside the test and can be killed with everything it started.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace tutti::testing {

class Process {
 public:
  // Starts a shell command; its output goes to `log`.
  Process(const std::string& command, const std::string& log);
  // Kills what is left.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Whether it has ended; its exit code is then known.
  bool ended();
  // Waits for the end. A signal's number counts from 128 on.
  int wait();
  // SIGKILL to the command and all its descendants at once, as a lost node or `kill -9` would.
  void kill_all();
  // A signal to the innermost descendants: the ranks.
  void signal_ranks(int signal_number);
  // Those, in the order in which they were started.
  std::vector<pid_t> ranks() const;

 private:
  pid_t pid_;
  int exit_code_ = -1;
  bool ended_ = false;
};

}  // namespace tutti::testing
