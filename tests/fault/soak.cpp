// Kills jobs at random moments, again and again, and compares what they leave in the end with
// undisturbed runs. Started by scripts/soak, which tells its arguments.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>

#include <unistd.h>

#include "tests/fault/soak_killer.h"

namespace tutti::testing {
namespace {

struct SoakOptions {
  int kills = 100;
  std::uint64_t seed = 1;
  bool keep = false;
};

SoakOptions parse(int argc, char** argv) {
  SoakOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--keep") {
      options.keep = true;
    } else if ((name == "--kills" || name == "--seed") && i + 1 < argc) {
      const unsigned long long value = std::stoull(argv[++i]);
      (name == "--kills" ? void(options.kills = int(value)) : void(options.seed = value));
    } else {
      throw std::invalid_argument("unknown argument " + name);
    }
  }
  return options;
}

// What Open MPI leaves of a killed job goes to folders of the soak's own, which it can empty.
// `shared` is in memory where the machine has such a folder.
void keep_leftovers_apart(const std::filesystem::path& folder,
                          const std::filesystem::path& shared) {
  std::filesystem::create_directories(folder / "mpi");
  std::filesystem::create_directories(shared);
  setenv("OMPI_MCA_orte_tmpdir_base", (folder / "mpi").c_str(), 1);
  setenv("OMPI_MCA_btl_vader_backing_directory", shared.c_str(), 1);
}

int soak(const SoakOptions& options) {
  const std::string name = "tutti_soak_" + std::to_string(getpid());
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / name,
                              memory = "/dev/shm";
  const auto shared = std::filesystem::is_directory(memory) ? memory / name : folder / "shared";
  std::printf("soak: %d kills, seed %llu, in %s\n", options.kills,
              static_cast<unsigned long long>(options.seed), folder.c_str());
  std::fflush(stdout);
  keep_leftovers_apart(folder, shared);
  prepare_soak(folder);
  SoakKiller killer(folder, options.seed);
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  killer.run(options.kills, [&](const SoakRecord& record) {
    std::printf("%s\n", record.progress(options.kills, seconds()).c_str());
    std::fflush(stdout);
  });
  const SoakRecord& record = killer.record();
  std::printf("%s", record.summary(seconds()).c_str());
  std::filesystem::remove_all(shared);
  const bool good = record.good() && record.kills >= options.kills;
  if (good && !options.keep)
    std::filesystem::remove_all(folder);
  else
    std::printf("soak: its folder is kept: %s\n", folder.c_str());
  return good ? 0 : 1;
}

}  // namespace
}  // namespace tutti::testing

int main(int argc, char** argv) {
  tutti::testing::SoakOptions options;
  try {
    options = tutti::testing::parse(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "soak: %s; see scripts/soak\n", e.what());
    return 64;
  }
  try {
    return tutti::testing::soak(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "soak: %s\n", e.what());
    return 1;
  }
}
