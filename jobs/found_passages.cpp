#include "jobs/found_passages.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "jobs/answers.h"
#include "runtime/base/log.h"
#include "runtime/data/paths.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

constexpr std::size_t kScreenWidth = 100;

// The dataset in that folder, or, unless one is named, the one that was indexed, where it still is.
std::optional<Dataset> local_open(const IndexFolder& index, const std::string& named) {
  const Manifest& manifest = index.dataset.manifest();
  const std::string indexed = manifest.metadata_text("dataset_digest");
  const std::string folder = named.empty() ? manifest.metadata_text("dataset") : named;
  if (named.empty() && !std::filesystem::exists(std::filesystem::path(folder) / kManifestFile)) {
    log_warning(
        "the dataset that was indexed is not where it was ({}): give dataset = ... to see "
        "passages",
        folder);
    return std::nullopt;
  }
  Dataset dataset = Dataset::open(folder, kDatasetKind);
  if (const std::string& found = dataset.manifest().digest; !indexed.empty() && indexed != found)
    throw Error(ExitCode::usage,
                fmt::format("the index was built from dataset {}, this is {}", indexed, found),
                folder, "give the dataset whose passages were embedded: dataset = ...");
  return dataset;
}

}  // namespace

FoundPassages::FoundPassages(JobContext& context, const IndexSet& indexes,
                             const std::string& folder, std::int64_t show)
    : context_(context), indexes_(indexes), show_(show) {
  if (show_ == 0) return;
  context_.comm.attempt([&] {
    for (std::int64_t i = 0; i < indexes_.size(); ++i) {
      std::optional<Dataset> dataset = local_open(indexes_[i], folder);
      if (!dataset) return datasets_.clear();
      datasets_.push_back(std::move(*dataset));
      const nlohmann::json& metadata = indexes_[i].metadata();
      ids_.push_back(metadata.contains("dataset_ids") ? integer_of(metadata["dataset_ids"])
                                                      : std::numeric_limits<std::int64_t>::max());
    }
  });
}

void FoundPassages::keep(std::span<const FoundNeighbor> found) {
  if (datasets_.empty()) return;
  std::vector<FoundNeighbor>& best = best_.emplace_back();
  for (const FoundNeighbor& n : found.first(std::min(found.size(), std::size_t(show_))))
    if (n.id >= 0 && n.id < ids_[std::size_t(n.index)]) best.push_back(n);
}

void FoundPassages::tell(std::span<const std::string> questions) {
  context_.comm.attempt([&] {
    if (context_.comm.is_root() && !best_.empty()) local_tell(questions);
  });
}

void FoundPassages::local_tell(std::span<const std::string> questions) {
  nlohmann::json all = nlohmann::json::array();
  for (std::size_t q = 0; q < best_.size(); ++q) {
    const nlohmann::json answers = local_answers(best_[q]);
    all.push_back({{"question", questions[q]}, {"passages", answers}});
    if (!context_.json)
      std::cout << (q ? "\n\n" : "") << answers_text(questions[q], answers, kScreenWidth);
  }
  std::cout << std::flush;
  context_.result["answers"] = all;
}

nlohmann::json FoundPassages::local_answers(std::span<const FoundNeighbor> found) const {
  nlohmann::json answers = nlohmann::json::array();
  for (const FoundNeighbor& n : found) {
    const Neighbor neighbor{n.distance, n.id};
    nlohmann::json answer =
        answers_of(datasets_[std::size_t(n.index)], {&neighbor, 1}, indexes_.metric()).front();
    answer["rank"] = answers.size() + 1;
    if (indexes_.several()) answer["index"] = indexes_[n.index].dataset.folder().string();
    answers.push_back(std::move(answer));
  }
  return answers;
}

}  // namespace tutti
