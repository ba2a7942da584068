#include "jobs/index_set.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

std::string model_of(const IndexFolder& index) {
  return index.dataset.manifest().metadata_text("model_digest");
}

}  // namespace

IndexSet::IndexSet(Comm& comm, const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) {
    indexes_.push_back(open_index(comm, folder));
    comm.attempt([&] { check(indexes_.back()); });
  }
}

void IndexSet::check(const IndexFolder& other) const {
  const std::string first = front().dataset.folder().string();
  const auto wrong = [&](const std::string& what) {
    throw Error(ExitCode::usage, what, other.dataset.folder().string(),
                "search indexes of the same kind together");
  };
  if (other.dim != dim())
    wrong(fmt::format("its vectors have {} dimensions, those of {} have {}", other.dim, first,
                      dim()));
  if (other.metric != metric())
    wrong(fmt::format("its metric is {}, that of {} is {}", name_of(other.metric), first,
                      name_of(metric())));
  const std::string model = model_of(embedded());
  if (!model_of(other).empty() && model_of(other) != model)
    wrong(fmt::format("model {} embedded its vectors, model {} those of {}", model_of(other), model,
                      embedded().dataset.folder().string()));
}

const IndexFolder& IndexSet::embedded() const {
  const auto found =
      std::ranges::find_if(indexes_, [](const auto& index) { return !model_of(index).empty(); });
  return found == indexes_.end() ? front() : *found;
}

std::int64_t IndexSet::vectors() const {
  std::int64_t sum = 0;
  for (const IndexFolder& index : indexes_) sum += index.vectors;
  return sum;
}

std::int64_t IndexSet::lists() const {
  std::int64_t sum = 0;
  for (const IndexFolder& index : indexes_) sum += index.nlist;
  return sum;
}

std::int64_t IndexSet::most_lists() const {
  return std::ranges::max_element(indexes_, {}, &IndexFolder::nlist)->nlist;
}

std::vector<EntryFilter> IndexSet::filters(const std::string& where) const {
  std::vector<EntryFilter> filters;
  for (const IndexFolder& index : indexes_) {
    try {
      filters.emplace_back(index, where);
    } catch (const Error& e) {
      if (!several()) throw;
      throw Error(e.code(), index.dataset.folder().string() + ": " + e.problem(), e.place(),
                  e.remedy());
    }
  }
  return filters;
}

void IndexSet::describe(nlohmann::json& metadata) const {
  if (!several()) {
    metadata["index_digest"] = front().dataset.manifest().digest;
    return;
  }
  for (const IndexFolder& index : indexes_)
    metadata["index_digests"].push_back(index.dataset.manifest().digest);
}

}  // namespace tutti
