// One part of a generation on its way to disk, behind the step loop's back.
#pragma once

#include <atomic>
#include <exception>
#include <filesystem>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "runtime/checkpoint/staging.h"
#include "runtime/io/extent_file.h"

namespace tutti {

// Local. A writer that is destroyed before finish() leaves no file.
class PartWriter {
 public:
  // Lays the part out in each of `files` (one a storage level), which reserves its room. Throws
  // Error(io).
  PartWriter(std::span<const std::filesystem::path> files, const std::vector<ColumnSpec>& columns);
  ~PartWriter();
  PartWriter(const PartWriter&) = delete;
  PartWriter& operator=(const PartWriter&) = delete;

  // The part's record, but for the checksums of its blocks.
  const FileRecord& layout() const { return writers_.front().layout(); }

  // The first of `files` whose file system has no direct I/O, if any; known when they are written.
  std::optional<std::filesystem::path> without_direct_io() const;

  struct Manner {
    bool aside = true;    // takes only what processor time the step loop leaves
    bool verify = false;  // reads back what was written
  };
  // Starts the thread. The columns stay as they are until finish() or the destructor returns.
  void start(std::span<const StagedColumn> columns, Manner manner);
  // Whether the thread is still at it; true before start().
  bool writing() const { return writing_.load(std::memory_order_acquire); }
  // Waits for the thread; throws what stopped it. The files are then durable.
  void finish();

 private:
  void write(std::span<const StagedColumn> columns, bool verify);

  std::vector<std::filesystem::path> files_;
  std::vector<ExtentWriter> writers_;
  std::exception_ptr failure_;
  std::atomic<bool> writing_{true};
  std::thread thread_;
};

}  // namespace tutti
