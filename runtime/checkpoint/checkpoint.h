// Durable state of a running job: snapshot in memory, written behind its back, committed by a
// manifest, restored on any number of ranks. The layout on disk is in FORMAT.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/core/dtype.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/checkpoint/store.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"

namespace tutti {

// The part of a flat array that this rank has to save, or wants to be filled. Does not own its
// bytes.
struct ArraySlice {
  std::string name;  // the array's, the same on all ranks
  DType dtype = DType::f32;
  std::int64_t size = 0;  // elements of the whole array
  Range range;            // the slice's elements
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

// What a generation holds: slices, which together with the other ranks' cover each array once; what
// else the job wants to be remembered; and all that its results follow from, a flat object. Both
// are the same on all ranks.
struct Snapshot {
  std::vector<ArraySlice> slices;
  nlohmann::json state, identity;
};

// Saves and restores a job's state. Collective but for local_*. One snapshot is in flight at a
// time: begin() copies the slices and returns while a thread of this rank writes the copy; commit()
// makes it count. Until then, and whatever fails, the generations before it stay as they are.
class Checkpointer {
 public:
  // Makes the folder and removes what a killed run left unfinished. Throws Error(io).
  Checkpointer(Comm& comm, std::filesystem::path folder, CheckpointOptions options);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Fills `wanted` (any slices of the saved arrays, also whole ones) from the newest generation
  // that verifies and returns its state; nothing where there is none. A generation that does not
  // verify is set aside with a warning, and the one before it is taken. Throws Error(usage) where
  // it was saved with another identity, or its arrays have other names, types or sizes.
  std::optional<nlohmann::json> restore(const nlohmann::json& identity,
                                        std::span<const ArraySlice> wanted);

  // What ranks agree on between two steps: commits a snapshot that is written and begins one that
  // is due. Where any rank's `stop` is true, leaves a checkpoint of this moment and returns true.
  // `take` is called, on all ranks, only where a snapshot is taken.
  bool boundary(bool stop, const std::function<Snapshot()>& take);

  // Leaves a checkpoint of this moment: there, and committed, when this returns, without the memory
  // of a copy. Throws as begin() and commit() do.
  void save(const Snapshot& snapshot);

  // Whether a snapshot waits for commit(); the same on all ranks.
  bool pending() const { return writer_ != nullptr; }
  // Copies the slices. Everything is allocated on disk first: where that fails on any rank, all
  // throw Error(io) and nothing has changed. Needs !pending().
  void begin(const Snapshot& snapshot);
  // Waits for the writers, commits the pending generation, and removes the ones beyond retention.
  // Throws Error(io) where a write failed anywhere; the generation is then gone, the earlier ones
  // intact. Needs pending().
  void commit();

  // Called on all ranks after each commit, with the generation and its state.
  using Listener = std::function<void(std::int64_t, const nlohmann::json&)>;
  void on_commit(Listener listener) { on_commit_ = std::move(listener); }

  std::int64_t generation() const {
    return generation_;
  }  // the pending or last committed one, -1 before

 private:
  class Writer;
  bool local_due() const;
  void start_writing(const Snapshot& snapshot, bool copies);
  CheckpointManifest read_manifest(std::int64_t generation);
  void fill(const CheckpointManifest& manifest, std::span<const ArraySlice> wanted) const;
  void abandon();

  Comm& comm_;
  CheckpointStore store_;
  std::filesystem::path folder_;
  CheckpointOptions options_;
  std::chrono::steady_clock::time_point last_begin_;
  std::int64_t generation_ = -1, next_generation_ = 0;
  nlohmann::json state_, my_slices_, arrays_;
  Listener on_commit_ = [](std::int64_t, const nlohmann::json&) {};
  std::unique_ptr<Writer> writer_;
};

}  // namespace tutti
