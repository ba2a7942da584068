// What can go wrong outside the program, and the exit code each kind ends with.
#pragma once

#include <exception>
#include <string>

namespace tutti {

// The process exit codes of every job; scripts depend on them.
enum class ExitCode : int {
  done = 0,
  usage = 64,        // the command line or configuration is wrong
  data = 65,         // the input data is wrong
  unavailable = 69,  // something needed is not here
  bug = 70,          // a bug in Tutti
  io = 74,           // input/output failed; what was committed before is intact
  stopped = 75,      // stopped early with a checkpoint: submit the same command again
  hang = 76,         // the watchdog found a hang
};

// An error of the data or the environment, never of the program's own logic (see check.h).
// `problem` says what is wrong, `place` where (a file, a line, a key), `remedy` what to do about
// it; the last two may be empty. Thrown rank-locally or, after `Comm::all_ok`, on all ranks alike.
class Error : public std::exception {
 public:
  Error(ExitCode code, std::string problem, std::string place = "", std::string remedy = "");

  const char* what() const noexcept override { return message_.c_str(); }
  ExitCode code() const { return code_; }
  const std::string& problem() const { return problem_; }
  const std::string& place() const { return place_; }
  const std::string& remedy() const { return remedy_; }

  // True when every rank throws this same error, so that one of them reports it and all return.
  bool agreed() const { return agreed_; }
  Error as_agreed() const;

 private:
  ExitCode code_;
  std::string problem_, place_, remedy_, message_;
  bool agreed_ = false;
};

}  // namespace tutti
