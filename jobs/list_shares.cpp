#include "jobs/list_shares.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/error.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

constexpr std::int64_t kLanes = CodedVectors::kLanes;
constexpr std::int64_t kTolerance = 16;  // a surplus of one in so many is let be

// Hands work from ranks that have more than their fair share to those that have less.
class Balance {
 public:
  Balance(std::vector<std::vector<ListPiece>>& shares, std::span<const std::int64_t> probes,
          const EntrySet* wanted)
      : shares_(shares), probes_(probes), wanted_(wanted) {
    for (const auto& share : shares) {
      work_.push_back(0);
      for (const ListPiece& piece : share) work_.back() += piece.wanted * probes_of(piece);
    }
    fair_ = std::reduce(work_.begin(), work_.end()) / std::ssize(work_);
  }

  bool is_needed() const { return std::ranges::max(work_) > fair_ + fair_ / kTolerance; }

  void hand_over() {
    for (std::size_t from = 0; from < shares_.size(); ++from)
      if (work_[from] > fair_) relieve(from);
    for (auto& share : shares_)
      std::ranges::sort(share, {}, [](const ListPiece& piece) { return piece.entries.begin; });
  }

 private:
  std::int64_t probes_of(const ListPiece& piece) const { return probes_[std::size_t(piece.list)]; }

  // The lists that are looked into most go first: they are the fewest vectors for the work.
  void relieve(std::size_t from) {
    std::vector<ListPiece> kept(std::move(shares_[from]));
    std::ranges::stable_sort(kept, std::greater(),
                             [&](const ListPiece& piece) { return probes_of(piece); });
    for (std::size_t i = 0; i < kept.size();) {
      while (to_ < work_.size() && work_[to_] >= fair_) ++to_;
      if (to_ == work_.size() || work_[from] <= fair_) break;
      const std::int64_t lacking = fair_ - work_[to_], surplus = work_[from] - fair_;
      const ListPiece given = cut(kept[i], std::min(lacking, surplus));
      if (given.wanted > 0) shares_[to_].push_back(given);
      work_[to_] += given.wanted * probes_of(given);
      work_[from] -= given.wanted * probes_of(given);
      if (kept[i].wanted == 0) {
        ++i;
      } else if (given.wanted == 0 && lacking < surplus) {
        ++to_;  // less than a group of vectors
      } else if (given.wanted == 0) {
        break;
      }
    }
    std::erase_if(kept, [](const ListPiece& piece) { return piece.wanted == 0; });
    shares_[from] = std::move(kept);
  }

  // Takes at most so much work off the piece's end, in whole groups of codes, or all of it.
  ListPiece cut(ListPiece& piece, std::int64_t work) const {
    ListPiece taken = piece;
    const std::int64_t probes = probes_of(piece);
    if (piece.wanted * probes <= work) {
      piece.wanted = 0;
      return taken;
    }
    taken.wanted = work / probes / kLanes * kLanes;
    piece.wanted -= taken.wanted;
    piece.entries.end = wanted_ && taken.wanted > 0 ? wanted_->nth(piece.entries, piece.wanted)
                                                    : piece.entries.end - taken.wanted;
    taken.entries.begin = piece.entries.end;
    return taken;
  }

  std::vector<std::vector<ListPiece>>& shares_;
  std::span<const std::int64_t> probes_;
  const EntrySet* wanted_;
  std::vector<std::int64_t> work_;
  std::int64_t fair_ = 0;
  std::size_t to_ = 0;  // the first rank that may have less than its share
};

}  // namespace

std::vector<ListPiece> lists_in(const IndexFolder& index, Range shards, const EntrySet* wanted) {
  const Dataset& dataset = index.dataset;
  std::vector<ListPiece> pieces;
  for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
    const Range lists = dataset.shard_rows("lists", shard),
                entries = dataset.shard_rows("entries", shard);
    std::vector<std::int64_t> numbers(std::size_t(lists.size())), starts(numbers.size()),
        sizes(numbers.size());
    dataset.read(dataset.column("lists", "list"), lists.begin, lists.size(), std::span(numbers));
    dataset.read(dataset.column("lists", "first_entry"), lists.begin, lists.size(),
                 std::span(starts));
    dataset.read(dataset.column("lists", "entries"), lists.begin, lists.size(), std::span(sizes));
    std::int64_t next = 0;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (numbers[i] != (lists.begin + std::int64_t(i)) % index.nlist || starts[i] != next ||
          sizes[i] < 0 || sizes[i] > entries.size() - next)
        throw Error(ExitCode::data, "the table of lists does not fit the entries",
                    (dataset.folder() / shard_file(shard)).string(), "build the index again");
      const Range rows{entries.begin + next, entries.begin + next + sizes[i]};
      const std::int64_t count = wanted ? wanted->count(rows) : rows.size();
      if (count > 0) pieces.push_back({numbers[i], rows, count});
      next += sizes[i];
    }
  }
  return pieces;
}

std::vector<std::vector<ListPiece>> balance_scans(std::vector<std::vector<ListPiece>> shares,
                                                  std::span<const std::int64_t> probes,
                                                  const EntrySet* wanted) {
  if (shares.empty()) return shares;
  Balance balance(shares, probes, wanted);
  if (balance.is_needed()) balance.hand_over();
  return shares;
}

}  // namespace tutti
