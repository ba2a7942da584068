#include "jobs/kept_ranges.h"

#include <optional>
#include <utility>

#include "runtime/data/paths.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kDigestSize = 32;
constexpr int kCheap = 25;  // times as long as keeping results takes is spent on them

std::string digest_with(const std::string& key, std::string_view results) {
  Digest digest;
  digest.add(key);
  digest.add(results);
  return digest.hex();
}

}  // namespace

KeptRanges::KeptRanges(std::filesystem::path folder, std::string name, std::string key,
                       std::int64_t least)
    : folder_(std::move(folder)), name_(std::move(name)), key_(std::move(key)), least_(least) {}

void KeptRanges::each(const std::function<void(Range, std::string_view)>& take) const {
  std::error_code failure;
  std::filesystem::directory_iterator entries(folder_, failure);
  if (failure == std::errc::no_such_file_or_directory) return;
  if (failure) throw_file_error("list", folder_, failure.value());
  for (const auto& entry : entries) {
    const std::optional<Range> pieces = range_of_file(name_, entry.path().filename().string());
    if (!pieces) continue;
    const std::string bytes = read_file(entry.path());
    if (bytes.size() < kDigestSize) continue;
    const std::string_view results = std::string_view(bytes).substr(kDigestSize);
    if (bytes.starts_with(digest_with(key_, results))) take(*pieces, results);
  }
}

bool KeptRanges::is_worth_it() const {
  return Clock::now() - flushed_ >= kCheap * cost_ && pending_.size() >= least_;
}

bool KeptRanges::add(Range pieces, std::string_view results) {
  if (pending_.end != pieces.begin) {
    flush();
    pending_ = {pieces.begin, pieces.begin};
  }
  pending_.end = pieces.end;
  results_ += results;
  if (!is_worth_it()) return false;
  flush();
  return true;
}

void KeptRanges::flush() {
  if (pending_.size() == 0) return;
  const auto start = Clock::now();
  create_folders(folder_);
  atomic_replace(folder_ / range_file(name_, pending_), digest_with(key_, results_) + results_);
  pending_.begin = pending_.end;
  results_.clear();
  flushed_ = Clock::now();
  cost_ = flushed_ - start;
}

}  // namespace tutti
