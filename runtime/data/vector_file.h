// Files of vectors, in the formats that users have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/dtype.h"

namespace tutti {

// fvecs, ivecs, bvecs, fbin, f16bin, u8bin, i8bin, ibin, npy and hdf5 (as ann-benchmarks lays it
// out).
const std::vector<std::string>& vector_formats();

// Reads rows of a file of equally long vectors. The constructor checks that the file's size is what
// its header claims, reading no row; rows are checked as they are read. Local; threads may share
// one. Throws Error(data) naming the file, the row or byte, and what was expected.
class VectorFile {
 public:
  // `format`: one of vector_formats(), or "" to go by the file's ending. `dataset`: the one to read
  // from HDF5.
  explicit VectorFile(std::filesystem::path path, const std::string& format = "",
                      const std::string& dataset = "train");
  ~VectorFile();
  VectorFile(VectorFile&&) noexcept;

  const std::filesystem::path& path() const { return path_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t dimension() const { return dimension_; }
  // The element type that read_rows gives: the file's own, except that npy's f8 and all of HDF5's
  // floating types are rounded to f32. HDF5's 8-bit integers are u8; a negative one is an Error.
  DType dtype() const { return dtype_; }
  std::int64_t row_bytes() const { return dimension_ * std::int64_t(size_of(dtype_)); }

  // Rows [begin, begin + count), row-major, into exactly count * row_bytes() bytes. A row with a
  // NaN or an infinity is an Error, or, with `bad` given, its number is appended there.
  void read_rows(std::int64_t begin, std::int64_t count, std::span<std::byte> data,
                 std::vector<std::int64_t>* bad = nullptr) const;

  // What a format's rows are read by; see vector_file.cpp.
  class Source;

 private:
  std::filesystem::path path_;
  std::unique_ptr<Source> source_;
  std::int64_t rows_ = 0, dimension_ = 0;
  DType dtype_ = DType::f32;
};

}  // namespace tutti
