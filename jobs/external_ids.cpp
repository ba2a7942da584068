#include "jobs/external_ids.h"

#include <algorithm>
#include <cstring>

#include "runtime/data/flat_table.h"

namespace tutti {
namespace {

constexpr std::int64_t kRows = 1 << 13;  // that are read at a time

struct Found {
  std::int64_t entry, wanted;  // the number of the id among those that are wanted
};

// A name in a message: its number among the wanted ids, its length, its bytes.
void append_name(std::vector<std::byte>& message, std::int64_t wanted, const std::string& name) {
  const std::int64_t header[2] = {wanted, std::int64_t(name.size())};
  const std::span<const std::byte> bytes = std::as_bytes(std::span(header)),
                                   text = std::as_bytes(std::span(name));
  message.insert(message.end(), bytes.begin(), bytes.end());
  message.insert(message.end(), text.begin(), text.end());
}

void take_names(std::span<const std::byte> message, std::vector<std::string>& names) {
  while (!message.empty()) {
    std::int64_t header[2];
    std::memcpy(header, message.data(), sizeof(header));
    message = message.subspan(sizeof(header));
    const auto text = message.first(std::size_t(header[1]));
    names[std::size_t(header[0])].assign(reinterpret_cast<const char*>(text.data()), text.size());
    message = message.subspan(text.size());
  }
}

}  // namespace

ExternalIds::ExternalIds(Comm& comm, const IndexFolder& index)
    : comm_(comm),
      index_(index),
      metadata_(index.dataset, "entries"),
      entries_(index.entries_of(index.shards_of(comm.size(), comm.rank()))) {}

std::vector<std::string> ExternalIds::find(std::span<const std::int64_t> ids) {
  std::vector<std::int64_t> wanted;
  if (comm_.is_root())
    std::ranges::copy_if(ids, std::back_inserter(wanted), [](auto id) { return id >= 0; });
  std::ranges::sort(wanted);
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  wanted = comm_.all_gather(std::span<const std::int64_t>(wanted));  // the root's
  ByteLists to_root(std::size_t(comm_.size()));
  comm_.attempt([&] { to_root[0] = find_mine(wanted); });
  std::vector<std::string> names(wanted.size()), called;
  for (const auto& message : comm_.all_to_all(to_root)) take_names(message, names);
  if (!comm_.is_root()) return {};
  for (const std::int64_t id : ids)
    called.push_back(
        id < 0 ? "" : names[std::size_t(std::ranges::lower_bound(wanted, id) - wanted.begin())]);
  return called;
}

// The names that this rank's entries give, as a message.
std::vector<std::byte> ExternalIds::find_mine(std::span<const std::int64_t> wanted) const {
  FlatTable<std::int64_t> numbers;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    numbers[std::uint64_t(wanted[i])] = std::int64_t(i);
  const Dataset::Column column = index_.dataset.column("entries", "id");
  std::vector<std::byte> message;
  std::vector<std::int64_t> ids;
  for (std::int64_t begin = entries_.begin; begin < entries_.end; begin += kRows) {
    ids.resize(std::size_t(std::min(kRows, entries_.end - begin)));
    index_.dataset.read(column, begin, std::int64_t(ids.size()), std::span(ids));
    std::vector<Found> found;
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (const std::int64_t* number = numbers.find(std::uint64_t(ids[i])))
        found.push_back({begin + std::int64_t(i), *number});
    if (found.empty()) continue;
    const std::int64_t first = found.front().entry;
    const auto names = metadata_.read_external_ids({first, found.back().entry + 1});
    for (const Found& one : found)
      append_name(message, one.wanted, names[std::size_t(one.entry - first)]);
  }
  return message;
}

}  // namespace tutti
