// Where a transformer's parameters stand in its arena. Private to the models.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/model/transformer.h"

namespace tutti {

// A place in the arena. One of size zero is a parameter that the model does not have.
struct ParameterPlace {
  std::int64_t offset = 0;
  std::int64_t size = 0;
};

// The root-mean-square form has no bias.
struct NormPlaces {
  ParameterPlace gain, bias;
};

// Weights [outputs, inputs] and perhaps one bias an output.
struct LinearPlaces {
  ParameterPlace weight, bias;
  std::int64_t outputs = 0, inputs = 0;
};

// With norms after the sums, norm1 ends the layer before (in layer 0: the embedding).
struct LayerPlaces {
  NormPlaces norm1;
  LinearPlaces qkv, out;
  NormPlaces norm2;
  LinearPlaces ff1, up, ff2;  // ff1 is the gate of a gated unit, which alone has `up`

  // The matrices that the layer has.
  std::vector<const LinearPlaces*> linears() const;
};

struct TransformerPlaces {
  ParameterPlace token, position, type;
  std::vector<LayerPlaces> layers;
  NormPlaces final_norm;
};

ParameterPlace add_parameter(ArenaLayout& layout, const std::string& name,
                             std::vector<std::int64_t> shape, bool decay);

// Appends the body's parameters, matrices and tables to one layout, gains and biases to another,
// which may be the same. Throws std::invalid_argument for an impossible shape.
TransformerPlaces add_transformer(ArenaLayout& matrices, ArenaLayout& vectors,
                                  const TransformerShape& shape);
inline TransformerPlaces add_transformer(ArenaLayout& layout, const TransformerShape& shape) {
  return add_transformer(layout, layout, shape);
}

// What no pass of the body reads any more once matrices are packed, where passes see no other
// tokens than these: in order, other tokens' embeddings and the matrices.
std::vector<ParameterPlace> unread_places_of(const TransformerPlaces& places, std::int64_t width,
                                             std::span<const std::int32_t> tokens);

// Fills an arena: embeddings and weights normal, gains one, biases and gaps zero. Every value is a
// function of (seed, parameter, element).
void initialize_transformer(const ArenaLayout& layout, std::int64_t layers, double token_deviation,
                            std::span<float> arena, std::uint64_t seed);

// Appends the products of the body over `tokens` tokens of one kind. Attention's own, whose size
// depends on the lengths, are not among them.
void add_products(std::vector<ProductSize>& products, const TransformerShape& shape,
                  std::int64_t tokens, ProductSize::Kind kind);
// One product with a weight matrix, `count` times.
ProductSize product_with(std::int64_t outputs, std::int64_t inputs, std::int64_t tokens,
                         ProductSize::Kind kind, std::int64_t count);

}  // namespace tutti
