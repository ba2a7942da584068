#include "runtime/data/ground_truth.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/data/vector_file.h"
#include "runtime/io/file.h"
#include "runtime/io/hdf5_import.h"

namespace tutti {

// One format's way to its rows.
class GroundTruth::Source {
 public:
  virtual ~Source() = default;
  virtual void read(std::int64_t begin, std::int64_t count, std::span<std::int64_t> ids) const = 0;

  std::int64_t queries = 0, k = 0;
};

namespace {

constexpr std::int64_t kMostNeighbors = 1 << 20;

[[noreturn]] void wrong(const std::filesystem::path& path, const std::string& what) {
  throw Error(ExitCode::data, what, path.string(),
              "give the true neighbours of these queries: evaluate.truth");
}

// ivecs and npy: rows of integers as VectorFile reads them.
class RowsSource : public GroundTruth::Source {
 public:
  RowsSource(const std::filesystem::path& path, const std::string& format) : file_(path, format) {
    if (file_.dtype() != DType::i32 && file_.dtype() != DType::i64)
      wrong(path,
            fmt::format("elements of type {}; expected ids as i32 or i64", name_of(file_.dtype())));
    queries = file_.rows();
    k = file_.dimension();
  }

  void read(std::int64_t begin, std::int64_t count, std::span<std::int64_t> ids) const override {
    if (file_.dtype() == DType::i64)
      return file_.read_rows(begin, count, std::as_writable_bytes(ids));
    std::vector<std::int32_t> stored(ids.size());
    file_.read_rows(begin, count, std::as_writable_bytes(std::span(stored)));
    std::ranges::copy(stored, ids.begin());
  }

 private:
  VectorFile file_;
};

// big-ann's: a header of two u32, i32 ids, and perhaps as many f32 distances behind them.
class BlockSource : public GroundTruth::Source {
 public:
  explicit BlockSource(const std::filesystem::path& path) : file_(path, FileMode::read) {
    const std::int64_t size = file_.size();
    if (size < kHeader)
      wrong(path, fmt::format("the file has {} bytes; expected a header of {}", size, kHeader));
    std::uint32_t header[2];
    file_.read_at(std::as_writable_bytes(std::span(header)), 0);
    queries = header[0];
    k = header[1];
    const std::int64_t bytes = size - kHeader, row = k * std::int64_t(sizeof(std::int32_t));
    // By division, which cannot overflow, however the header lies.
    const bool ids = row > 0 && bytes % row == 0 && bytes / row == queries;
    const bool with_distances = row > 0 && bytes % (2 * row) == 0 && bytes / (2 * row) == queries;
    if (!ids && !with_distances)
      wrong(path, fmt::format("the header claims {} ids for each of {} queries; the file has {} "
                              "bytes, which hold neither these alone nor distances with them",
                              k, queries, size));
  }

  void read(std::int64_t begin, std::int64_t count, std::span<std::int64_t> ids) const override {
    std::vector<std::int32_t> stored(ids.size());
    file_.read_at(std::as_writable_bytes(std::span(stored).first(std::size_t(count * k))),
                  kHeader + begin * k * std::int64_t(sizeof(std::int32_t)));
    std::ranges::copy(stored, ids.begin());
  }

 private:
  static constexpr std::int64_t kHeader = 8;
  File file_;
};

class Hdf5Source : public GroundTruth::Source {
 public:
  explicit Hdf5Source(const std::filesystem::path& path) : file_(path) {
    const Hdf5Dataset* found = file_.find("neighbors");
    if (!found) wrong(path, "no dataset \"neighbors\"");
    dataset_ = *found;
    if (dataset_.shape.size() != 2 || dataset_.type != Hdf5Dataset::Type::integer)
      wrong(path, "dataset neighbors does not hold rows of integers");
    queries = dataset_.shape[0];
    k = dataset_.shape[1];
  }

  void read(std::int64_t begin, std::int64_t count, std::span<std::int64_t> ids) const override {
    file_.read_rows(dataset_, begin, count, ids);
  }

 private:
  Hdf5Import file_;
  Hdf5Dataset dataset_;
};

std::string format_of(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  if (ending == ".h5" || ending == ".hdf5") return "hdf5";
  return ending == ".ivecs" || ending == ".npy" ? ending.substr(1) : "bin";
}

std::unique_ptr<GroundTruth::Source> open_source(const std::filesystem::path& path,
                                                 const std::string& format) {
  if (format == "hdf5") return std::make_unique<Hdf5Source>(path);
  if (format == "bin") return std::make_unique<BlockSource>(path);
  return std::make_unique<RowsSource>(path, format);
}

}  // namespace

GroundTruth::GroundTruth(std::filesystem::path path, const std::string& format)
    : path_(std::move(path)),
      source_(open_source(path_, format.empty() ? format_of(path_) : format)) {
  queries_ = source_->queries;
  k_ = source_->k;
  if (queries_ < 1 || k_ < 1 || k_ > kMostNeighbors)
    wrong(path_, fmt::format("it has {} neighbours of {} queries; expected 1 to {} of one or more",
                             k_, queries_, kMostNeighbors));
}

GroundTruth::~GroundTruth() = default;
GroundTruth::GroundTruth(GroundTruth&&) noexcept = default;
GroundTruth& GroundTruth::operator=(GroundTruth&&) noexcept = default;

void GroundTruth::read_rows(std::int64_t begin, std::int64_t count, std::int64_t largest_id,
                            std::span<std::int64_t> ids) const {
  CHECK(begin >= 0 && count >= 0 && begin + count <= queries_);
  CHECK(std::int64_t(ids.size()) == count * k_);
  if (count == 0) return;
  source_->read(begin, count, ids);
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < -1 || ids[i] > largest_id)
      wrong(path_,
            fmt::format("row {}, neighbour {} has the id {}; the index's ids go up to {}",
                        begin + std::int64_t(i) / k_, std::int64_t(i) % k_, ids[i], largest_id));
}

}  // namespace tutti
