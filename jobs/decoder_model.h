// What the jobs share about decoder language models: their place in a model's metadata.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "kernels/core/arena.h"
#include "kernels/model/decoder.h"
#include "runtime/comm/comm.h"
#include "runtime/data/manifest.h"

namespace tutti {

nlohmann::json decoder_metadata(const DecoderShape& shape);
// Throws nlohmann::json::exception or std::invalid_argument where the object describes none.
DecoderShape decoder_shape(const nlohmann::json& metadata);

// A decoder with a model's parameters, ready to generate.
struct LoadedDecoder {
  Manifest manifest;
  AlignedBuffer<float> parameters;  // the decoder refers to them
  std::unique_ptr<Decoder> decoder;
  std::int32_t separator = 0;  // the token in front of a text, which ends it as well
};
// Collective: `dtype` as for compute_type. Throws Error on all ranks where the folder holds no such
// model.
LoadedDecoder load_decoder(Comm& comm, const std::filesystem::path& folder,
                           const std::string& dtype);
// The shape that a model's manifest describes. Throws Error(data) naming `place` where it describes
// no decoder, or one that its file cannot hold. Local.
DecoderShape decoder_shape_of(const Manifest& model, const std::string& place);

// The token between documents that a model was made with; nothing where its manifest names none of
// its vocabulary.
std::optional<std::int32_t> decoder_separator(const Manifest& model, const DecoderShape& shape);

}  // namespace tutti
