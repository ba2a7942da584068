// config.json of Hugging Face's transformers, for the decoder families that are shapes of ours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kernels/core/dtype.h"
#include "kernels/model/decoder.h"

namespace tutti {

struct HuggingFaceConfig {
  std::string family;  // model_type: gpt2, llama, mistral or qwen2
  DecoderShape shape;
  std::optional<std::int32_t> separator;  // the token that ends a text, or begins one
};

// Reads the text of a config.json, as versions 4 and 5 of transformers write it. Throws Error(data)
// naming `place` and the key, and by its name whatever the decoder does not do: other
// architectures, activations, scalings of rotary positions, windows in some layers only, quantised
// weights.
HuggingFaceConfig read_hugging_face_config(const std::string& text, const std::string& place);

// A config.json for a shape of GPT-2's or Llama's family with tensors of type `dtype`. Throws
// Error(data) for another shape.
std::string hugging_face_config_of(const DecoderShape& shape, std::int32_t separator, DType dtype);

// The text of a config.json that says so of the type of the tensors.
std::string with_tensor_type(const std::string& config, DType dtype);

// What transformers calls a type: "float32", "bfloat16", "float16".
const char* torch_name_of(DType dtype);

}  // namespace tutti
