#include "runtime/data/ranges_file.h"

#include <string>

#include "runtime/base/check.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

constexpr std::int64_t kSpoolMemory = std::int64_t(4) << 20;

enum Column : std::size_t { kIds, kDistances, kExternalIds };  // and the indexes last

}  // namespace

RangesWriter::RangesWriter(const std::filesystem::path& folder, const RangesShape& shape)
    : folder_(folder), shape_(shape) {
  columns_ = {{"/neighbors", DType::i64, {0}, {}}, {"/distances", DType::f32, {0}, {}}};
  if (shape.external_ids) columns_.push_back({"/external_ids", DType::i64, {0}, {}});
  if (shape.indexes) columns_.push_back({"/index", DType::i32, {0}, {}});
  for (std::size_t c = 0; c < columns_.size(); ++c)
    spools_.emplace_back(
        temporary_of(folder / (std::string(kRangesFile) + "." + std::to_string(c))), kSpoolMemory);
}

void RangesWriter::append(std::span<const std::int64_t> counts, std::span<const std::int64_t> ids,
                          std::span<const float> distances) {
  CHECK(ids.size() == distances.size());
  for (const std::int64_t count : counts) offsets_.push_back(offsets_.back() + count);
  spools_[kIds].append(std::as_bytes(ids));
  spools_[kDistances].append(std::as_bytes(distances));
}

void RangesWriter::append_external_ids(std::span<const std::int64_t> ids) {
  spools_[kExternalIds].append(std::as_bytes(ids));
}

void RangesWriter::append_indexes(std::span<const std::int32_t> places) {
  spools_.back().append(std::as_bytes(places));
}

FileRecord RangesWriter::finish() {
  std::vector<ColumnSpec> columns = {{"/offsets", DType::i64, {std::int64_t(offsets_.size())}, {}}};
  for (ColumnSpec column : columns_) {
    column.shape = {neighbors()};
    columns.push_back(std::move(column));
  }
  ExtentWriter file(folder_ / kRangesFile, columns,
                    {{"type", std::string("dense")},
                     {"distance", shape_.distance},
                     {"dimension", shape_.dim},
                     {"point_type", std::string("float")}});
  file.append(0, std::as_bytes(std::span(offsets_)));
  for (std::size_t c = 0; c < spools_.size(); ++c)
    spools_[c].drain([&](std::span<const std::byte> piece) { file.append(c + 1, piece); });
  return file.finish();
}

}  // namespace tutti
