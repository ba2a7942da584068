// A job that is killed with SIGKILL again and again, on changing numbers of ranks, and then left to
// end.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>

namespace tutti::testing {

struct KilledRun {
  int exit_code = -1;  // of the last start, which nobody killed
  int kills = 0;
  int restores = 0;    // starts that went on from a checkpoint
  std::string output;  // of the last start
};

// Starts `tutti ARGUMENTS`, which works in `run_folder`, on each number of `ranks` in turn. A start
// dies by turns at a random moment of its first half second, after its first checkpoint, and some
// events later; what it has done counts, not the clock, so that kills strike on slow and fast
// machines alike. A start that ends before its kill is followed by one from nothing. After `kills`
// kills, the last start is left alone.
KilledRun run_with_kills(const std::string& arguments, const std::filesystem::path& run_folder,
                         std::initializer_list<int> ranks, int kills);

}  // namespace tutti::testing
