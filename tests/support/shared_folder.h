// A scratch folder that all ranks of an MPI test see.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"

namespace tutti::testing {

// Made and removed by the root. Collective.
class SharedFolder {
 public:
  explicit SharedFolder(const std::string& name) {
    std::string path;
    if (world().is_root()) {
      own_.emplace(name);
      path = own_->path().string();
    }
    path_ = world().broadcast_string(path);
  }
  ~SharedFolder() { world().barrier(); }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::optional<ScratchFolder> own_;
  std::filesystem::path path_;
};

}  // namespace tutti::testing
