#include "jobs/finished_shards.h"

#include <algorithm>
#include <utility>

#include "runtime/data/paths.h"
#include "runtime/io/file.h"

namespace tutti {

FinishedShards::FinishedShards(Comm& comm, std::filesystem::path folder, Range mine,
                               std::string key)
    : comm_(comm), folder_(std::move(folder)), mine_(mine), key_(std::move(key)) {
  comm_.attempt([&] {
    for (std::int64_t shard = mine_.begin; shard < mine_.end; ++shard)
      if (auto finished = load_shard_record(folder_, shard, key_))
        finished_.push_back(std::move(*finished));
  });
  kept_ = std::int64_t(finished_.size());
  std::vector<std::int64_t> kept;
  for (const FinishedShard& f : finished_) kept.push_back(f.record.index);
  kept = comm_.all_gather(std::span<const std::int64_t>(kept));
  kept_by_all_ = std::int64_t(kept.size());
  std::vector<std::string> names;
  for (const std::int64_t shard : kept) {
    names.push_back(shard_file(shard));
    names.push_back(shard_record_file(shard));
  }
  begin_artefact(comm_, folder_, names);
}

std::int64_t FinishedShards::local_next() const {
  for (std::int64_t shard = mine_.begin; shard < mine_.end; ++shard)
    if (std::ranges::none_of(finished_, [&](const auto& f) { return f.record.index == shard; }))
      return shard;
  return -1;
}

void FinishedShards::local_add(FinishedShard shard) {
  save_shard_record(folder_, shard, key_);
  finished_.push_back(std::move(shard));
}

std::vector<ShardRecord> FinishedShards::records() const {
  std::vector<ShardRecord> records;
  for (const FinishedShard& f : finished_) records.push_back(f.record);
  return records;
}

void FinishedShards::forget() {
  comm_.attempt([&] {
    for (const FinishedShard& f : finished_)
      remove_file(folder_ / shard_record_file(f.record.index));
  });
}

}  // namespace tutti
