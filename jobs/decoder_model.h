// What the jobs share about decoder language models: their place in a model's metadata.
#pragma once

#include <nlohmann/json.hpp>

#include "kernels/model/decoder.h"

namespace tutti {

nlohmann::json decoder_metadata(const DecoderShape& shape);
// Throws nlohmann::json::exception or std::invalid_argument where the object describes none.
DecoderShape decoder_shape(const nlohmann::json& metadata);

}  // namespace tutti
