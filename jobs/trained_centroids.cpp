#include "jobs/trained_centroids.h"

#include <span>

#include <nlohmann/json.hpp>

#include "jobs/index_folder.h"
#include "runtime/data/paths.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/file.h"
#include "runtime/io/json_integer.h"
#include "runtime/io/sealed_json.h"

namespace tutti {

void save_trained_centroids(const std::filesystem::path& folder, const TrainedCentroids& centroids,
                            const std::string& key) {
  create_folders(folder);
  std::vector<float> all(centroids.values);
  all.insert(all.end(), centroids.coarse.begin(), centroids.coarse.end());
  const FileRecord file =
      write_centroids(folder, {all.data(), centroids.nlist() + centroids.groups(), centroids.dim});
  write_sealed_json(folder / kCentroidsRecordFile, {{"key", key},
                                                    {"iterations", centroids.iterations},
                                                    {"starts", centroids.starts},
                                                    {"file", to_json(file)}});
}

std::optional<TrainedCentroids> load_trained_centroids(const std::filesystem::path& folder,
                                                       const std::string& key) {
  const std::filesystem::path path = folder / kCentroidsRecordFile;
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const nlohmann::json saved = read_sealed_json(path);
    if (saved.at("key") != key) return std::nullopt;
    const FileRecord file = file_record_from_json(saved.at("file"), path.string());
    const std::vector<std::int64_t>& shape = file.extents.at(0).shape;
    TrainedCentroids centroids{shape.at(1), integer_of(saved.at("iterations")), {}};
    centroids.values.resize(std::size_t(shape.at(0) * shape.at(1)));
    ExtentReader(folder / kCentroidsFile, file).read(0, 0, std::span(centroids.values));
    centroids.starts = integers_of(saved.at("starts"));
    if (centroids.starts.empty()) return centroids;
    // The groups' own stand behind those of the lists.
    const auto coarse = centroids.values.begin() + centroids.starts.back() * centroids.dim;
    centroids.coarse.assign(coarse, centroids.values.end());
    centroids.values.erase(coarse, centroids.values.end());
    return centroids;
  } catch (const Error&) {  // damaged: trained again, from the last checkpoint
    return std::nullopt;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  } catch (const std::out_of_range&) {
    return std::nullopt;
  }
}

}  // namespace tutti
