#include "jobs/neighbors_output.h"

#include <string>

#include "jobs/published_distance.h"
#include "runtime/data/paths.h"
#include "runtime/io/file.h"

namespace tutti {

void local_remove_results(const std::filesystem::path& folder) {
  for (const char* old :
       {kNeighborsFile, kRangesFile, kExternalIdsFile, kCurveFile, kCurvePictureFile})
    remove_file(folder / old);
}

std::vector<std::int64_t> numbers_in(std::span<const std::string> names) {
  std::vector<std::int64_t> numbers;
  for (const std::string& name : names) numbers.push_back(name.empty() ? -1 : std::stoll(name));
  return numbers;
}

NeighborColumns::NeighborColumns(std::span<const FoundNeighbor> found, Metric metric) {
  for (const FoundNeighbor& n : found) {
    ids.push_back(n.id);
    distances.push_back(published_distance(n.distance, metric));
    indexes.push_back(n.index);
  }
}

NeighborsOutput::NeighborsOutput(JobContext& context, const IndexSet& indexes, std::int64_t queries,
                                 std::int64_t k)
    : context_(context), comm_(context.comm), indexes_(indexes), k_(k) {
  const auto timed = context_.phases.measure("write");
  comm_.attempt([&] {
    names_.emplace(comm_, indexes);
    if (!comm_.is_root()) return;
    const std::filesystem::path& folder = context_.run_folder;
    local_remove_results(folder);
    numbers_.emplace(folder,
                     NeighborsShape{queries, k, indexes.dim(), published_name(indexes.metric()),
                                    names_->type() == ExternalIdType::integer, indexes.several()});
    if (names_->type() == ExternalIdType::text) id_texts_.emplace(folder);
  });
}

void NeighborsOutput::append(std::span<const FoundNeighbor> found) {
  const auto timed = context_.phases.measure("write");
  const NeighborColumns columns(found, indexes_.metric());
  comm_.attempt([&] {
    if (!comm_.is_root()) return;
    numbers_->append(columns.ids, columns.distances);
    if (indexes_.several()) numbers_->append_indexes(columns.indexes);
  });
  if (names_->type() == ExternalIdType::none) return;
  const std::vector<std::string> names = names_->find(found);
  comm_.attempt([&] {
    if (comm_.is_root()) append_external_ids(names);
  });
}

void NeighborsOutput::append_external_ids(std::span<const std::string> names) {
  if (!id_texts_) return numbers_->append_external_ids(numbers_in(names));
  std::vector<std::int64_t> offsets;
  for (std::int64_t at = 0; at <= std::ssize(names); at += k_) offsets.push_back(at);
  id_texts_->append(names, offsets);
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
