// How often, where and how many checkpoints are kept: the configuration keys "checkpoint.*".
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/config.h"

namespace tutti {

// Which committed generations of a folder stay. The newest one always does, and so do pinned ones.
struct Retention {
  std::int64_t keep = 2;        // the newest ones
  std::int64_t keep_every = 0;  // besides, those whose number is a multiple of this; 0: none
  double keep_seconds = 0;      // besides, those that are no older than this
};

struct CheckpointOptions {
  double every_seconds = 60;          // kAutomaticDuration: from the measured cost and the MTBF
  double mtbf_seconds = 0;            // mean time between failures of the job; 0: not known
  double shared_every_seconds = 600;  // where there is a node-local level: time between shared ones
  std::string local;    // node-local folder, "{host}" standing for the host's name; "": none
  bool partner = true;  // with a node-local level: a copy in the next node's folder
  bool verify = false;  // read back what was written before it counts
  std::int64_t give_up_after = 3;  // so many failed periodic checkpoints in a row
  Retention retention;

  void describe(Schema& schema);
  // Throws Error(usage) naming the key.
  void check() const;
};

}  // namespace tutti
