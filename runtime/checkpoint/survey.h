// What a person wants to know of a run's checkpoints: which there are, and which of their blocks
// are damaged. Nothing is changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/checkpoint/levels.h"
#include "runtime/comm/comm.h"

namespace tutti {

// From the best to the worst.
enum class GenerationCondition {
  complete,    // committed; manifests hold and parts are there in their sizes, no data was read
  unfinished,  // without a manifest: being written, or left by a kill
  damaged,     // committed, and not complete at a level
  set_aside,   // did not verify, and was renamed by a start
};
const char* name_of(GenerationCondition condition);

struct GenerationSummary {
  std::int64_t generation = 0;
  GenerationCondition condition = GenerationCondition::complete;
  std::string problem;  // of a damaged one
  bool pinned = false;
  bool shared = false;     // stands in the run's own folder
  std::int64_t nodes = 0;  // in the folders of so many nodes
  double written = 0;      // when its manifest was, or else its folder, in seconds since 1970
  std::int64_t bytes = 0;  // of its parts
  std::int64_t parts = 0;
  nlohmann::json state;  // what the job wants to be remembered; null where no manifest tells
};

// Every generation at any level, newest first; one that was set aside behind one of its number.
// Collective; the same on all ranks. Throws Error(io) where a folder cannot be listed.
std::vector<GenerationSummary> survey_generations(Comm& comm, const CheckpointLevels& levels);

// A place that does not verify.
struct GenerationDamage {
  std::string level;    // "run" or "node NAME"
  std::string place;    // the file: manifest or part
  std::string problem;  // with the dataset and the block, where it is one
};

// Reads all of a generation at every level, each rank its share of the parts. All damage, on all
// ranks; none of a generation that was removed meanwhile. Collective. Throws Error(usage) where a
// newer version wrote it.
std::vector<GenerationDamage> find_damage(Comm& comm, const CheckpointLevels& levels,
                                          std::int64_t generation);

// Whether the run's own folder has all of a generation undamaged: then it does not depend on any
// node. Collective; reads as find_damage() does.
bool verifies_in_run_folder(Comm& comm, const CheckpointLevels& levels, std::int64_t generation);

}  // namespace tutti
