#include "jobs/entry_lookup.h"

#include <algorithm>
#include <cstring>

#include "jobs/deleted_entries.h"
#include "runtime/data/flat_table.h"

namespace tutti {
namespace {

constexpr std::int64_t kRows = 1 << 16;         // whose names are read at a time
constexpr std::int64_t kBytesPerName = 128;     // a key on its way, and in the table
constexpr std::int64_t kFewestNames = 1 << 10;  // of a rank, in a round

struct Found {
  std::int64_t name, entry;  // the name's number on the rank that asks
};

}  // namespace

// The names that all ranks look for in a round.
struct EntryLookup::Wanted {
  std::vector<IdKey> keys;                // in order of rank
  std::vector<std::int64_t> first_names;  // of each rank, and the end
  FlatTable<std::int64_t> last;           // by half a key: one more than the number of its last
  std::vector<std::int64_t> before;       // the same of the one before, by number

  void index() {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      std::int64_t& slot = last[half(keys[i])];
      before.push_back(slot);
      slot = std::int64_t(i) + 1;
    }
  }
  // Any two may share it, and one number is none that the table takes.
  static std::uint64_t half(const IdKey& key) { return key.low >> 1; }

  template <class Take>
  void for_each(const IdKey& key, Take&& take) const {
    const std::int64_t* at = last.find(half(key));
    for (std::int64_t i = at ? *at : 0; i > 0; i = before[std::size_t(i - 1)])
      if (keys[std::size_t(i - 1)] == key) take(i - 1);
  }
};

EntryLookup::EntryLookup(Comm& comm, const IndexFolder& index, std::int64_t memory_bytes)
    : comm_(comm), index_(index), memory_bytes_(memory_bytes) {
  comm_.attempt([&] {
    metadata_.emplace(index.dataset, "entries");
    live_ = live_entries(index, index.entries_of(index.shards_of(comm.size(), comm.rank())));
  });
}

void EntryLookup::remove(std::span<const std::int64_t> rows) {
  for (const std::int64_t row : rows)
    if (live_->entries().contains(row)) live_->remove(row);
}

std::vector<std::int64_t> EntryLookup::find(std::int64_t count, By by,
                                            const std::function<std::vector<IdKey>(Range)>& keys) {
  const std::int64_t most =
      std::max(kFewestNames, memory_bytes_ / kBytesPerName / std::int64_t(comm_.size()));
  const std::int64_t rounds = comm_.all_reduce_max((count + most - 1) / most);
  std::vector<std::int64_t> entries(std::size_t(count), -1);
  for (std::int64_t round = 0; round < rounds; ++round) {
    const Range names{std::min(count, round * most), std::min(count, (round + 1) * most)};
    std::vector<IdKey> mine;
    comm_.attempt([&] { mine = keys(names); });
    Wanted wanted{comm_.all_gather(std::span<const IdKey>(mine)), {0}, {}, {}};
    const std::int64_t size = names.size();
    for (const std::int64_t theirs : comm_.all_gather(std::span(&size, 1)))
      wanted.first_names.push_back(wanted.first_names.back() + theirs);
    ByteLists to_ranks(std::size_t(comm_.size()));
    comm_.attempt([&] {
      wanted.index();
      find_mine(wanted, by, to_ranks);
    });
    for (const auto& message : comm_.all_to_all(to_ranks))
      for (std::size_t at = 0; at < message.size(); at += sizeof(Found)) {
        Found one;
        std::memcpy(&one, message.data() + at, sizeof(one));
        entries[std::size_t(names.begin + one.name)] = one.entry;
      }
  }
  return entries;
}

std::vector<IdKey> EntryLookup::keys_of(Range entries, By by) const {
  if (by == By::external_id) return metadata_->read_id_keys(entries);
  std::vector<std::int64_t> ids(std::size_t(entries.size()));
  index_.dataset.read(index_.dataset.column("entries", "id"), entries.begin, entries.size(),
                      std::span(ids));
  std::vector<IdKey> keys(ids.size());
  std::ranges::transform(ids, keys.begin(), [](std::int64_t id) { return id_key(id); });
  return keys;
}

// What this rank's entries are called, as messages to the ranks that ask.
void EntryLookup::find_mine(const Wanted& wanted, By by, ByteLists& found) const {
  if (wanted.keys.empty()) return;
  const Range all = live_->entries();
  for (std::int64_t begin = all.begin; begin < all.end; begin += kRows) {
    const Range rows{begin, std::min(all.end, begin + kRows)};
    const std::vector<IdKey> keys = keys_of(rows, by);
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      if (!live_->contains(row)) continue;
      wanted.for_each(keys[std::size_t(row - rows.begin)], [&](std::int64_t name) {
        const auto rank = std::size_t(std::ranges::upper_bound(wanted.first_names, name) -
                                      wanted.first_names.begin() - 1);
        const Found one{name - wanted.first_names[rank], row};
        const auto bytes = std::as_bytes(std::span(&one, 1));
        found[rank].insert(found[rank].end(), bytes.begin(), bytes.end());
      });
    }
  }
}

}  // namespace tutti
