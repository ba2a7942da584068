#include "jobs/deleted_entries.h"

#include <algorithm>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/data/paths.h"
#include "runtime/io/extent_file.h"

namespace tutti {
namespace {

constexpr const char* kDeletedDataset = "/deleted";
constexpr std::int64_t kRows = 1 << 16;  // that are in memory at a time

std::int64_t rows_of(const FileRecord& record) {
  const int rows = record.find(kDeletedDataset);
  if (rows < 0 || record.extents[std::size_t(rows)].dtype != DType::i64 ||
      record.extents[std::size_t(rows)].shape.size() != 1)
    throw Error(ExitCode::data, "the manifest lists no rows of entries in it", record.name,
                "restore the manifest from a copy");
  return record.extents[std::size_t(rows)].shape[0];
}

// Takes the rows that a file names out of a set of entries of an index that has `total`.
void remove_rows(const std::filesystem::path& file, const FileRecord& record, std::int64_t total,
                 EntrySet& live) {
  const ExtentReader reader(file, record);
  const std::int64_t count = rows_of(record);
  const auto column = std::size_t(record.find(kDeletedDataset));
  std::vector<std::int64_t> rows;
  std::int64_t last = -1;
  for (std::int64_t begin = 0; begin < count; begin += kRows) {
    rows.resize(std::size_t(std::min(kRows, count - begin)));
    reader.read(column, begin, std::span(rows));
    for (const std::int64_t row : rows) {
      const bool mine = live.entries().contains(row);
      if (row <= last || row >= total || (mine && !live.contains(row)))
        throw Error(ExitCode::data, "it names an entry that is not there, or is deleted already",
                    file.string(), "restore the index from a copy");
      last = row;
      if (mine) live.remove(row);
    }
  }
}

}  // namespace

FileRecord write_deleted(const std::filesystem::path& folder, const std::string& name,
                         std::span<const std::int64_t> rows) {
  ExtentWriter writer(folder / name,
                      {{kDeletedDataset, DType::i64, {std::int64_t(rows.size())}, {}}});
  writer.write_all(0, std::as_bytes(rows));
  return writer.finish();
}

std::int64_t count_deleted(const Manifest& manifest) {
  std::int64_t count = 0;
  for (const FileRecord& file : manifest.files)
    if (is_deleted_file(file.name)) count += rows_of(file);
  return count;
}

EntrySet live_entries(const IndexFolder& index, Range entries) {
  EntrySet live = EntrySet::all_of(entries);
  const Manifest& manifest = index.dataset.manifest();
  for (const FileRecord& file : manifest.files)
    if (is_deleted_file(file.name))
      remove_rows(index.dataset.folder() / file.name, file, index.dataset.rows("entries"), live);
  return live;
}

}  // namespace tutti
