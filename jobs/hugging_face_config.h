// config.json of Hugging Face's transformers, for the families that are shapes of ours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "kernels/core/dtype.h"
#include "kernels/model/decoder.h"
#include "kernels/model/encoder.h"

namespace tutti {

struct HuggingFaceConfig {
  std::string family;  // model_type: gpt2, llama, mistral, qwen2; bert, the encoder
  std::variant<DecoderShape, EncoderShape> shape;
  std::optional<std::int32_t> separator;  // decoders: the token that ends a text, or begins one

  bool is_encoder() const { return std::holds_alternative<EncoderShape>(shape); }
  const DecoderShape& decoder() const { return std::get<DecoderShape>(shape); }
  const EncoderShape& encoder() const { return std::get<EncoderShape>(shape); }
};

// Reads the text of a config.json, as versions 4 and 5 of transformers write it. Throws Error(data)
// naming `place` and the key, and by its name whatever the model does not do: other architectures,
// activations, kinds of positions, scalings of rotary ones, windows in some layers only, quantised
// weights. What other files tell of an encoder is left as it is by default.
HuggingFaceConfig read_hugging_face_config(const std::string& text, const std::string& place);

// A config.json for a shape of GPT-2's or Llama's family with tensors of type `dtype`. Throws
// Error(data) for another shape.
std::string hugging_face_config_of(const DecoderShape& shape, std::int32_t separator, DType dtype);

// The text of a config.json that says so of the type of the tensors.
std::string with_tensor_type(const std::string& config, DType dtype);

// The text of a config.json or generation_config.json with `token` among those that end a text,
// behind the others; the same text where it is among them, or where there is no JSON object.
std::string with_end_token(const std::string& config, std::int32_t token);

// What transformers calls a type: "float32", "bfloat16", "float16".
const char* torch_name_of(DType dtype);

}  // namespace tutti
