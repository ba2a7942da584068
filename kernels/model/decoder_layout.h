// Where a decoder's parameters stand in its arena. Private to the models.
#pragma once

#include "kernels/core/arena.h"
#include "kernels/model/decoder.h"
#include "kernels/model/transformer_layout.h"

namespace tutti {

// Appends the body's parameters, matrices and tables to one layout, gains and biases to another,
// which may be the same. Throws std::invalid_argument for an impossible shape.
TransformerPlaces add_decoder_body(ArenaLayout& matrices, ArenaLayout& vectors,
                                   const DecoderShape& shape);

// The head's matrix: `token`, where they are tied, or behind the body's parameters.
ParameterPlace add_decoder_head(ArenaLayout& layout, const DecoderShape& shape,
                                ParameterPlace token);

}  // namespace tutti
