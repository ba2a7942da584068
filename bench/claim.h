// What every benchmark of a claim shares: timing, medians and the line that states the outcome.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace tutti::bench {

// Seconds of wall-clock time that `work` took.
template <class Work>
double seconds(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The middle value; the upper one of an even number.
inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The processor's name and the number of hardware threads that this process may use.
inline std::string machine() {
  std::ifstream info("/proc/cpuinfo");
  std::string name = "unknown processor";
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("model name")) continue;
    name = line.substr(line.find(':') + 2);
    break;
  }
  return name + ", " + std::to_string(std::thread::hardware_concurrency()) + " threads";
}

// Prints the one line by which a claim is judged: `ratio` against `target`, higher is better.
inline void print_claim(const std::string& name, double ratio, double target,
                        const std::string& detail) {
  std::printf("claim %s ratio=%.3f target=%.2f machine=\"%s\" detail=\"%s\"\n", name.c_str(), ratio,
              target, machine().c_str(), detail.c_str());
  std::fflush(stdout);  // what was measured stands, whatever happens next
}

// Prints that a claim could not be tried, which is no pass.
inline void print_skipped(const std::string& name, const std::string& reason) {
  std::printf("claim %s skipped machine=\"%s\" detail=\"%s\"\n", name.c_str(), machine().c_str(),
              reason.c_str());
}

}  // namespace tutti::bench
