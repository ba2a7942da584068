// A language model as it stands on disk: whole, or as adapters beside the model that they belong
// to.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/core/arena.h"
#include "kernels/model/adapters.h"
#include "kernels/model/decoder.h"
#include "runtime/data/manifest.h"

namespace tutti {

inline constexpr const char* kAdaptersKey = "adapters";  // in a model's metadata

// What an artefact of adapters says of them, but for the base model's folder; see FORMAT.md.
nlohmann::json adapters_metadata(const AdapterShape& adapters, const Manifest& base);

struct DecoderSource {
  std::filesystem::path folder;
  Manifest manifest;
  DecoderShape shape;
  std::optional<AdapterShape> adapters;  // where the folder holds these alone
  std::filesystem::path base_folder;     // of the whole model: another than `folder` then
  Manifest base;
};

// Reads manifests alone. A base model is looked for where it was, and beside `folder`. Local.
// Throws Error(data) where there is no language model, or not the one that adapters belong to.
DecoderSource open_decoder(const std::filesystem::path& folder);

// Fills an arena of decoder_layout(source.shape), adapters merged. Local. Throws as
// load_parameters() does.
void load_decoder_parameters(const DecoderSource& source, std::span<float> parameters);

// One parameter of the base model at a time. Local. Throws as load_parameters() does.
void load_frozen_parameters(const DecoderSource& source, Decoder& decoder);

}  // namespace tutti
