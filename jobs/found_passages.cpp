#include "jobs/found_passages.h"

#include <algorithm>
#include <filesystem>
#include <iostream>

#include <fmt/format.h>

#include "jobs/answers.h"
#include "runtime/base/log.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

constexpr std::size_t kScreenWidth = 100;

}  // namespace

FoundPassages::FoundPassages(JobContext& context, const IndexFolder& index,
                             const std::string& folder, std::int64_t show)
    : context_(context), index_(index), show_(show) {
  if (show_ > 0) context_.comm.attempt([&] { local_open(folder); });
}

void FoundPassages::local_open(const std::string& named) {
  const Manifest& index = index_.dataset.manifest();
  const std::string indexed = index.metadata_text("dataset_digest");
  const std::string folder = named.empty() ? index.metadata_text("dataset") : named;
  if (named.empty() && !std::filesystem::exists(std::filesystem::path(folder) / kManifestFile)) {
    log_warning(
        "the dataset that was indexed is not where it was ({}): give dataset = ... to see "
        "passages",
        folder);
    return;
  }
  dataset_.emplace(Dataset::open(folder, kDatasetKind));
  if (const std::string& found = dataset_->manifest().digest; !indexed.empty() && indexed != found)
    throw Error(ExitCode::usage,
                fmt::format("the index was built from dataset {}, this is {}", indexed, found),
                folder, "give the dataset whose passages were embedded: dataset = ...");
}

void FoundPassages::keep(std::span<const Neighbor> found) {
  if (!dataset_) return;
  const auto shown = found.first(std::min(found.size(), std::size_t(show_)));
  best_.emplace_back(shown.begin(), shown.end());
}

void FoundPassages::tell(std::span<const std::string> questions) {
  context_.comm.attempt([&] {
    if (context_.comm.is_root() && !best_.empty()) local_tell(questions);
  });
}

void FoundPassages::local_tell(std::span<const std::string> questions) {
  nlohmann::json all = nlohmann::json::array();
  for (std::size_t q = 0; q < best_.size(); ++q) {
    const nlohmann::json answers = answers_of(*dataset_, best_[q], index_.metric);
    all.push_back({{"question", questions[q]}, {"passages", answers}});
    if (!context_.json)
      std::cout << (q ? "\n\n" : "") << answers_text(questions[q], answers, kScreenWidth);
  }
  std::cout << std::flush;
  context_.result["answers"] = all;
}

}  // namespace tutti
