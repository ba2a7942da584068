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

#include "runtime/checkpoint/array_slice.h"
#include "runtime/checkpoint/checkpoint_cost.h"
#include "runtime/checkpoint/checkpoint_options.h"
#include "runtime/checkpoint/levels.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/checkpoint/part_writer.h"
#include "runtime/checkpoint/partner_copies.h"
#include "runtime/checkpoint/staging.h"
#include "runtime/comm/comm.h"

namespace tutti {

// What a generation holds: slices, which together with the other ranks' cover each array once; what
// else the job wants to be remembered; and all that its results follow from, a flat object. Both
// are the same on all ranks.
struct Snapshot {
  std::vector<ArraySlice> slices;
  nlohmann::json state, identity;
};

// What a job is asked at a boundary; ranks may differ.
struct BoundaryRequest {
  bool stop = false;        // leave a checkpoint and end
  bool checkpoint = false;  // leave a checkpoint and go on
};

// Saves and restores a job's state. Collective but for local_*. One snapshot is in flight at a
// time: begin() copies the slices and returns while threads of this rank write the copy; commit()
// makes it count. Until then, and whatever fails, the generations before it stay as they are.
class Checkpointer {
 public:
  // Makes the folders and removes what a killed run left unfinished. Throws Error(io).
  Checkpointer(Comm& comm, std::filesystem::path folder, CheckpointOptions options);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Fills `wanted` (any slices of the saved arrays, also whole ones) from the newest generation
  // that verifies and returns its state; nothing where there is none. A block comes from whichever
  // storage level has it whole. A generation that has one nowhere is set aside with a warning, and
  // the one before it is taken. Throws Error(usage) where it was saved with another identity, or
  // its arrays have other names, types or sizes.
  std::optional<nlohmann::json> restore(const nlohmann::json& identity,
                                        std::span<const ArraySlice> wanted);

  // What ranks agree on between two steps: commits a snapshot that is written and begins one that
  // is due or asked for. Where any rank is to stop, leaves a checkpoint of this moment and returns
  // true. `take` is called, on all ranks, only where a snapshot is taken. A periodic checkpoint
  // that cannot be written is a warning, until options.give_up_after of them failed in a row.
  bool boundary(BoundaryRequest request, const std::function<Snapshot()>& take);

  // Leaves a checkpoint of this moment in the run's folder: there, and committed, when this
  // returns, without the memory of a copy. Throws as begin() and commit() do.
  void save(const Snapshot& snapshot);

  // Whether a snapshot waits for commit(); the same on all ranks.
  bool pending() const { return writer_ != nullptr; }
  // Copies the slices. Everything is allocated on disk first: where that fails on any rank, all
  // throw Error(io) and nothing has changed. Needs !pending().
  void begin(const Snapshot& snapshot);
  // Waits for the writers, commits the pending generation, and begins to remove those beyond
  // retention. Throws Error(io) where a write failed anywhere; the generation is then gone, the
  // earlier ones intact. Needs pending().
  void commit();

  // Called on all ranks after each commit, with the generation and its state, and where a periodic
  // checkpoint failed.
  using Listener = std::function<void(std::int64_t, const nlohmann::json&)>;
  void on_commit(Listener listener) { on_commit_ = std::move(listener); }
  using FailureListener = std::function<void(std::int64_t, const Error&)>;
  void on_failure(FailureListener listener) { on_failure_ = std::move(listener); }

  std::int64_t generation() const {
    return generation_;
  }  // the pending or last committed one, -1 before
  // What checkpoints have cost this rank.
  const CheckpointCost& cost() const { return cost_; }

 private:
  bool local_due() const;
  double interval() const;
  void tolerate(const std::function<void()>& step);
  void start_writing(const Snapshot& snapshot, bool copies, bool shared);
  void lay_out(const Snapshot& snapshot);
  CheckpointPart describe_part(const Snapshot& snapshot) const;
  void take(const Snapshot& snapshot, bool copies);
  nlohmann::json local_manifest() const;
  void local_tell_of_page_cache();
  void abandon();

  Comm& comm_;
  CheckpointOptions options_;
  CheckpointLevels levels_;
  PartnerCopies copies_;
  std::chrono::steady_clock::time_point last_begin_;
  std::optional<std::chrono::steady_clock::time_point> last_shared_;
  std::int64_t generation_ = -1, next_generation_ = 0;
  std::int64_t failures_ = 0;  // periodic checkpoints, in a row
  bool shared_ = true;         // whether the pending one goes to the run's folder
  bool requested_ = false;     // somebody asked for a checkpoint that is not yet begun
  bool told_of_skip_ = false, told_of_page_cache_ = false;
  nlohmann::json state_;
  std::vector<CheckpointArray> arrays_;
  std::vector<std::string> parts_;  // of the pending generation, one a rank
  Staging staging_;
  std::unique_ptr<PartWriter> writer_;
  CheckpointCost cost_;
  Listener on_commit_ = [](std::int64_t, const nlohmann::json&) {};
  FailureListener on_failure_ = [](std::int64_t, const Error&) {};
};

}  // namespace tutti
