#include "jobs/vector_column.h"

#include <algorithm>

namespace tutti {
namespace {

constexpr std::int64_t kBytesAtOnce = std::int64_t(4) << 20;

}  // namespace

void in_pieces(std::int64_t rows, std::int64_t row_bytes,
               const std::function<void(std::int64_t, std::int64_t)>& take) {
  const std::int64_t most = std::max<std::int64_t>(1, kBytesAtOnce / row_bytes);
  for (std::int64_t at = 0; at < rows; at += most) take(at, std::min(most, rows - at));
}

VectorColumn::VectorColumn(const Dataset& dataset, const char* table)
    : dataset_(dataset),
      vector_(dataset.column(table, "vector")),
      id_(dataset.column(table, "id")) {}

std::span<const std::byte> VectorColumn::read(std::int64_t begin, std::int64_t count) {
  buffer_.resize(std::size_t(count * row_bytes()));
  const std::size_t bytes = size_of(dtype());
  if (bytes == 1)
    read_as<std::uint8_t>(begin, count);
  else if (bytes == 2)
    read_as<std::uint16_t>(begin, count);
  else
    read_as<float>(begin, count);
  return buffer_;
}

template <class T>
void VectorColumn::read_as(std::int64_t begin, std::int64_t count) {
  dataset_.read(vector_, begin, count,
                std::span(reinterpret_cast<T*>(buffer_.data()), buffer_.size() / sizeof(T)));
}

std::span<const std::int64_t> VectorColumn::read_ids(std::int64_t begin, std::int64_t count) {
  ids_.resize(std::size_t(count));
  dataset_.read(id_, begin, count, std::span(ids_));
  return ids_;
}

}  // namespace tutti
