// Between the tensors of files from elsewhere and the parameters of an arena.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/arena.h"
#include "runtime/data/safetensors.h"

namespace tutti {

// Where a tensor stands: from element `first` of a parameter on, as it is in the file or, where it
// is a matrix the other way round, transposed. Tensors may have the same place; their values must
// then be the same.
struct TensorPlace {
  std::string name;
  std::vector<std::int64_t> shape;  // in the file
  std::string parameter;
  std::int64_t first = 0;
  bool transposed = false;
};

// Whether a tensor means nothing to the model and may be left out.
using HarmlessTensor = std::function<bool(const std::string& name)>;

// Throws Error(data) naming the first tensor that is missing, has another shape or elements that
// are no floats, or is neither in `places` nor harmless.
void check_tensors(const SafetensorsFolder& folder, std::span<const TensorPlace> places,
                   const HarmlessTensor& harmless);

// Fills an arena from tensors that check_tensors let pass. Throws Error(data) where two in one
// place differ.
void read_tensors(const SafetensorsFolder& folder, std::span<const TensorPlace> places,
                  const ArenaLayout& layout, std::span<float> arena);

// A tensor's elements, in the file's order, out of an arena.
void copy_tensor(const TensorPlace& place, const ArenaLayout& layout, std::span<const float> arena,
                 std::span<float> values);

}  // namespace tutti
