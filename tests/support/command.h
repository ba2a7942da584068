// Runs a command as a user would type it, and keeps what it said.
#pragma once

#include <cstdio>
#include <string>

#include <sys/wait.h>

namespace tutti::testing {

struct CommandResult {
  int exit_code = -1;
  std::string output;  // standard output and standard error
};

inline CommandResult run_command(const std::string& command) {
  CommandResult result;
  std::FILE* pipe = popen(("(" + command + ") 2>&1").c_str(), "r");
  if (!pipe) return result;
  char buffer[4096];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
    result.output.append(buffer, n);
  const int status = pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

// `mpirun -n RANKS tutti ARGUMENTS`; TUTTI_BINARY and TUTTI_MPIEXEC come from the build.
inline std::string tutti_command(int ranks, const std::string& arguments) {
  return std::string(TUTTI_MPIEXEC) + " --oversubscribe --bind-to none -n " +
         std::to_string(ranks) + " " + TUTTI_BINARY + " " + arguments;
}

inline CommandResult run_tutti(int ranks, const std::string& arguments) {
  return run_command(tutti_command(ranks, arguments));
}

}  // namespace tutti::testing
