#include "kernels/model/decoder_layout.h"

#include <stdexcept>

namespace tutti {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

}  // namespace

DecoderShape gpt2_shape(std::int64_t vocabulary, std::int64_t width, std::int64_t layers,
                        std::int64_t heads, std::int64_t max_tokens) {
  require(heads >= 1 && width % heads == 0, "decoder: the width must be a multiple of the heads");
  DecoderShape shape;
  shape.body.vocabulary = vocabulary;
  shape.body.width = width;
  shape.body.layers = layers;
  shape.body.heads = shape.body.kv_heads = heads;
  shape.body.head_size = width / heads;
  shape.body.feed_forward = 4 * width;
  shape.body.max_tokens = max_tokens;
  return shape;
}

TransformerPlaces add_decoder_body(ArenaLayout& matrices, ArenaLayout& vectors,
                                   const DecoderShape& shape) {
  require(shape.body.attention == TransformerShape::Attention::causal,
          "decoder: attention must be causal");
  return add_transformer(matrices, vectors, shape.body);
}

ParameterPlace add_decoder_head(ArenaLayout& layout, const DecoderShape& shape,
                                ParameterPlace token) {
  if (shape.tied_head) return token;
  return add_parameter(layout, "head.weight", {shape.body.vocabulary, shape.body.width}, true);
}

ArenaLayout decoder_layout(const DecoderShape& shape) {
  ArenaLayout layout;
  add_decoder_head(layout, shape, add_decoder_body(layout, layout, shape).token);
  return layout;
}

}  // namespace tutti
