// Where an encoder's parameters stand in its arena. Private to the encoder.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/model/encoder.h"

namespace tutti {

// A parameter: its place in the arena and how it starts.
struct EncoderParameter {
  std::int64_t offset = 0;
  std::int64_t size = 0;
};

struct EncoderNorm {
  EncoderParameter gain, bias;
};

// Weights [outputs, inputs] and one bias an output.
struct EncoderLinear {
  EncoderParameter weight, bias;
  std::int64_t outputs = 0, inputs = 0;
};

struct EncoderLayer {
  EncoderNorm norm1;
  EncoderLinear qkv, out;
  EncoderNorm norm2;
  EncoderLinear ff1, ff2;
};

struct EncoderParameters {
  ArenaLayout layout;
  EncoderParameter token, position;
  std::vector<EncoderLayer> layers;
  EncoderNorm final_norm;
};

// Throws std::invalid_argument for an impossible shape.
EncoderParameters encoder_parameters(const EncoderShape& shape);

// See Encoder::initialize.
void initialize_encoder(const EncoderShape& shape, std::span<float> arena, std::uint64_t seed);

}  // namespace tutti
