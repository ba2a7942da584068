#include "runtime/data/shard_record.h"

#include "runtime/data/paths.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/json_integer.h"
#include "runtime/io/sealed_json.h"

namespace tutti {

void save_shard_record(const std::filesystem::path& folder, const FinishedShard& shard,
                       const std::string& key) {
  write_sealed_json(folder / shard_record_file(shard.record.index),
                    {{"key", key},
                     {"rows", shard.record.rows},
                     {"counts", shard.counts.values()},
                     {"largest_token", shard.counts.largest_token},
                     {"file", to_json(shard.record.file)}});
}

std::optional<FinishedShard> load_shard_record(const std::filesystem::path& folder,
                                               std::int64_t index, const std::string& key) {
  const std::filesystem::path path = folder / shard_record_file(index);
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const nlohmann::json saved = read_sealed_json(path);
    if (saved.at("key") != key) return std::nullopt;
    FinishedShard shard;
    shard.record.index = index;
    shard.record.rows = integers_of(saved.at("rows"));
    shard.record.file = file_record_from_json(saved.at("file"), path.string());
    shard.counts =
        ShardCounts::from(saved.at("counts").get<std::array<std::int64_t, ShardCounts::kSize>>());
    shard.counts.largest_token = integer_of(saved.at("largest_token"));
    ExtentReader(folder / shard_file(index), shard.record.file).verify_all();
    return shard;
  } catch (const Error&) {  // damaged: made again
    return std::nullopt;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace tutti
