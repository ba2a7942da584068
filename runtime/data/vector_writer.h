// Vectors into the formats that VectorFile reads, but for HDF5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/dtype.h"
#include "runtime/io/output_file.h"

namespace tutti {

// The element type of a format's files, where what is written has the type `given`: npy and hdf5
// keep it as far as they have it, the others have one type.
DType stored_type(const std::string& format, DType given);

// Elements of one type as another: f32, bf16, f16, u8 and i8 become f32, f16, u8 or i8, and any
// type itself. Rounds to f16; throws Error(data) naming the row where another type, or f16's range,
// does not hold a number.
class ElementConverter {
 public:
  ElementConverter(DType from, DType to, std::int64_t dimension);

  // Whole rows, `first_row` the first one's number. Valid until the next call.
  std::span<const std::byte> convert(std::span<const std::byte> rows, std::int64_t first_row);

 private:
  template <class To>
  void convert_to(std::int64_t count, std::int64_t first_row);

  DType from_, to_;
  std::int64_t dimension_;
  std::vector<float> values_;
  std::vector<std::byte> converted_;
};

// Writes a file of any format but hdf5, row by row; see OutputFile for what is there when. Local.
// Throws Error(io), and Error(data) for rows that the format cannot hold.
class VectorWriter {
 public:
  // `given`: the type of the rows that append() gets.
  VectorWriter(const std::filesystem::path& path, const std::string& format, std::int64_t rows,
               std::int64_t dimension, DType given);

  // The next rows.
  void append(std::span<const std::byte> rows);
  void finish() { file_.finish(); }

 private:
  std::string header_, row_header_;
  std::int64_t row_bytes_, stored_row_bytes_, next_row_ = 0;
  ElementConverter converter_;
  OutputFile file_;
};

}  // namespace tutti
