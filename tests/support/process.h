// A command that runs beside the test and can be killed with everything it started.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace tutti::testing {

// A process by its number and the moment of its birth: numbers are given out again.
struct ProcessName {
  pid_t number = 0;
  std::string born;
};
ProcessName name_of_process(pid_t number);
// Whether it runs still; one that is dead and waits for its parent to hear of it does not.
bool is_running(const ProcessName& process);

class Process {
 public:
  // Starts a shell command; its output goes to `log`.
  Process(const std::string& command, const std::string& log);
  // Kills what is left.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // The command's own process.
  pid_t number() const { return pid_; }
  // Whether it has ended; its exit code is then known.
  bool ended();
  // Waits for the end. A signal's number counts from 128 on.
  int wait();
  // Waits for at most so long; whether it has ended.
  bool ended_within(double seconds);
  // SIGKILL to the command and all its descendants at once, as a lost node or `kill -9` would.
  void kill_all();
  // SIGKILL to the command alone, which leaves its descendants to themselves.
  void kill_command();
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
