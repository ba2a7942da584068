// Vectors and their ids, read in pieces, whatever their type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/data/dataset.h"

namespace tutti {

// Calls take(first row, rows) for pieces of [0, rows) of a few MiB, one after the other.
void in_pieces(std::int64_t rows, std::int64_t row_bytes,
               const std::function<void(std::int64_t, std::int64_t)>& take);

// The columns `vector` and `id` of a table. Local; errors as for Dataset, which must outlive it.
class VectorColumn {
 public:
  VectorColumn(const Dataset& dataset, const char* table);

  std::int64_t rows() const { return vector_.rows; }
  std::int64_t dim() const { return vector_.width; }
  DType dtype() const { return vector_.dtype; }
  std::int64_t row_bytes() const { return dim() * std::int64_t(size_of(dtype())); }

  // Rows [begin, begin + count), row-major. Valid until the next call.
  std::span<const std::byte> read(std::int64_t begin, std::int64_t count);
  std::span<const std::int64_t> read_ids(std::int64_t begin, std::int64_t count);

 private:
  template <class T>
  void read_as(std::int64_t begin, std::int64_t count);

  const Dataset& dataset_;
  Dataset::Column vector_, id_;
  std::vector<std::byte> buffer_;
  std::vector<std::int64_t> ids_;
};

}  // namespace tutti
