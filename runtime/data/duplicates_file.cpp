#include "runtime/data/duplicates_file.h"

#include <string>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

constexpr std::int64_t kSpoolMemory = std::int64_t(4) << 20;

std::filesystem::path spool_path(const std::filesystem::path& folder, const char* column) {
  return temporary_of(folder / (std::string(kDuplicatesFile) + column));
}

}  // namespace

DuplicatesWriter::DuplicatesWriter(const std::filesystem::path& folder, std::string distance)
    : folder_(folder),
      distance_(std::move(distance)),
      ids_(spool_path(folder, ".pairs"), kSpoolMemory),
      distances_(spool_path(folder, ".distances"), kSpoolMemory) {}

void DuplicatesWriter::append(const VectorPair& pair) {
  const std::int64_t ids[2] = {pair.a, pair.b};
  ids_.append(std::as_bytes(std::span(ids)));
  distances_.append(std::as_bytes(std::span(&pair.distance, 1)));
  ++pairs_;
}

FileRecord DuplicatesWriter::finish(std::span<const std::int64_t> ids,
                                    std::span<const std::int64_t> groups) {
  CHECK(ids.size() == groups.size());
  ExtentWriter file(folder_ / kDuplicatesFile,
                    {{"/pairs", DType::i64, {pairs_, 2}, {}},
                     {"/distances", DType::f32, {pairs_}, {}},
                     {"/ids", DType::i64, {std::ssize(ids)}, {}},
                     {"/groups", DType::i64, {std::ssize(groups)}, {}}},
                    {{"distance", distance_}});
  ids_.drain([&](std::span<const std::byte> piece) { file.append(0, piece); });
  distances_.drain([&](std::span<const std::byte> piece) { file.append(1, piece); });
  file.append(2, std::as_bytes(ids));
  file.append(3, std::as_bytes(groups));
  return file.finish();
}

}  // namespace tutti
