// Writes tensors in files as Hugging Face's own libraries write them; see safetensors.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/dtype.h"

namespace tutti {

// A tensor to be: of type f32, f16 or bf16.
struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;

  std::int64_t elements() const;
  std::int64_t bytes() const;
};

// Where a tensor's elements come from: fills `values`, which has the size of tensors[index].
using TensorSource = std::function<void(std::size_t index, std::span<float> values)>;

// Writes `tensors` into one file, whole and durable or not at all; no more than one of them is in
// memory. Their order in the file is the reference implementation's: by type, then by name. Local;
// throws Error(io).
void write_safetensors(const std::filesystem::path& path, std::span<const TensorSpec> tensors,
                       const TensorSource& source);

// The same into a folder, as model.safetensors, or, where the tensors have more than `file_bytes`
// bytes, as numbered files and an index; none of them holds more, but for a tensor that does alone.
// Tensors fill files in their order. What an earlier call left under these names is removed.
// Returns the files' names.
std::vector<std::string> write_safetensors_folder(const std::filesystem::path& folder,
                                                  std::span<const TensorSpec> tensors,
                                                  std::int64_t file_bytes,
                                                  const TensorSource& source);

}  // namespace tutti
