// Copies of a pending generation's parts for the nodes next to their own: sent over MPI, and
// written there like a part of one's own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/checkpoint/levels.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/checkpoint/part_writer.h"
#include "runtime/checkpoint/staging.h"
#include "runtime/comm/comm.h"

namespace tutti {

// The rank on the next node that keeps a copy of each rank's part; -1 where there is one node only.
std::vector<int> partners_of(std::span<const int> nodes_of_ranks);

// One generation at a time; memory is kept for the next one.
class PartnerCopies {
 public:
  // Where not `wanted`, or on a single node, nothing is ever copied.
  PartnerCopies(Comm& comm, bool wanted);

  // Reserves room for the parts that this rank keeps for others and starts the transfers. `parts`:
  // every rank's, as text; `mine` stays as it is until wait() or !local_writing(). Collective;
  // throws Error(io) on all ranks.
  void begin(const CheckpointLevels& levels, std::int64_t generation,
             std::span<const CheckpointArray> arrays, std::span<const std::string> parts,
             std::span<const StagedColumn> mine, bool verify);

  // Whether parts are still travelling or being written. Writing starts in here.
  bool local_writing();
  // Waits until they have travelled, and starts writing.
  void wait();
  // Waits for the writers; throws what stopped one.
  void local_finish();
  // Lets go of the generation; where local_finish() has not returned, its files are removed.
  void clear();

 private:
  struct Guest {  // a rank that this one keeps a copy for
    Staging staging;
    std::unique_ptr<PartWriter> writer;
  };
  void local_welcome(const CheckpointLevels& levels, std::int64_t generation, int rank,
                     const CheckpointPart& part, std::vector<Comm::Transfer>& transfers);
  void start_writing(bool aside);

  Comm& comm_;
  std::vector<int> partners_;
  std::vector<Guest> guests_;
  Comm::Pending transfers_;
  bool travelling_ = false, verify_ = false;
};

}  // namespace tutti
