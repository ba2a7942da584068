// The model that a training is about: what of it the end of a run saves, and each checkpoint tells,
// so that a model's folder can be made of a checkpoint without the job.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "kernels/core/arena.h"
#include "runtime/io/file_record.h"

namespace tutti {

struct TrainedModel {
  nlohmann::json about;           // what the model's metadata get beside those of its task
  ArenaLayout layout;             // of the parameters in the array
  std::string array;              // the one that is saved: the parameters, or their average
  std::filesystem::path dataset;  // its folder, absolute: where the tokenizer is
  FileRecord tokenizer;
};

// A model's metadata: its task's, and what the training adds to them.
nlohmann::json model_metadata_of(nlohmann::json task_metadata, const nlohmann::json& about,
                                 std::int64_t steps);

// As a checkpoint's state has it; see runtime/checkpoint/FORMAT.md.
nlohmann::json to_json(const TrainedModel& model);
// Throws Error(data) naming `place` where it describes none, or one of more than `most_elements`.
TrainedModel trained_model_from_json(const nlohmann::json& json, std::int64_t most_elements,
                                     const std::string& place);

}  // namespace tutti
