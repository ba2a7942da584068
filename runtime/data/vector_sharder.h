// Vectors into shards of one table "vectors": columns "vector" and "id", the row's number over all
// of the input, and those of their metadata.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/data/input_files.h"
#include "runtime/data/metadata_sharder.h"
#include "runtime/data/shard_writer.h"
#include "runtime/data/sharder.h"
#include "runtime/data/vector_file.h"

namespace tutti {

// Files of vectors of one dimension and type as one. Local; threads may share one.
class VectorInput {
 public:
  // Opens all files; `dataset`: the one to read from HDF5. Throws Error(data) where one is damaged,
  // differs from the first in dimension or type, or holds integers wider than a byte.
  VectorInput(const InputFiles& input, const std::string& dataset);

  std::int64_t rows() const { return first_rows_.back(); }
  std::int64_t dimension() const { return files_.front().dimension(); }
  DType dtype() const { return files_.front().dtype(); }
  std::int64_t row_bytes() const { return files_.front().row_bytes(); }
  // As VectorFile::read_rows, over all files.
  void read_rows(std::int64_t begin, std::int64_t count, std::span<std::byte> data,
                 std::vector<std::int64_t>* bad = nullptr) const;
  // "file.fvecs, row 17" for a row of the whole.
  std::string place(std::int64_t row) const;

 private:
  std::size_t file_of(std::int64_t row) const;

  std::vector<VectorFile> files_;
  std::vector<std::int64_t> first_rows_ = {0};  // of each file, and the end
};

// `metadata` may be null.
std::vector<TableSchema> vector_tables(const VectorInput& input, const MetadataInput* metadata);

// Shard `index` holds the rows part_of(rows, shards, index), without those that are skipped.
class VectorSharder : public Sharder {
 public:
  // Input and metadata must outlive the sharder; `metadata` may be null, and otherwise has a line a
  // row. `skip_bad`: leave rows with a NaN or an infinity, or with bad metadata, out instead of
  // throwing; the shard's rows are then read twice. `memory_bytes`: for gathering ragged columns.
  VectorSharder(const std::filesystem::path& folder, std::int64_t index, std::int64_t shards,
                const VectorInput& input, bool skip_bad, const MetadataInput* metadata = nullptr,
                std::int64_t memory_bytes = std::int64_t(64) << 20);

  bool read() override;
  void write() override;
  ShardRecord finish() override { return writer_->finish(); }
  SkippedRecords skipped() const override { return skipped_; }

 private:
  std::int64_t read_batch(std::vector<std::int64_t>* bad);
  void find_bad_rows();
  void tell_bad_rows(std::span<const std::int64_t> bad_vectors);
  void open_writer(const std::filesystem::path& folder, std::int64_t index,
                   std::int64_t memory_bytes);
  void drop_bad_rows();

  const VectorInput& input_;
  const MetadataInput* metadata_;
  Range rows_;
  std::int64_t next_ = 0;              // row to read
  std::vector<std::uint32_t> buffer_;  // the batch: wide enough for any element type
  std::vector<std::int64_t> ids_;      // of its rows
  std::vector<std::int64_t> bad_;      // rows to leave out, ascending
  SkippedRecords skipped_;
  std::optional<MetadataSharder> metadata_sharder_;
  std::optional<ShardWriter> writer_;
};

}  // namespace tutti
