// Models on disk: an artefact of kind "model" with the parameters by name, and the tokenizer they
// belong to.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include "kernels/core/arena.h"
#include "runtime/comm/comm.h"
#include "runtime/data/manifest.h"
#include "runtime/data/tokenizer.h"

namespace tutti {

// Writes the root's `parameters` (an arena laid out as `layout`) and a copy of `tokenizer` into
// `folder` as a model. `metadata` must say all that is needed to build the layout again.
// Collective; the root writes, other ranks may bring no parameters. Returns the committed manifest
// on all ranks; throws Error on all ranks.
Manifest save_model(Comm& comm, const std::filesystem::path& folder, const ArenaLayout& layout,
                    std::span<const float> parameters, const std::filesystem::path& tokenizer,
                    const nlohmann::json& metadata);

// Fills an arena from a model's file, verified. Local. Throws Error(data) where a parameter is
// missing or has another shape than in `layout`.
void load_parameters(const std::filesystem::path& folder, const Manifest& manifest,
                     const ArenaLayout& layout, std::span<float> parameters);

// One parameter after another, without memory for all of them: `visit` sees its values, which stay
// until it returns. Local. Throws as load_parameters() does.
void load_each_parameter(
    const std::filesystem::path& folder, const Manifest& manifest, const ArenaLayout& layout,
    const std::function<void(const Parameter& parameter, std::span<const float> values)>& visit);

// The tokenizer in a model's folder, verified. Local. Throws Error(data) where it is missing or
// damaged.
Tokenizer load_tokenizer(const std::filesystem::path& folder, const Manifest& manifest);

}  // namespace tutti
