// Making one shard out of one part of the input, a batch at a time.
#pragma once

#include <array>
#include <cstdint>

#include "runtime/data/commit.h"
#include "runtime/data/text_source.h"

namespace tutti {

// What has been made: counts that add up over shards and ranks, and a maximum.
struct ShardCounts {
  std::int64_t records = 0;  // documents, or vectors
  std::int64_t heldout = 0;  // of them, documents that are not to train on
  std::int64_t passages = 0;
  std::int64_t tokens = 0;          // of passages
  std::int64_t skipped = 0;         // bad records left out
  std::int64_t bytes = 0;           // of the input
  std::int64_t largest_token = -1;  // of all columns; the maximum, which is none of values()

  static constexpr std::size_t kSize = 6;
  std::array<std::int64_t, kSize> values() const {
    return {records, heldout, passages, tokens, skipped, bytes};
  }
  static ShardCounts from(const std::array<std::int64_t, kSize>& v) {
    return {v[0], v[1], v[2], v[3], v[4], v[5], -1};
  }
};

// Makes a shard: read, process, write, and again, until read says that there is nothing more; then
// finish. The steps are separate for the sake of timing them. What a sharder makes follows from the
// input, the configuration and the shard's index, never from ranks or threads. Local; throws
// Error(data) for bad input, Error(io). Destroyed early, it leaves nothing behind.
class Sharder {
 public:
  virtual ~Sharder() = default;

  virtual bool read() = 0;   // the next batch, of a bounded size; false where there is none
  virtual void process() {}  // on all threads
  virtual void write() = 0;
  virtual ShardRecord finish() = 0;

  const ShardCounts& counts() const { return counts_; }
  // Bad records so far.
  virtual SkippedRecords skipped() const { return {}; }

 protected:
  ShardCounts counts_;
};

}  // namespace tutti
