// The names that the tensors of a model have in the files of Hugging Face's transformers.
#pragma once

#include <string>
#include <vector>

#include "kernels/model/decoder.h"
#include "kernels/model/encoder.h"
#include "runtime/data/tensor_places.h"

namespace tutti {

// The tensors of a shape, in the order in which transformers has them; each parameter of the
// decoder is filled wholly. A shape with learned positions has GPT-2's names, any other Llama's.
// `prefix` stands in front of GPT-2's names but the head's: "transformer.", or nothing in files of
// the bare body. A tied head has a place of its own where `stored_head`.
std::vector<TensorPlace> hugging_face_places(const DecoderShape& shape, const std::string& prefix,
                                             bool stored_head);

// The tensors of BERT. `prefix` stands in front of all names: "bert.", or nothing in files of the
// bare body. Norms have `gamma` and `beta` where `old_norm_names`, else `weight` and `bias`.
std::vector<TensorPlace> hugging_face_places(const EncoderShape& shape, const std::string& prefix,
                                             bool old_norm_names);

// Whether a tensor of this name belongs to a head that BERT had in its own training.
bool is_training_head(const std::string& name);

// Whether a tensor of this name is a constant of the original code, such as a mask.
bool is_constant_tensor(const std::string& name);

}  // namespace tutti
