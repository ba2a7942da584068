#include "jobs/graph_searcher.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "jobs/deleted_entries.h"
#include "jobs/list_reader.h"
#include "jobs/neighbor_lists.h"
#include "kernels/vector/scan.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"

namespace tutti {

GraphSearcher::GraphSearcher(JobContext& context, const IndexFolder& index, std::int64_t k,
                             std::int64_t measured, std::int64_t memory_bytes)
    : context_(context), comm_(context.comm), index_(index), k_(k), measured_(measured) {
  const auto timed = context_.phases.measure("load");
  comm_.attempt([&] { load(memory_bytes); });
  if (added_->entries() > 0)
    log_info(
        "{} vectors were added since the graph was built, and are all looked at: tutti compact "
        "makes "
        "a graph of all",
        added_->entries());
}

void GraphSearcher::load(std::int64_t memory_bytes) {
  const std::string folder = index_.dataset.folder().string();
  if (!index_.graph)
    throw Error(ExitCode::data, "the index has no graph", folder,
                "build it with index.graph = true, or give search.by = \"lists\"");
  const std::int64_t entries = index_.graph->entries, degree = index_.graph->shape.degree,
                     all = index_.dataset.rows("entries");
  check_graph_memory(bytes_to_search(all, index_.dim, index_.storage, degree), memory_bytes,
                     fmt::format("the graph of {} vectors", all), "give search.by = \"lists\"");
  space_ = index_.read_code_space();
  if (!space_)
    throw Error(ExitCode::data, "the index has no space for codes", folder,
                "build the index again");
  parts_ = read_graph(index_);
  centroids_ = index_.read_centroids();
  starts_.emplace(index_.metric,
                  ConstMatrixView<float>(centroids_.data(), index_.nlist, index_.dim),
                  parts_.starts);
  vectors_.emplace(ListReader(index_, std::nullopt).load(Range{0, entries}));
  added_.emplace(
      ListReader(index_, live_entries(index_, {entries, all})).load(Range{entries, all}));
  codes_.emplace(*space_, entries);
  codes_->put(0, vectors_->placed().rows);
  if (index_.deleted() > 0) live_ = live_entries(index_, {0, entries});
  graph_.emplace(*space_, GraphView{parts_.edges.data(), entries, degree}, *codes_, *starts_,
                 vectors_->placed(), live_ ? live_->bits() : std::span<std::uint64_t>());
}

std::vector<Neighbor> GraphSearcher::search(ConstMatrixView<float> queries, std::int64_t breadth) {
  std::vector<Neighbor> found;
  {
    const auto timed = context_.phases.measure("scan");
    comm_.attempt([&] {
      const Range range = part_of(queries.rows, comm_.size(), comm_.rank());
      const ConstMatrixView<float> mine = queries.row_range(range.begin, range.size());
      const std::int64_t wide = std::max(breadth, k_);
      std::vector<TopK> results(std::size_t(range.size()), TopK(k_));
      graph_->search(mine, {wide, measured_ > 0 ? measured_ : wide}, results);
      if (added_->entries() > 0)
        scan(mine, added_->placed().rows, added_->placed().ids, index_.metric, results);
      found.resize(results.size() * std::size_t(k_));
      for (std::size_t q = 0; q < results.size(); ++q)
        results[q].write_sorted(std::span(found).subspan(q * std::size_t(k_), std::size_t(k_)));
    });
  }
  const auto timed = context_.phases.measure("merge");
  return gather_on_root(comm_, std::move(found));
}

std::int64_t GraphSearcher::held_bytes() const {
  return bytes_to_search(vectors_->entries() + added_->entries(), index_.dim, index_.storage,
                         index_.graph->shape.degree);
}

}  // namespace tutti
