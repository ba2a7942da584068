// Durable state of a running job: snapshot in memory, written behind its back, committed by a manifest, restored on any
// number of ranks. The layout on disk is in FORMAT.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/dtype.h"
#include "runtime/checkpoint/store.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"

namespace tutti {

// What a generation's manifest says it is.
inline constexpr const char* kCheckpointKind = "checkpoint";

// The part of a flat array that this rank has to save, or wants to be filled. Does not own its bytes.
struct ArraySlice {
  std::string name;        // the array's, the same on all ranks
  DType dtype = DType::f32;
  std::int64_t size = 0;   // elements of the whole array
  Range range;             // the slice's elements
  std::span<std::byte> bytes;
};

template <class T>
ArraySlice slice_of(std::string name, std::int64_t size, Range range, std::span<T> values) {
  return {std::move(name), dtype_of<T>, size, range, std::as_writable_bytes(values)};
}

struct CheckpointOptions {
  double every_seconds = 60;
  std::int64_t keep = 2;  // committed generations
};

// Saves and restores a job's state. Collective but for local_*. One snapshot is in flight at a time: begin() copies the
// slices and returns while a thread of this rank writes the copy; commit() makes it count. Until then, and whatever
// fails, the generations before it stay as they are.
class Checkpointer {
 public:
  // Makes the folder and removes what a killed run left unfinished. Throws Error(io).
  Checkpointer(Comm& comm, std::filesystem::path folder, CheckpointOptions options);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Fills `wanted` (any slices of the saved arrays, also whole ones) from the newest generation that verifies and
  // returns its state; nothing where there is none. A generation that does not verify is set aside with a warning, and
  // the one before it is taken. Throws Error(usage) where the arrays' names, types or sizes are others than were saved.
  std::optional<nlohmann::json> restore(std::span<const ArraySlice> wanted);

  // Whether the interval has passed since the last begin() (or the start). Ranks' clocks differ: ask the root's.
  bool local_due() const;
  // Whether this rank's writer thread is still at work.
  bool local_writing() const;
  // Whether a snapshot waits for commit(); the same on all ranks.
  bool pending() const { return writer_ != nullptr; }

  // Snapshots this rank's slices, which together with the other ranks' must cover each array once. Everything is
  // allocated on disk first: where that fails on any rank, all throw Error(io) and nothing has changed. Needs !pending().
  void begin(std::span<const ArraySlice> slices, const nlohmann::json& state);
  // Waits for the writers, commits the pending generation, and removes the ones beyond retention. Throws Error(io)
  // where a write failed anywhere; the generation is then gone, the earlier ones intact. Needs pending().
  void commit();

  std::int64_t generation() const { return generation_; }  // the pending or last committed one, -1 before

 private:
  class Writer;
  nlohmann::json read_manifest(std::int64_t generation);
  void fill(std::int64_t generation, const nlohmann::json& manifest, std::span<const ArraySlice> wanted) const;
  void abandon();

  Comm& comm_;
  CheckpointStore store_;
  std::filesystem::path folder_;
  CheckpointOptions options_;
  std::chrono::steady_clock::time_point last_begin_;
  std::int64_t generation_ = -1, next_generation_ = 0;
  nlohmann::json state_, my_slices_, arrays_;
  std::unique_ptr<Writer> writer_;
};

}  // namespace tutti
