// What the soak counts, and its summary.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace tutti::testing {

struct SoakRecord {
  int kills = 0, starts = 0, restores = 0, generations = 0, damaged = 0, completed = 0;
  int refused = 0;    // starts that found the folder held by what a kill had left
  int waited = 0;     // starts that waited for ranks of a killed one
  int survivors = 0;  // ranks that went on for a while without their mpirun
  int nodes_lost = 0;
  double longest_survival_seconds = 0;
  std::map<std::string, int> kills_by_victim, kills_by_moment, starts_by_ranks, exit_codes;
  std::vector<std::string> differences, unexpected, hangs;

  bool good() const {
    return damaged == 0 && differences.empty() && unexpected.empty() && hangs.empty();
  }
  // A line while it runs.
  std::string progress(int kills_wanted, double seconds) const;
  // Many lines, at the end.
  std::string summary(double seconds) const;
};

}  // namespace tutti::testing
