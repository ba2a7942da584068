// The folder of one run: its lock and its records (config.toml, events.jsonl, log.txt,
// result.json).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/comm/comm.h"

namespace tutti {

// Holds a run's folder for one job at a time. The lock belongs to the root's process and ends with
// it, however it ends. The other ranks share a second one: where mpirun and the root were killed,
// they go on for a while, and what they still write must not meet the next start's files.
class RunFolder {
 public:
  // A network file system keeps the locks of a node that is gone for a while, NFS for 90 s.
  static constexpr double kPatienceSeconds = 120;

  // Makes the folder and takes its lock. Collective. Throws Error(usage) naming host and process
  // where another job holds it, or where ranks of a dead one do not end within `patience_seconds`;
  // Error(io) where it cannot be made.
  RunFolder(Comm& comm, std::filesystem::path folder, double patience_seconds = kPatienceSeconds);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return folder_; }

  // Writes a record whole or not at all. Local; the root's business.
  void local_write(const std::string& name, const std::string& text) const;

 private:
  void local_lock(const std::string& holder);
  void local_await_ranks(double patience_seconds);
  void local_tell_ranks(const std::vector<std::string>& holders) const;
  void local_join();

  std::filesystem::path folder_;
  int lock_ = -1;
};

}  // namespace tutti
