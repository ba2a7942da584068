#include "jobs/vector_reader.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include <fmt/format.h>

#include "kernels/core/parallel.h"
#include "kernels/vector/packed_vectors.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

// Rows this sparse are read one by one; denser ones together with what lies between them.
constexpr std::int64_t kSparse = 8;

bool is_vector_type(DType type) {
  return type == DType::f32 || type == DType::bf16 || type == DType::f16 || type == DType::u8 ||
         type == DType::i8;
}

std::span<float> row_of(VectorBatch& batch, std::int64_t index) {
  return std::span(batch.values).subspan(std::size_t(index * batch.dim), std::size_t(batch.dim));
}

// Keeps the rows whose defect is "", in order.
void drop_bad_rows(VectorBatch& batch, std::span<const std::uint8_t> bad) {
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < batch.count(); ++i) {
    if (bad[std::size_t(i)]) continue;
    if (kept != i) std::ranges::copy(row_of(batch, i), row_of(batch, kept).begin());
    batch.rows[std::size_t(kept++)] = batch.rows[std::size_t(i)];
  }
  batch.skipped = batch.count() - kept;
  batch.rows.resize(std::size_t(kept));
  batch.values.resize(std::size_t(kept * batch.dim));
}

}  // namespace

std::string vector_defect(std::span<const float> row, Metric metric) {
  if (!std::ranges::all_of(row, [](float x) { return std::isfinite(x); }))
    return "it holds a NaN or an infinity";
  if (metric == Metric::cosine && std::ranges::all_of(row, [](float x) { return x == 0; }))
    return "it is all zeros, which has no direction for the cosine";
  return "";
}

VectorReader::VectorReader(const Dataset& dataset, Metric metric, bool skip_bad)
    : dataset_(dataset),
      metric_(metric),
      skip_bad_(skip_bad),
      vector_(dataset.column("vectors", "vector")),
      id_(dataset.column("vectors", "id")) {
  const std::string place = dataset.folder().string();
  if (vector_.kind != ColumnKind::vector || !is_vector_type(vector_.dtype) ||
      id_.dtype != DType::i64 || id_.kind != ColumnKind::scalar)
    throw Error(ExitCode::data, "the table of vectors has columns of other types than vectors have",
                place, "give the folder that the embed or shard job wrote");
  if (vector_.rows == 0) throw Error(ExitCode::data, "there are no vectors", place, "");
}

VectorBatch VectorReader::read(Range rows) const {
  std::vector<std::int64_t> all(std::size_t(rows.size()));
  std::iota(all.begin(), all.end(), rows.begin);
  return read(all);
}

VectorBatch VectorReader::read(std::span<const std::int64_t> wanted) const {
  std::vector<std::int64_t> rows;
  std::ranges::set_difference(wanted, left_out_, std::back_inserter(rows));
  const std::vector<std::byte> stored = read_stored(rows);
  VectorBatch batch{dim(), {}, {rows.begin(), rows.end()}, 0};
  batch.values.resize(rows.size() * std::size_t(dim()));
  const VectorRows source(stored.data(), vector_.dtype, batch.count(), dim(), dim());
  std::vector<std::uint8_t> bad(rows.size());
  parallel_for(batch.count(), [&](std::int64_t i) {
    copy_row(source, i, row_of(batch, i).data());
    bad[std::size_t(i)] = !vector_defect(row_of(batch, i), metric_).empty();
  });
  if (const auto first = std::ranges::find(bad, 1); first != bad.end()) {
    const std::int64_t i = first - bad.begin();
    if (!skip_bad_)
      throw Error(ExitCode::data,
                  "a vector cannot be indexed: " + vector_defect(row_of(batch, i), metric_),
                  place_of(batch.rows[std::size_t(i)]),
                  "mend it, or leave such vectors out: on_bad_record = \"skip\"");
    drop_bad_rows(batch, bad);
  }
  if (metric_ == Metric::cosine) normalise({batch.values.data(), batch.count(), dim()});
  return batch;
}

Error VectorReader::too_large(std::int64_t row) const {
  return Error(ExitCode::data,
               "a vector cannot be indexed: its products with others overflow a float",
               place_of(row), "scale the vectors down");
}

std::vector<std::int64_t> VectorReader::ids(Range rows) const {
  std::vector<std::int64_t> ids(std::size_t(rows.size()));
  dataset_.read(id_, rows.begin, rows.size(), std::span(ids));
  if (const auto it = std::ranges::find_if(ids, [](std::int64_t id) { return id < 0; });
      it != ids.end())
    throw Error(ExitCode::data, fmt::format("a vector's id is negative: {}", *it),
                place_of(rows.begin + (it - ids.begin())), "give ids of 0 and more");
  for (std::int64_t& id : ids)
    if (__builtin_add_overflow(id, first_id_, &id))
      throw Error(ExitCode::data, "a vector's id, behind those of the index, is beyond 2^63",
                  dataset_.folder().string(), "give smaller ids");
  return ids;
}

std::vector<std::byte> VectorReader::read_stored(std::span<const std::int64_t> rows) const {
  const std::size_t each = size_of(vector_.dtype) * std::size_t(dim());
  std::vector<std::byte> picked(rows.size() * each);
  if (rows.empty()) return picked;
  const Range span{rows.front(), rows.back() + 1};
  if (span.size() == std::int64_t(rows.size())) {
    read_stored(span, picked);
  } else if (span.size() > kSparse * std::int64_t(rows.size())) {
    for (std::size_t i = 0; i < rows.size(); ++i)
      read_stored({rows[i], rows[i] + 1}, std::span(picked).subspan(i * each, each));
  } else {
    std::vector<std::byte> all(std::size_t(span.size()) * each);
    read_stored(span, all);
    for (std::size_t i = 0; i < rows.size(); ++i)
      std::copy_n(all.begin() + std::ptrdiff_t(std::size_t(rows[i] - span.begin) * each), each,
                  picked.begin() + std::ptrdiff_t(i * each));
  }
  return picked;
}

// Dataset::read wants to be told the element type that the file has.
void VectorReader::read_stored(Range rows, std::span<std::byte> bytes) const {
  const auto as = [&]<class T>(T*) {
    dataset_.read(vector_, rows.begin, rows.size(),
                  std::span(reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)));
  };
  switch (size_of(vector_.dtype)) {
    case 1:
      return as(static_cast<std::uint8_t*>(nullptr));
    case 2:
      return as(static_cast<std::uint16_t*>(nullptr));
    default:
      return as(static_cast<float*>(nullptr));
  }
}

std::string VectorReader::place_of(std::int64_t row) const {
  std::int64_t shard = 0;
  while (dataset_.shard_rows("vectors", shard).end <= row) ++shard;
  return fmt::format("{}, row {} of /vectors/vector",
                     (dataset_.folder() / shard_file(shard)).string(),
                     row - dataset_.shard_rows("vectors", shard).begin);
}

}  // namespace tutti
