// What the jobs share about the text encoder: its keys, its place in a model's metadata, and
// loading it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "kernels/model/encoder.h"
#include "runtime/base/config.h"
#include "runtime/comm/comm.h"
#include "runtime/data/dataset.h"
#include "runtime/data/manifest.h"
#include "runtime/data/sequences.h"

namespace tutti {

struct EncoderConfig {
  std::int64_t width = 256, layers = 3, heads = 4, feed_forward = 0, max_tokens = 128;

  void describe(Schema& schema);
  // Throws Error(usage).
  void check() const;
  EncoderShape encoder(std::int64_t vocabulary) const;
};

// Entries of a dataset's tokenizer. Throws Error(data) where the dataset has none.
std::int64_t vocabulary_of(const Dataset& dataset);

nlohmann::json encoder_metadata(const EncoderShape& shape);

// The shape that a model's manifest describes. Throws Error(data) naming `place` where it describes
// none, or one that its file cannot hold. Local.
EncoderShape encoder_shape_of(const Manifest& model, const std::string& place);

// How a model takes texts, as its metadata tells under kTextKey; where they do not, texts have no
// frame and all the tokens that the model takes. Throws Error(data) naming `place`. Local.
inline constexpr const char* kTextKey = "text";
TextForm text_form_of(const Manifest& model, const EncoderShape& shape, const std::string& place);
nlohmann::json to_json(const TextForm& form);

// The type in which all ranks multiply: "bf16", "f32", or for "auto" bf16 where every rank's
// processor has it. Collective.
DType compute_type(Comm& comm, const std::string& name);

// An encoder with a model's parameters, ready to embed.
struct LoadedEncoder {
  Manifest manifest;
  TextForm form;
  AlignedBuffer<float> parameters;  // the encoder refers to them
  std::unique_ptr<Encoder> encoder;
};
// Collective: `dtype` as for compute_type. Throws Error on all ranks where the folder holds no such
// model.
LoadedEncoder load_encoder(Comm& comm, const std::filesystem::path& folder,
                           const std::string& dtype);

// Throws Error(usage) where a model and a dataset were made with different tokenizers. Local.
void require_same_tokenizer(const Manifest& model, const Manifest& dataset);

// Throws Error(usage) on all ranks where a model and a dataset were made with different tokenizers:
// the ids of one mean nothing to the other. Error(data) where the model embeds fewer than they have
// entries. Collective.
void check_tokenizer(Comm& comm, const Manifest& model, const Manifest& dataset);

}  // namespace tutti
