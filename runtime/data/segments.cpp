#include "runtime/data/segments.h"

#include "runtime/base/error.h"
#include "runtime/data/paths.h"
#include "runtime/io/json_integer.h"

namespace tutti {

std::vector<Segment> segments_of(const Manifest& manifest) {
  if (!manifest.metadata.contains("segments"))
    return {{{0, manifest.shards()}, manifest.find_file(kColumnsFile) ? kColumnsFile : ""}};
  const auto require = [](bool good) {
    if (!good)
      throw Error(ExitCode::data, "its segments do not fit its shards", kManifestFile,
                  "restore the manifest from a copy, or write the artefact again");
  };
  std::vector<Segment> segments;
  std::int64_t begin = 0;
  try {
    for (const nlohmann::json& entry : manifest.metadata.at("segments")) {
      const std::int64_t shards = integer_of(entry.at("shards"));
      require(shards >= 1 && shards <= manifest.shards() - begin);
      segments.push_back({{begin, begin + shards}, entry.value("columns", "")});
      begin += shards;
    }
  } catch (const nlohmann::json::exception&) {
    require(false);
  }
  require(begin == manifest.shards() && !segments.empty());
  return segments;
}

}  // namespace tutti
