// Peers that are Python packages. The variable TUTTI_PYTHON names the python3 that has them.
#pragma once

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/error.h"

namespace tutti::bench {

inline std::string python() {
  const char* named = std::getenv("TUTTI_PYTHON");
  return named ? named : "python3";
}

// Runs the peer; what it printed, or nothing where it failed.
inline std::string run_peer(const std::string& arguments) {
  std::FILE* pipe = popen((python() + " " + arguments).c_str(), "r");
  if (!pipe) return "";
  std::string output;
  for (int c; (c = std::fgetc(pipe)) != EOF;) output += char(c);
  return pclose(pipe) == 0 ? output : "";
}

inline bool has_package(const std::string& package) {
  return !run_peer("-c 'import " + package + "; print(1)' 2>/dev/null").empty();
}

// Why a claim against a package is skipped.
inline std::string lacks_package(const std::string& package) {
  return python() + " has no package " + package + "; install it, or name another by TUTTI_PYTHON";
}

// A peer that stays, so that it warms up once: it answers lines by lines, and sleeps in between.
class PeerProcess {
 public:
  explicit PeerProcess(const std::string& arguments) {
    int asks[2], answers[2];
    if (pipe(asks) || pipe(answers)) fail("no pipe to it");
    pid_ = fork();
    if (pid_ == 0) {
      dup2(asks[0], STDIN_FILENO);
      dup2(answers[1], STDOUT_FILENO);
      for (const int end : {asks[0], asks[1], answers[0], answers[1]}) close(end);
      execl("/bin/sh", "sh", "-c", ("exec " + python() + " " + arguments).c_str(), nullptr);
      _exit(127);
    }
    close(asks[0]);
    close(answers[1]);
    to_ = fdopen(asks[1], "w");
    from_ = fdopen(answers[0], "r");
    if (pid_ < 0) fail("it did not start");
    std::signal(SIGPIPE, SIG_IGN);  // it may end before it is asked: its answer tells
  }
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;
  ~PeerProcess() {
    std::fclose(to_);  // by which it ends
    std::fclose(from_);
    waitpid(pid_, nullptr, 0);
  }

  void ask(const std::string& line) {
    std::fputs((line + "\n").c_str(), to_);
    std::fflush(to_);
  }

  // Its next line. Throws Error(unavailable) where it has ended.
  std::string answer() {
    std::string line;
    int c;
    while ((c = std::fgetc(from_)) != EOF && c != '\n') line += char(c);
    if (c == EOF) fail("it ended without an answer");
    return line;
  }

 private:
  [[noreturn]] static void fail(const char* what) {
    throw Error(ExitCode::unavailable, what, "the peer");
  }

  pid_t pid_ = -1;
  std::FILE *to_ = nullptr, *from_ = nullptr;
};

}  // namespace tutti::bench
