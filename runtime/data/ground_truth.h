// Files of true nearest neighbours, in the formats that users have.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace tutti {

// Reads the ids of true neighbours, a row a query, nearest first: ivecs; npy of i4 or i8; the
// dataset `neighbors` of an HDF5 file; and, under any other ending, big-ann's layout (u32 queries,
// u32 k, i32 ids, and perhaps f32 distances, which are passed over). The constructor checks that
// the file's size is what its header claims. Local. Throws Error(data) naming the file, the row,
// and what was expected.
class GroundTruth {
 public:
  // `format`: "ivecs", "npy", "hdf5" or "bin", or "" to go by the file's ending.
  explicit GroundTruth(std::filesystem::path path, const std::string& format = "");
  ~GroundTruth();
  GroundTruth(GroundTruth&&) noexcept;
  GroundTruth& operator=(GroundTruth&&) noexcept;

  const std::filesystem::path& path() const { return path_; }
  std::int64_t queries() const { return queries_; }
  std::int64_t k() const { return k_; }

  // The ids of queries [begin, begin + count), row-major, into count * k() places; -1 stands where
  // a query has fewer neighbours. Any other id that is negative or beyond `largest_id` is an Error.
  void read_rows(std::int64_t begin, std::int64_t count, std::int64_t largest_id,
                 std::span<std::int64_t> ids) const;

  class Source;

 private:
  std::filesystem::path path_;
  std::unique_ptr<Source> source_;
  std::int64_t queries_ = 0, k_ = 0;
};

}  // namespace tutti
