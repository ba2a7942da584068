#include "runtime/data/pair_batches.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <queue>
#include <string>

#include "runtime/base/error.h"
#include "runtime/io/crc32c.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

constexpr auto kPairBytes = std::int64_t(sizeof(VectorPair));
constexpr auto kChecksumBytes = std::int64_t(sizeof(std::uint32_t));  // at the end of a file
constexpr std::int64_t kLeastPairs = 4096 / kPairBytes;

// Reads one file, from front to back. It is closed between reads, since there may be many.
class PairBatch {
 public:
  PairBatch(const std::filesystem::path& path, std::int64_t buffered_pairs)
      : path_(path), room_(buffered_pairs) {
    const std::int64_t bytes = File(path_, FileMode::read).size() - kChecksumBytes;
    if (bytes < 0 || bytes % kPairBytes != 0) throw_damaged();
    left_ = bytes / kPairBytes;
    fill();
  }

  bool empty() const { return next_ == buffer_.size(); }
  const VectorPair& front() const { return buffer_[next_]; }
  void pop() {
    if (++next_ == buffer_.size()) fill();
  }

 private:
  void fill() {
    const File file(path_, FileMode::read);
    buffer_.resize(std::size_t(std::min(left_, room_)));
    next_ = 0;
    const auto bytes = std::as_writable_bytes(std::span(buffer_));
    if (!buffer_.empty()) file.read_at(bytes, at_);
    crc_ = crc32c(bytes, crc_);
    at_ += std::int64_t(bytes.size());
    left_ -= std::int64_t(buffer_.size());
    if (left_ > 0 || checked_) return;
    std::uint32_t expected = 0;
    file.read_at(std::as_writable_bytes(std::span(&expected, 1)), at_);
    if (expected != crc_) throw_damaged();
    checked_ = true;
  }

  [[noreturn]] void throw_damaged() const {
    remove_file(path_);
    throw Error(ExitCode::io, "the disk did not give back what was written to it", path_.string(),
                "check the disk, then run the same command again");
  }

  std::filesystem::path path_;
  std::int64_t room_, left_ = 0, at_ = 0;
  std::vector<VectorPair> buffer_;
  std::size_t next_ = 0;
  std::uint32_t crc_ = 0;
  bool checked_ = false;
};

}  // namespace

void write_pair_batch(const std::filesystem::path& path, std::span<const VectorPair> pairs) {
  const auto bytes = std::as_bytes(pairs);
  const std::uint32_t crc = crc32c(bytes);
  std::string file(bytes.size() + sizeof(crc), '\0');
  if (!bytes.empty()) std::memcpy(file.data(), bytes.data(), bytes.size());
  std::memcpy(file.data() + bytes.size(), &crc, sizeof(crc));
  atomic_replace(path, file);
}

void merge_pair_batches(std::span<const std::filesystem::path> paths, std::int64_t memory_bytes,
                        const std::function<void(const VectorPair&)>& take) {
  const auto files = std::max<std::int64_t>(1, std::ssize(paths));
  const std::int64_t room = std::max(kLeastPairs, memory_bytes / files / kPairBytes);
  std::vector<PairBatch> batches;
  for (const auto& path : paths) batches.emplace_back(path, room);
  const auto later = [](const PairBatch* x, const PairBatch* y) {
    return pair_before(y->front(), x->front());
  };
  std::priority_queue<PairBatch*, std::vector<PairBatch*>, decltype(later)> next(later);
  for (PairBatch& batch : batches)
    if (!batch.empty()) next.push(&batch);
  std::optional<VectorPair> last;
  while (!next.empty()) {
    PairBatch* batch = next.top();
    next.pop();
    const VectorPair pair = batch->front();
    batch->pop();
    if (!batch->empty()) next.push(batch);
    if (last == pair) continue;
    take(pair);
    last = pair;
  }
}

}  // namespace tutti
