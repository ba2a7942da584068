#include "jobs/update_plan.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "jobs/entry_filter.h"
#include "runtime/base/error.h"

namespace tutti {
namespace {

constexpr std::int64_t kLargestChunk = std::int64_t(1) << 16;  // vectors that are read at a time

void sort_unique(std::vector<std::int64_t>& rows) {
  std::ranges::sort(rows);
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
}

class Planner {
 public:
  Planner(Comm& comm, const IndexFolder& index, const UpdateRequest& request)
      : comm_(comm),
        index_(index),
        request_(request),
        lookup_(comm, index, request.memory_bytes / 2) {}

  UpdatePlan run() {
    find_deleted();
    if (request_.vectors) {
      if (request_.skip_bad) comm_.attempt([&] { find_bad(); });
      comm_.attempt([&] { metadata_.emplace(request_.vectors->dataset()); });
      if (metadata_->external_ids() != ExternalIdType::none) find_duplicates();
      settle_added();
    }
    std::ranges::sort(plan_.gone);
    return std::move(plan_);
  }

 private:
  // The ranks' rows, each once and in order, on all of them; they are not live any more.
  std::vector<std::int64_t> take_away(const std::vector<std::int64_t>& mine) {
    std::vector<std::int64_t> all = comm_.all_gather(std::span<const std::int64_t>(mine));
    sort_unique(all);
    lookup_.remove(all);
    plan_.gone.insert(plan_.gone.end(), all.begin(), all.end());
    return all;
  }

  void find_deleted() {
    std::vector<std::int64_t> mine;
    if (!request_.gone_where.empty())
      comm_.attempt([&] {
        EntrySet taken =
            EntryFilter(index_, request_.gone_where).evaluate(lookup_.live().entries());
        taken.intersect(lookup_.live());
        mine = taken.members();
      });
    if (request_.gone) find_named(*request_.gone, mine);
    plan_.deleted = std::int64_t(take_away(mine).size());
  }

  void find_named(const IdFile& file, std::vector<std::int64_t>& mine) {
    const Range names = part_of(file.count(), comm_.size(), comm_.rank());
    const bool external =
        MetadataColumns(index_.dataset, "entries").external_ids() != ExternalIdType::none;
    const auto found =
        lookup_.find(names.size(), external ? EntryLookup::By::external_id : EntryLookup::By::id,
                     [&](Range range) {
                       const auto begin = file.keys().begin() + names.begin;
                       return std::vector<IdKey>(begin + range.begin, begin + range.end);
                     });
    const std::int64_t unknown = std::ranges::count(found, -1);
    comm_.attempt([&] {
      if (unknown == 0 || request_.skip_unknown) return;
      const std::int64_t first = names.begin + (std::ranges::find(found, -1) - found.begin());
      throw Error(
          ExitCode::data, fmt::format("no vector of the index is called '{}'", file.text(first)),
          file.place_of(first), "take it out, or pass such ids over: update.on_unknown = \"skip\"");
    });
    plan_.unknown = comm_.all_reduce_sum(unknown);
    std::ranges::copy_if(found, std::back_inserter(mine),
                         [](std::int64_t row) { return row >= 0; });
  }

  // As lists are built: contiguous ranges, each read once.
  Range my_vectors() const { return part_of(request_.vectors->rows(), comm_.size(), comm_.rank()); }

  void find_bad() {
    const Range mine = my_vectors();
    const std::int64_t bytes = 2 * request_.vectors->dim() * std::int64_t(sizeof(float)),
                       rows = std::clamp<std::int64_t>(request_.memory_bytes / 4 / bytes, 64,
                                                       kLargestChunk);
    for (std::int64_t begin = mine.begin; begin < mine.end; begin += rows) {
      const Range chunk{begin, std::min(mine.end, begin + rows)};
      const VectorBatch batch = request_.vectors->read(chunk);
      std::size_t next = 0;
      for (std::int64_t row = chunk.begin; row < chunk.end; ++row)
        if (next < batch.rows.size() && batch.rows[next] == row)
          ++next;
        else
          plan_.left_out.push_back(row);
    }
    plan_.bad = std::int64_t(plan_.left_out.size());
  }

  void find_duplicates() {
    const Range mine = my_vectors();
    std::vector<std::int64_t> found =
        lookup_.find(mine.size(), EntryLookup::By::external_id, [&](Range range) {
          return metadata_->read_id_keys({mine.begin + range.begin, mine.begin + range.end});
        });
    for (const std::int64_t row : plan_.left_out) found[std::size_t(row - mine.begin)] = -1;
    comm_.attempt([&] {
      const auto first = std::ranges::find_if(found, [](std::int64_t row) { return row >= 0; });
      if (request_.on_duplicate == OnDuplicate::fail && first != found.end())
        refuse(mine.begin + (first - found.begin()));
    });
    std::vector<std::int64_t> replaced, skipped;
    for (std::int64_t row = mine.begin; row < mine.end; ++row) {
      const std::int64_t entry = found[std::size_t(row - mine.begin)];
      if (entry < 0) continue;
      (request_.on_duplicate == OnDuplicate::replace ? replaced : skipped)
          .push_back(request_.on_duplicate == OnDuplicate::replace ? entry : row);
    }
    plan_.replaced = std::int64_t(take_away(replaced).size());
    plan_.duplicates = std::int64_t(skipped.size());
    plan_.left_out.insert(plan_.left_out.end(), skipped.begin(), skipped.end());
    std::ranges::sort(plan_.left_out);
  }

  [[noreturn]] void refuse(std::int64_t row) const {
    throw Error(
        ExitCode::data,
        fmt::format("the index has a vector called '{}' already",
                    metadata_->read_external_ids({row, row + 1}).front()),
        request_.vectors->place_of(row),
        "put it in the other's place, or leave it out: update.on_duplicate = \"replace\" or "
        "\"skip\"");
  }

  void settle_added() {
    plan_.bad = comm_.all_reduce_sum(plan_.bad);
    plan_.duplicates = comm_.all_reduce_sum(plan_.duplicates);
    plan_.added = request_.vectors->rows() - plan_.bad - plan_.duplicates;
  }

  Comm& comm_;
  const IndexFolder& index_;
  const UpdateRequest& request_;
  EntryLookup lookup_;
  std::optional<MetadataColumns> metadata_;  // of the vectors
  UpdatePlan plan_;
};

}  // namespace

UpdatePlan plan_update(Comm& comm, const IndexFolder& index, const UpdateRequest& request) {
  return Planner(comm, index, request).run();
}

}  // namespace tutti
