// HDF5 lays out, raw I/O fills: plain HDF5 files written and read at the speed of the disk; see
// FORMAT.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/core/dtype.h"
#include "runtime/base/error.h"
#include "runtime/io/file_record.h"

namespace tutti {

using AttributeValue = std::variant<std::string, std::int64_t, double>;
using Attributes = std::vector<std::pair<std::string, AttributeValue>>;

// A dataset to be: where it stands in the file ("/passages/tokens"; groups are made), its type, its
// shape (any extent may be 0) and its attributes.
struct ColumnSpec {
  std::string dataset;
  DType dtype = DType::u8;
  std::vector<std::int64_t> shape;
  Attributes attributes;
};

// The first `rows` rows of a dataset of `source_rows` rows in another file.
struct VirtualSource {
  std::string file;     // relative to the virtual dataset's own file
  std::string dataset;  // "/passages/page"
  std::int64_t rows = 0;
  std::int64_t source_rows = 0;
};

// A dataset that HDF5 puts together from its sources' rows, one after another; sources of no rows
// do no harm.
struct VirtualColumn {
  std::string dataset;
  DType dtype = DType::u8;
  std::int64_t width = 0;  // elements a row; 0: one dimension
  std::vector<VirtualSource> sources;
};

// Writes one HDF5 file whose sizes are known beforehand. The constructor makes the whole file,
// metadata and reserved space, so a full disk shows there; then the columns are filled, in any
// order, each wholly, by append or by write_all. A writer that is destroyed before finish() removes
// its file. The same input gives the same bytes. Local; threads may fill different columns at the
// same time. Throws Error(io).
class ExtentWriter {
 public:
  ExtentWriter(std::filesystem::path path, std::vector<ColumnSpec> columns,
               Attributes attributes = {}, std::vector<VirtualColumn> virtual_columns = {});
  ~ExtentWriter();
  ExtentWriter(ExtentWriter&&) noexcept;
  ExtentWriter& operator=(ExtentWriter&&) = delete;

  // The next bytes of a column (an index into the constructor's `columns`); they need not be whole
  // elements. The disk takes them in the background: a failure may come out of a later call,
  // finish() at the latest.
  void append(std::size_t column, std::span<const std::byte> data);
  // All of a column at once, its blocks spread over the threads.
  void write_all(std::size_t column, std::span<const std::byte> data);
  // The same on the calling thread alone, where the blocks' checksums are known: page-aligned data
  // goes to the disk as it is, and nothing but the disk is waited for.
  void write_checked(std::size_t column, std::span<const std::byte> data,
                     std::span<const std::uint32_t> crc32c);

  // Whether the file system has direct I/O, as far as is known by now; without it the page cache
  // serves.
  bool is_direct() const;

  // The file as it was laid out; checksums of blocks that are not yet written are 0.
  const FileRecord& layout() const;

  // CHECKs that all columns are full, makes the file and its name durable, and describes it. Once.
  FileRecord finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads and verifies a file that its record describes, without HDF5. Each block is verified before
// the first byte of it is handed out, and once only. Local; threads may share one. Throws
// Error(data) naming file, dataset and block.
class ExtentReader {
 public:
  // Checks that the file is there and has its size. `path` is the file, whatever the record's name.
  // `direct`: whole pages that go to page-aligned memory pass the page cache by, for what is read
  // once.
  ExtentReader(std::filesystem::path path, FileRecord record, bool direct = false);
  ~ExtentReader();
  ExtentReader(ExtentReader&&) noexcept;
  ExtentReader& operator=(ExtentReader&&) noexcept;

  const FileRecord& record() const;

  // Elements [begin, begin + count) of a column (an index into record().extents), counted over the
  // flat, row-major dataset, into `data`, whose size in bytes must be theirs.
  void read(std::size_t column, std::int64_t begin, std::int64_t count,
            std::span<std::byte> data) const;
  template <class T>
  void read(std::size_t column, std::int64_t begin, std::span<T> data) const {
    read(column, begin, std::int64_t(data.size()), std::as_writable_bytes(data));
  }

  // Reads the whole file, on all threads, and returns the first `limit` places that do not verify,
  // in file order (the header first), as Errors.
  std::vector<Error> find_damage(std::size_t limit) const;
  // As find_damage; throws the first one.
  void verify_all() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tutti
