// What the jobs share about decoder language models: their place in a model's metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "kernels/model/decoder.h"
#include "runtime/data/manifest.h"

namespace tutti {

nlohmann::json decoder_metadata(const DecoderShape& shape);
// Throws nlohmann::json::exception or std::invalid_argument where the object describes none.
DecoderShape decoder_shape(const nlohmann::json& metadata);

// The shape that a model's manifest describes. Throws Error(data) naming `place` where it describes
// no decoder, or one that its file cannot hold. Local.
DecoderShape decoder_shape_of(const Manifest& model, const std::string& place);

// The token between documents that a model was made with; nothing where its manifest names none of
// its vocabulary.
std::optional<std::int32_t> decoder_separator(const Manifest& model, const DecoderShape& shape);

}  // namespace tutti
