#include "runtime/data/vector_sharder.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <numeric>

#include <fmt/format.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"

namespace tutti {
namespace {

constexpr std::int64_t kBatchBytes = 8 << 20;

// Appends elements of a type by its width alone: nothing is converted.
template <class Bits>
void append_bits(ShardWriter& writer, std::size_t column, const void* data, std::int64_t count) {
  writer.append<Bits>(column, std::span(static_cast<const Bits*>(data), std::size_t(count)));
}

}  // namespace

VectorInput::VectorInput(const InputFiles& input, const std::string& dataset) {
  for (const InputFile& listed : input.files) {
    files_.emplace_back(listed.path, input.vector_format, dataset);
    const VectorFile &file = files_.back(), &first = files_.front();
    if (size_of(file.dtype()) > 4 || file.dtype() == DType::i32)
      throw Error(
          ExitCode::data,
          fmt::format("elements of type {}; expected f32, f16, u8 or i8", name_of(file.dtype())),
          listed.path, "convert them to f32");
    if (file.dimension() != first.dimension() || file.dtype() != first.dtype())
      throw Error(ExitCode::data,
                  fmt::format("vectors of {} x {}; expected {} x {}, as in {}", file.dimension(),
                              name_of(file.dtype()), first.dimension(), name_of(first.dtype()),
                              first.path().string()),
                  listed.path, "shard files of different vectors one by one");
    first_rows_.push_back(first_rows_.back() + file.rows());
  }
}

std::size_t VectorInput::file_of(std::int64_t row) const {
  return std::size_t(std::upper_bound(first_rows_.begin(), first_rows_.end(), row) -
                     first_rows_.begin()) -
         1;
}

void VectorInput::read_rows(std::int64_t begin, std::int64_t count, std::span<std::byte> data,
                            std::vector<std::int64_t>* bad) const {
  for (std::size_t f = file_of(begin); count > 0; ++f) {
    const std::int64_t n = std::min(count, first_rows_[f + 1] - begin);
    const std::size_t bytes = std::size_t(n * row_bytes()), known = bad ? bad->size() : 0;
    files_[f].read_rows(begin - first_rows_[f], n, data.first(bytes), bad);
    for (std::size_t i = known; bad && i < bad->size(); ++i) (*bad)[i] += first_rows_[f];
    data = data.subspan(bytes);
    begin += n;
    count -= n;
  }
}

std::string VectorInput::place(std::int64_t row) const {
  const std::size_t f = file_of(row);
  return fmt::format("{}, row {}", files_[f].path().string(), row - first_rows_[f]);
}

std::vector<TableSchema> vector_tables(const VectorInput& input, const MetadataInput* metadata) {
  TableSchema table{"vectors",
                    {ColumnSchema::vector("vector", input.dtype(), input.dimension()),
                     ColumnSchema::scalar(kIdColumn, DType::i64)}};
  if (metadata)
    for (ColumnSchema& column : metadata_schemas(metadata->columns(), metadata->fields().id_type))
      table.columns.push_back(std::move(column));
  return {table};
}

VectorSharder::VectorSharder(const std::filesystem::path& folder, std::int64_t index,
                             std::int64_t shards, const VectorInput& input, bool skip_bad,
                             const MetadataInput* metadata, std::int64_t memory_bytes)
    : input_(input),
      metadata_(metadata),
      rows_(part_of(input.rows(), shards, index)),
      next_(rows_.begin) {
  if (skip_bad) find_bad_rows();
  if (metadata_) metadata_sharder_.emplace(*metadata_, rows_.begin);
  open_writer(folder, index, memory_bytes);
}

void VectorSharder::open_writer(const std::filesystem::path& folder, std::int64_t index,
                                std::int64_t memory_bytes) {
  auto tables = vector_tables(input_, metadata_);
  const bool ragged = std::ranges::any_of(
      tables[0].columns, [](const auto& column) { return column.kind == ColumnKind::ragged; });
  if (ragged)
    writer_.emplace(folder, index, std::move(tables), memory_bytes);
  else
    writer_.emplace(folder, index, std::move(tables),
                    std::vector<std::int64_t>{rows_.size() - std::int64_t(bad_.size())});
}

// The next rows into the buffer; how many. Rows that are bad are Errors, or go to `bad`.
std::int64_t VectorSharder::read_batch(std::vector<std::int64_t>* bad) {
  const std::int64_t count =
      std::min(rows_.end - next_, std::max<std::int64_t>(1, kBatchBytes / input_.row_bytes()));
  const std::int64_t bytes = count * input_.row_bytes();
  buffer_.resize(std::size_t(bytes + 3) / 4);
  input_.read_rows(next_, count,
                   std::as_writable_bytes(std::span(buffer_)).first(std::size_t(bytes)), bad);
  next_ += count;
  return count;
}

void VectorSharder::find_bad_rows() {
  std::vector<std::int64_t> bad_vectors;
  while (read_batch(&bad_vectors) > 0) {
  }
  next_ = rows_.begin;
  bad_ = bad_vectors;
  if (metadata_) {
    bad_.clear();
    const auto& all = metadata_->bad_rows();
    std::ranges::set_union(bad_vectors.begin(), bad_vectors.end(),
                           std::ranges::lower_bound(all, rows_.begin),
                           std::ranges::lower_bound(all, rows_.end), std::back_inserter(bad_));
  }
  tell_bad_rows(bad_vectors);
}

void VectorSharder::tell_bad_rows(std::span<const std::int64_t> bad_vectors) {
  constexpr std::size_t kPlacesTold = 5;
  counts_.skipped = skipped_.count = std::int64_t(bad_.size());
  for (std::size_t i = 0; i < std::min(kPlacesTold, bad_.size()); ++i)
    skipped_.first.push_back(std::ranges::binary_search(bad_vectors, bad_[i])
                                 ? input_.place(bad_[i]) + ": not all finite numbers"
                                 : metadata_->problem_of(bad_[i]));
}

bool VectorSharder::read() {
  std::vector<std::int64_t> seen;  // already known
  const std::int64_t first = next_, count = read_batch(bad_.empty() ? nullptr : &seen);
  ids_.resize(std::size_t(count));
  std::iota(ids_.begin(), ids_.end(), first);
  counts_.bytes += count * input_.row_bytes();
  if (!bad_.empty()) drop_bad_rows();
  if (metadata_sharder_) metadata_sharder_->read({first, first + count}, ids_);
  return count > 0;
}

// Closes the gaps that bad rows leave in the batch.
void VectorSharder::drop_bad_rows() {
  const std::int64_t row_bytes = input_.row_bytes();
  auto* data = reinterpret_cast<std::byte*>(buffer_.data());
  std::size_t kept = 0;
  for (std::size_t i = 0; i < ids_.size(); ++i) {
    if (std::binary_search(bad_.begin(), bad_.end(), ids_[i])) continue;
    if (kept < i)
      std::memcpy(data + std::int64_t(kept) * row_bytes, data + std::int64_t(i) * row_bytes,
                  std::size_t(row_bytes));
    ids_[kept++] = ids_[i];
  }
  ids_.resize(kept);
}

void VectorSharder::write() {
  const std::size_t column = writer_->column("vectors", "vector");
  const std::int64_t elements = std::int64_t(ids_.size()) * input_.dimension();
  switch (size_of(input_.dtype())) {
    case 1:
      append_bits<std::uint8_t>(*writer_, column, buffer_.data(), elements);
      break;
    case 2:
      append_bits<std::uint16_t>(*writer_, column, buffer_.data(), elements);
      break;
    case 4:
      append_bits<std::uint32_t>(*writer_, column, buffer_.data(), elements);
      break;
    default:
      CHECK(false);
  }
  writer_->append<std::int64_t>(writer_->column("vectors", kIdColumn), ids_);
  if (metadata_sharder_) metadata_sharder_->write(*writer_);
  counts_.records += std::int64_t(ids_.size());
}

}  // namespace tutti
