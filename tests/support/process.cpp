#include "tests/support/process.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <map>
#include <sstream>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tutti::testing {
namespace {

// What the kernel tells of a process behind its name: its state, its parent, and, 20 words on, its
// birth. Nothing where it is gone.
std::vector<std::string> words_of(const std::filesystem::path& process) {
  // Reading fails where the process ends meanwhile, which a stream would throw for.
  const int file = open((process / "stat").c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  char bytes[2048];
  const ssize_t size = read(file, bytes, sizeof(bytes));
  close(file);
  const std::string text(bytes, std::size_t(std::max<ssize_t>(size, 0)));
  const std::size_t after_name = text.rfind(')');  // the name may hold anything
  if (after_name == std::string::npos) return {};
  std::istringstream rest(text.substr(after_name + 1));
  return {std::istream_iterator<std::string>(rest), {}};
}

std::vector<std::string> words_of(pid_t process) {
  return words_of(std::filesystem::path("/proc") / std::to_string(process));
}

// The parent of a process, or 0 where it is gone.
pid_t parent_of(const std::filesystem::path& process) {
  const std::vector<std::string> words = words_of(process);
  return words.size() < 2 ? 0 : std::atoi(words[1].c_str());
}

// A process and its descendants, parents before children.
std::vector<pid_t> tree_of(pid_t root, bool leaves_only) {
  std::multimap<pid_t, pid_t> children;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0) children.emplace(parent_of(entry.path()), pid);
  }
  std::vector<pid_t> all = {root}, leaves;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto [begin, end] = children.equal_range(all[i]);
    if (begin == end) leaves.push_back(all[i]);
    for (auto it = begin; it != end; ++it) all.push_back(it->second);
  }
  return leaves_only ? leaves : all;
}

}  // namespace

ProcessName name_of_process(pid_t number) {
  const std::vector<std::string> words = words_of(number);
  return {number, words.size() < 20 ? "" : words[19]};
}

bool is_running(const ProcessName& process) {
  const std::vector<std::string> words = words_of(process.number);
  return words.size() >= 20 && words[19] == process.born && words[0] != "Z" && words[0] != "X";
}

Process::Process(const std::string& command, const std::string& log) : pid_(fork()) {
  if (pid_ != 0) return;
  setsid();
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644),
            in = open("/dev/null", O_RDONLY);
  dup2(in, 0);
  dup2(out, 1);
  dup2(out, 2);
  execl("/bin/sh", "sh", "-c", ("exec " + command).c_str(), nullptr);
  _exit(127);
}

Process::~Process() {
  if (!ended()) kill_all();
  wait();
}

bool Process::ended() {
  int status = 0;
  if (!ended_ && waitpid(pid_, &status, WNOHANG) == pid_) {
    ended_ = true;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return ended_;
}

int Process::wait() {
  while (!ended()) usleep(5000);
  return exit_code_;
}

bool Process::ended_within(double seconds) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!ended() && std::chrono::steady_clock::now() < limit) usleep(2000);
  return ended_;
}

void Process::kill_command() {
  if (!ended()) kill(pid_, SIGKILL);
}

void Process::kill_all() {
  for (pid_t pid : tree_of(pid_, false)) kill(pid, SIGKILL);
}

void Process::signal_ranks(int signal_number) {
  for (pid_t pid : ranks()) kill(pid, signal_number);
}

std::vector<pid_t> Process::ranks() const {
  std::vector<pid_t> leaves = tree_of(pid_, true);
  std::sort(leaves.begin(), leaves.end());
  return leaves;
}

}  // namespace tutti::testing
