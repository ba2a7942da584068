// The main of a fuzz target where it is a test: runs the target on every file of the folders that
// it is given.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <vector>

#include "tests/fuzz/support.h"
#include "tests/support/scratch_folder.h"

namespace {

// Whether the target comes back from this file. A signal ends the program; its name has been
// printed then.
bool replay(const std::filesystem::path& file) {
  std::printf("%s\n", file.c_str());
  std::fflush(stdout);
  const std::string bytes = tutti::testing::read_text(file);
  try {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    return true;
  } catch (const std::exception& e) {
    std::printf("  threw: %s\n", e.what());
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i)
    for (const auto& entry : std::filesystem::directory_iterator(argv[i]))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) std::printf("no corpus\n");
  const auto failed =
      std::count_if(files.begin(), files.end(), [](const auto& file) { return !replay(file); });
  std::printf("%zu files, %td failed\n", files.size(), failed);
  return files.empty() || failed > 0;
}
