// Tensors in files as Hugging Face keeps them: `model.safetensors`, or several files and an index.
//
// A file is a number N (8 bytes, little-endian), N bytes of JSON that say where each tensor stands,
// and the tensors' bytes without a gap. Local; throws Error(data) naming the file, and the tensor
// where it is one's fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/dtype.h"
#include "runtime/io/file.h"

namespace tutti {

inline constexpr const char* kTensorsFile = "model.safetensors";
inline constexpr const char* kTensorsIndexFile = "model.safetensors.index.json";

// A tensor in a file: row-major bytes [begin, end).
struct TensorEntry {
  std::string name;
  std::string dtype;  // as the file calls it: "F32", "BF16", "I64", ...
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0, end = 0;

  std::int64_t elements() const;
};

// One file, its header checked to the last byte.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<TensorEntry>& tensors() const { return tensors_; }  // in order of their bytes
  // A tensor of type F32, F16 or BF16; other types are refused. CHECKs that `values` has its size.
  void read(const TensorEntry& tensor, std::span<float> values) const;

 private:
  File file_;
  std::vector<TensorEntry> tensors_;
};

// The tensors of a model's folder.
class SafetensorsFolder {
 public:
  // With both, the index counts. Throws Error(data) where there is neither, and where the index and
  // the files do not name the same tensors.
  explicit SafetensorsFolder(const std::filesystem::path& folder);

  // By name.
  std::vector<const TensorEntry*> tensors() const;
  const TensorEntry* find(const std::string& name) const;  // nullptr where there is none
  // The file that says which tensors there are: the index, or the only one.
  const std::string& listed_in() const { return listed_in_; }
  // The file of a tensor that is there.
  std::string file_of(const std::string& name) const;
  // As SafetensorsFile::read, of a tensor that is there.
  void read(const std::string& name, std::span<float> values) const;

 private:
  void add_file(const std::filesystem::path& path);
  void add_indexed_files(const std::filesystem::path& folder);

  struct Place {
    std::size_t file, tensor;
  };
  std::string listed_in_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place> places_;
};

// The element type that a file calls "F32", "F16" or "BF16". Throws std::invalid_argument for
// others.
DType float_type_of(const std::string& dtype);
bool is_float_type(const std::string& dtype);

}  // namespace tutti
