#include "jobs/neighbors_output.h"

#include <cmath>
#include <string>

#include "runtime/data/paths.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

// What ann-benchmarks calls a metric, and the distance as it counts it.
std::string published_name(Metric metric) {
  return metric == Metric::l2 ? "euclidean" : metric == Metric::cosine ? "angular" : "ip";
}
float published(float distance, Metric metric) {
  return metric == Metric::l2 ? std::sqrt(distance) : distance;
}

}  // namespace

NeighborsOutput::NeighborsOutput(JobContext& context, const IndexFolder& index,
                                 std::int64_t queries, std::int64_t k)
    : context_(context), comm_(context.comm), index_(index) {
  const auto timed = context_.phases.measure("write");
  comm_.attempt([&] {
    names_.emplace(comm_, index);
    if (!comm_.is_root()) return;
    const std::filesystem::path& folder = context_.run_folder;
    for (const char* old : {kExternalIdsFile, kCurveFile, kCurvePictureFile})
      remove_file(folder / old);
    numbers_.emplace(folder, NeighborsShape{queries, k, index.dim, published_name(index.metric),
                                            names_->type() == ExternalIdType::integer});
    if (names_->type() == ExternalIdType::text) id_texts_.emplace(folder, k);
  });
}

void NeighborsOutput::append(std::span<const Neighbor> found) {
  const auto timed = context_.phases.measure("write");
  std::vector<std::int64_t> ids;
  std::vector<float> distances;
  for (const Neighbor& n : found) {
    ids.push_back(n.id);
    distances.push_back(published(n.distance, index_.metric));
  }
  comm_.attempt([&] {
    if (comm_.is_root()) numbers_->append(ids, distances);
  });
  if (names_->type() == ExternalIdType::none) return;
  const std::vector<std::string> names = names_->find(ids);
  comm_.attempt([&] {
    if (comm_.is_root()) append_external_ids(names);
  });
}

void NeighborsOutput::append_external_ids(std::span<const std::string> names) {
  if (id_texts_) return id_texts_->append(names);
  std::vector<std::int64_t> numbers;
  for (const std::string& name : names) numbers.push_back(name.empty() ? -1 : std::stoll(name));
  numbers_->append_external_ids(numbers);
}

std::vector<FileRecord> NeighborsOutput::finish() {
  std::vector<FileRecord> files;
  comm_.attempt([&] {
    if (!comm_.is_root()) return;
    files.push_back(numbers_->finish());
    if (id_texts_) files.push_back(id_texts_->finish());
  });
  return files;
}

}  // namespace tutti
