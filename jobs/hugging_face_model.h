// A model's folder of Hugging Face's transformers as an artefact, and what is kept of it for the
// way back.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "jobs/hugging_face_config.h"
#include "kernels/core/arena.h"
#include "runtime/data/safetensors.h"
#include "runtime/data/sequences.h"
#include "runtime/data/tensor_places.h"

namespace tutti {

inline constexpr const char* kHuggingFaceKey = "hugging_face";  // in a model's metadata

// What the artefact's own parts do not tell of the folder.
struct HuggingFaceRecord {
  std::string config;                         // config.json as it is
  std::map<std::string, std::string> files;   // others, such as tokenizer_config.json, by name
  DType dtype = DType::f32;                   // of the tensors
  std::map<std::string, DType> other_dtypes;  // of those that are of another type
  std::string prefix;                         // as for hugging_face_places
  bool stored_head = false;
  bool old_norm_names = false;  // of BERT, as for hugging_face_places

  DType dtype_of_tensor(const std::string& name) const;
};

nlohmann::json to_json(const HuggingFaceRecord& record);
// Throws Error(data) naming `place` where the JSON is no such record.
HuggingFaceRecord hugging_face_record_of(const nlohmann::json& json, const std::string& place);

// A folder that is wholly understood; its tensors' values are still to be read.
struct HuggingFaceModel {
  HuggingFaceConfig config;
  HuggingFaceRecord record;
  SafetensorsFolder tensors;
  std::vector<TensorPlace> places;
  ArenaLayout layout;
  std::filesystem::path tokenizer;    // its file
  TextForm form;                      // of an encoder
  std::vector<std::string> left_out;  // tensors that have no place: heads of BERT's training
};

// `tokenizer`: the tokenizer's file; empty: tokenizer.json or tokenizer.model of the folder. Local.
// Throws Error(data) naming what is missing, wrong or not supported.
HuggingFaceModel open_hugging_face_model(const std::filesystem::path& folder,
                                         const std::filesystem::path& tokenizer = {});

// The metadata of the artefact.
nlohmann::json metadata_of(const HuggingFaceModel& model);

}  // namespace tutti
