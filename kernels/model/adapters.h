// Low-rank adapters beside the frozen matrices of a transformer (Hu et al., 2021; low_rank.h): what
// there is of them, and where it stands in the arena of what is trained.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/model/transformer.h"
#include "kernels/model/transformer_layout.h"

namespace tutti {

struct AdapterShape {
  std::int64_t rank = 0;
  float alpha = 0;  // what an adapter adds is multiplied by alpha / rank
  // The matrices of each layer that have one, by their names within a layer: "qkv" or any of
  // "query", "key" and "value", which are parts of it; "out"; "ff1", or "gate" and "up"; "ff2".
  std::vector<std::string> targets;

  float scale() const { return alpha / static_cast<float>(rank); }
  bool operator==(const AdapterShape&) const = default;
};

// One adapter: of outputs [first_output, first_output + outputs) of a matrix of its layer.
struct AdapterPlaces {
  enum class Part : std::uint8_t { qkv, out, ff1, up, ff2 };
  Part part;
  std::string name;  // of the target
  std::int64_t first_output = 0, outputs = 0, inputs = 0;
  ParameterPlace a, b;
};

struct Adapters {
  AdapterShape shape;
  std::vector<std::vector<AdapterPlaces>> layers;  // as many for each layer
};

// Appends the adapters' parameters, "layer0.query.a", "layer0.query.b", ..., layer by
// layer. Throws std::invalid_argument for a rank below one, or for targets that are none, twice the
// same or parts of one another.
Adapters add_adapters(ArenaLayout& layout, const TransformerShape& shape,
                      const AdapterShape& adapter_shape);

// Fills an arena: A uniform within 1 / sqrt(inputs), B zero, so that nothing is added at first.
void initialize_adapters(const ArenaLayout& layout, std::span<float> arena, std::uint64_t seed);

// Adds scale B A of every adapter to the matrix that it stands beside: `adapters` holds the
// adapters' arena, `parameters` an arena of `layout`, which has the transformer's parameters.
void merge_adapters(const Adapters& places, std::span<const float> adapters,
                    const ArenaLayout& layout, std::span<float> parameters);

}  // namespace tutti
