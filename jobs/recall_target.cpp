#include "jobs/recall_target.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "jobs/index_searcher.h"
#include "jobs/row_sample.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

constexpr std::int64_t kIdsAtOnce = std::int64_t(1) << 20;
constexpr std::int64_t kProbesAtOnce = std::int64_t(1) << 24;
constexpr std::int64_t kFirstWidth = 64;
constexpr double kLevels[] = {0.9, 0.95, 0.99, 0.999};

std::string recall_key(std::int64_t k) { return fmt::format("recall_at_{}", k); }

// An id and a list that holds an entry of it.
struct ListOfId {
  std::int64_t id, list;
};

class RecallMeasurement {
 public:
  RecallMeasurement(JobContext& context, const IndexFolder& index, const VectorReader& vectors,
                    const RecallTarget& target, std::int64_t memory_bytes)
      : context_(context),
        comm_(context.comm),
        index_(index),
        vectors_(vectors),
        k_(target.k),
        searcher_(context, index, target.k + 1, memory_bytes, {target.queries * index.nlist}) {}

  // Of each true neighbour of each query, the smallest nprobe that finds it.
  std::vector<std::int64_t> measure(const std::vector<std::int64_t>& rows) {
    load_queries(rows);
    find_truth();
    find_lists();
    return needed_probes();
  }
  std::int64_t queries() const { return std::int64_t(own_.size()); }

 private:
  ConstMatrixView<float> view() const { return {values_.data(), queries(), index_.dim}; }

  // Each rank reads a part of them.
  void load_queries(const std::vector<std::int64_t>& rows) {
    const auto timed = context_.phases.measure("load");
    const Range mine = part_of(std::int64_t(rows.size()), comm_.size(), comm_.rank());
    VectorBatch batch;
    std::vector<std::int64_t> ids;
    comm_.attempt([&] {
      batch =
          vectors_.read(std::span(rows).subspan(std::size_t(mine.begin), std::size_t(mine.size())));
      for (const std::int64_t row : batch.rows) ids.push_back(vectors_.ids({row, row + 1})[0]);
    });
    values_ = comm_.all_gather(std::span<const float>(batch.values));
    own_ = comm_.all_gather(std::span<const std::int64_t>(ids));
  }

  // The ids of each query's k nearest but itself, -1 where there are fewer; the root's for all.
  void find_truth() {
    const std::vector<Neighbor> found = searcher_.exact(view());
    std::vector<std::int64_t> truth;
    if (comm_.is_root()) {
      for (std::int64_t q = 0; q < queries(); ++q) {
        std::vector<std::int64_t> ids;
        for (std::int64_t i = q * (k_ + 1); i < (q + 1) * (k_ + 1); ++i)
          ids.push_back(found[std::size_t(i)].id);
        const auto own = std::ranges::find(ids, own_[std::size_t(q)]);
        ids.erase(own == ids.end() ? own - 1 : own);
        truth.insert(truth.end(), ids.begin(), ids.end());
      }
    }
    truth_ = comm_.all_gather(std::span<const std::int64_t>(truth));
  }

  // Of all true neighbours; each rank looks through its shards.
  void find_lists() {
    const auto timed = context_.phases.measure("load");
    std::vector<std::int64_t> wanted(truth_);
    std::ranges::sort(wanted);
    std::vector<ListOfId> mine;
    comm_.attempt([&] {
      const Range shards = part_of(index_.dataset.manifest().shards(), comm_.size(), comm_.rank());
      for (std::int64_t shard = shards.begin; shard < shards.end; ++shard)
        look_through(shard, wanted, mine);
    });
    lists_ = comm_.all_gather(std::span<const ListOfId>(mine));
    std::ranges::sort(lists_, {}, [](const ListOfId& l) { return std::pair(l.id, l.list); });
  }

  void look_through(std::int64_t shard, std::span<const std::int64_t> wanted,
                    std::vector<ListOfId>& found) const {
    const Range lists = index_.dataset.shard_rows("lists", shard),
                entries = index_.dataset.shard_rows("entries", shard);
    std::vector<std::int64_t> starts(std::size_t(lists.size())), ids;
    index_.dataset.read(index_.dataset.column("lists", "first_entry"), lists.begin, lists.size(),
                        std::span(starts));
    for (std::int64_t at = entries.begin; at < entries.end; at += kIdsAtOnce) {
      ids.resize(std::size_t(std::min(kIdsAtOnce, entries.end - at)));
      index_.dataset.read(index_.dataset.column("entries", "id"), at, std::int64_t(ids.size()),
                          std::span(ids));
      for (std::size_t i = 0; i < ids.size(); ++i) {
        if (!std::ranges::binary_search(wanted, ids[i])) continue;
        const std::int64_t entry = at - entries.begin + std::int64_t(i);
        const auto behind = std::ranges::upper_bound(starts, entry);
        found.push_back({ids[i], lists.begin + (behind - starts.begin()) - 1});
      }
    }
  }

  // Most neighbours are in the first few lists, and only the others are looked for in more.
  std::vector<std::int64_t> needed_probes() {
    std::vector<std::int64_t> needed(truth_.size(), 0), open;
    for (std::int64_t q = 0; q < queries(); ++q) open.push_back(q);
    for (std::int64_t width = std::min(kFirstWidth, index_.nlist); !open.empty();
         width = std::min(8 * width, index_.nlist)) {
      const std::int64_t batch = std::max<std::int64_t>(1, kProbesAtOnce / width);
      for (std::int64_t at = 0; at < std::ssize(open); at += batch)
        find_needed(std::span(open).subspan(std::size_t(at),
                                            std::size_t(std::min(batch, std::ssize(open) - at))),
                    width, needed);
      std::erase_if(open, [&](std::int64_t q) { return !is_open(q, needed); });
      if (width == index_.nlist) break;
    }
    std::vector<std::int64_t> known;
    for (std::size_t i = 0; i < truth_.size(); ++i)
      if (truth_[i] >= 0) known.push_back(needed[i]);
    CHECK(std::ranges::find(known, 0) == known.end(), "a neighbour is in some list");
    return known;
  }

  bool is_open(std::int64_t query, std::span<const std::int64_t> needed) const {
    for (std::int64_t i = query * k_; i < (query + 1) * k_; ++i)
      if (truth_[std::size_t(i)] >= 0 && needed[std::size_t(i)] == 0) return true;
    return false;
  }

  void find_needed(std::span<const std::int64_t> some, std::int64_t width,
                   std::vector<std::int64_t>& needed) {
    std::vector<float> values;
    for (const std::int64_t q : some)
      values.insert(values.end(), view().row(q), view().row(q) + index_.dim);
    const IndexSearcher::Probes probes =
        searcher_.find_probes({values.data(), std::ssize(some), index_.dim}, width, width);
    for (std::size_t s = 0; s < some.size(); ++s) {
      const auto its = std::span(probes.lists).subspan(s * std::size_t(width), std::size_t(width));
      for (std::int64_t i = some[s] * k_; i < (some[s] + 1) * k_; ++i)
        if (truth_[std::size_t(i)] >= 0 && needed[std::size_t(i)] == 0)
          needed[std::size_t(i)] = place_of(truth_[std::size_t(i)], its);
    }
  }

  // Counted from 1, that of the first list that holds the id; 0 where none does.
  std::int64_t place_of(std::int64_t id, std::span<const std::int32_t> probes) const {
    std::int64_t first = 0;
    for (const ListOfId& holder : std::ranges::equal_range(lists_, id, {}, &ListOfId::id)) {
      const auto place = std::ranges::find(probes, holder.list) - probes.begin() + 1;
      if (place <= std::ssize(probes) && (first == 0 || place < first)) first = place;
    }
    return first;
  }

  JobContext& context_;
  Comm& comm_;
  const IndexFolder& index_;
  const VectorReader& vectors_;
  const std::int64_t k_;
  IndexSearcher searcher_;
  std::vector<float> values_;              // of the queries
  std::vector<std::int64_t> own_, truth_;  // a query's id, and [queries, k] true neighbours
  std::vector<ListOfId> lists_;            // in order of id
};

}  // namespace

void RecallTarget::describe(Schema& s) {
  s.key("index.target_recall", &recall, "",
        "measure the recall of searches when the index is built and keep it in the index, up to "
        "this recall and beyond: search.target_recall then finds nprobe; 0: do not");
  s.key("index.target_k", &k, "neighbours", "the recall is that of so many nearest neighbours");
  s.key("index.target_queries", &queries, "vectors",
        "so many of the vectors, drawn by kmeans.seed, are the queries that recall is measured by");
}

void RecallTarget::check() const {
  if (!(recall >= 0 && recall <= 1))
    throw Error(ExitCode::usage, "a recall is at most 1", "index.target_recall", "0.95 is usual");
  if (k < 1 || queries < 1)
    throw Error(ExitCode::usage, "a count is not positive", "index.target_*", "give at least 1");
}

std::vector<RecallAtProbes> recall_curve_of(std::vector<std::int64_t> needed,
                                            std::span<const double> levels) {
  if (needed.empty()) return {{1, 1}};
  std::ranges::sort(needed);
  const auto all = double(needed.size());
  std::vector<std::int64_t> settings{needed.back()};
  for (std::int64_t nprobe = 1; nprobe < needed.back(); nprobe *= 2) settings.push_back(nprobe);
  for (const double level : levels) {
    const double count = std::clamp(std::ceil(level * all), 1.0, all);
    settings.push_back(needed[std::size_t(count) - 1]);
  }
  std::ranges::sort(settings);
  const auto repeated = std::ranges::unique(settings);
  settings.erase(repeated.begin(), repeated.end());
  std::vector<RecallAtProbes> curve;
  for (const std::int64_t nprobe : settings) {
    const auto found = std::ranges::upper_bound(needed, nprobe) - needed.begin();
    curve.push_back({nprobe, double(found) / all});
  }
  return curve;
}

nlohmann::json measure_recall(JobContext& context, const IndexFolder& index,
                              const VectorReader& vectors, const RecallTarget& target,
                              std::uint64_t seed, std::int64_t memory_bytes) {
  const std::int64_t queries = std::min(target.queries, vectors.rows());
  const RowSample drawn(vectors.rows(), vectors.dim() * vectors.element_bytes(), queries, seed);
  RecallMeasurement measurement(context, index, vectors, target, memory_bytes);
  std::vector<double> levels(std::begin(kLevels), std::end(kLevels));
  levels.push_back(target.recall);
  const std::vector<RecallAtProbes> curve =
      recall_curve_of(measurement.measure(drawn.rows_of({0, queries})), levels);
  nlohmann::json points = nlohmann::json::array();
  for (const RecallAtProbes& point : curve)
    points.push_back({{"nprobe", point.nprobe}, {recall_key(target.k), point.recall}});
  const auto reached = std::ranges::lower_bound(curve, target.recall, {}, &RecallAtProbes::recall);
  log_info("recall@{} reaches {} at nprobe {}: {:.4f}, by {} of the vectors", target.k,
           target.recall, reached->nprobe, reached->recall, measurement.queries());
  return {{"recall_curve", points},
          {"recall_k", target.k},
          {"recall_queries", measurement.queries()},
          {"target_recall", target.recall},
          {"target_nprobe", reached->nprobe}};
}

ChosenProbes choose_probes(const IndexFolder& index, double recall) {
  const nlohmann::json& metadata = index.metadata();
  if (!metadata.contains("recall_curve"))
    throw Error(ExitCode::usage, "search.target_recall: the index does not know its recall",
                index.dataset.folder().string(),
                "build it with index.target_recall, or give search.nprobe");
  try {
    const std::int64_t k = integer_of(metadata.at("recall_k"));
    for (const nlohmann::json& point : metadata.at("recall_curve")) {
      const double reached = point.at(recall_key(k)).get<double>();
      if (reached >= recall)
        return {integer_of(point.at("nprobe")),
                fmt::format("recall@{} {:.4f}, measured when the index was built", k, reached)};
    }
  } catch (const nlohmann::json::exception&) {
  }
  throw Error(ExitCode::data, "the index's curve of recall is broken",
              index.dataset.folder().string(), "build the index again");
}

}  // namespace tutti
