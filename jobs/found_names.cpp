#include "jobs/found_names.h"

#include "runtime/base/error.h"

namespace tutti {

FoundNames::FoundNames(Comm& comm, const IndexSet& indexes) {
  for (std::int64_t i = 0; i < indexes.size(); ++i) {
    const ExternalIdType type = ids_.emplace_back(comm, indexes[i]).type();
    if (type == ExternalIdType::none) continue;
    if (type_ != ExternalIdType::none && type != type_)
      throw Error(ExitCode::usage,
                  "some of the indexes call their vectors by integers, others by strings",
                  indexes[i].dataset.folder().string(), "search indexes of the same kind together");
    type_ = type;
  }
}

std::vector<std::string> FoundNames::find(std::span<const FoundNeighbor> found) {
  std::vector<std::string> names(found.size());
  for (std::size_t i = 0; i < ids_.size(); ++i) {
    if (ids_[i].type() == ExternalIdType::none) continue;
    std::vector<std::int64_t> ids;
    for (const FoundNeighbor& n : found) ids.push_back(n.index == std::int32_t(i) ? n.id : -1);
    std::vector<std::string> theirs = ids_[i].find(ids);
    for (std::size_t at = 0; at < theirs.size(); ++at)
      if (ids[at] >= 0) names[at] = std::move(theirs[at]);
  }
  return names;
}

}  // namespace tutti
