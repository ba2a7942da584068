#include "jobs/ranges_output.h"

#include "jobs/neighbors_output.h"
#include "jobs/published_distance.h"

namespace tutti {

RangesOutput::RangesOutput(JobContext& context, const IndexSet& indexes)
    : context_(context), comm_(context.comm), indexes_(indexes) {
  const auto timed = context_.phases.measure("write");
  comm_.attempt([&] {
    names_.emplace(comm_, indexes);
    if (!comm_.is_root()) return;
    local_remove_results(context_.run_folder);
    numbers_.emplace(context_.run_folder,
                     RangesShape{indexes.dim(), published_name(indexes.metric()),
                                 names_->type() == ExternalIdType::integer, indexes.several()});
    if (names_->type() == ExternalIdType::text) id_texts_.emplace(context_.run_folder);
  });
}

void RangesOutput::append(const FoundLists& found) {
  const auto timed = context_.phases.measure("write");
  std::vector<std::int64_t> counts;
  for (std::int64_t q = 0; q < found.queries(); ++q)
    counts.push_back(std::int64_t(found.of(q).size()));
  const NeighborColumns columns(found.neighbors, indexes_.metric());
  comm_.attempt([&] {
    if (!comm_.is_root()) return;
    numbers_->append(counts, columns.ids, columns.distances);
    if (indexes_.several()) numbers_->append_indexes(columns.indexes);
  });
  if (names_->type() == ExternalIdType::none) return;
  const std::vector<std::string> names = names_->find(found.neighbors);
  comm_.attempt([&] {
    if (comm_.is_root()) append_external_ids(found, names);
  });
}

void RangesOutput::append_external_ids(const FoundLists& found,
                                       std::span<const std::string> names) {
  if (id_texts_)
    id_texts_->append(names, found.offsets);
  else
    numbers_->append_external_ids(numbers_in(names));
}

std::vector<FileRecord> RangesOutput::finish() {
  const auto timed = context_.phases.measure("write");
  std::vector<FileRecord> files;
  comm_.attempt([&] {
    if (!comm_.is_root()) return;
    files.push_back(numbers_->finish());
    if (id_texts_) files.push_back(id_texts_->finish());
  });
  return files;
}

}  // namespace tutti
