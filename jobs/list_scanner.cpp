#include "jobs/list_scanner.h"

#include <algorithm>
#include <numeric>

#include "kernels/core/arena.h"
#include "runtime/base/error.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

// Entries of a chunk in memory.
struct Entries {
  AlignedBuffer<std::byte> vectors;
  std::vector<std::int64_t> ids;
};

void read_vectors(const Dataset& dataset, const Dataset::Column& column, Range rows,
                  std::byte* to) {
  const auto read_as = [&]<class T>(T* values) {
    dataset.read(column, rows.begin, rows.size(),
                 std::span(values, std::size_t(rows.size() * column.width)));
  };
  if (column.dtype == DType::bf16)
    read_as(reinterpret_cast<bf16*>(to));
  else
    read_as(reinterpret_cast<float*>(to));
}

}  // namespace

ListScanner::ListScanner(const IndexFolder& index, Range shards, std::int64_t memory_bytes)
    : index_(index),
      vector_(index.dataset.column("entries", "vector")),
      id_(index.dataset.column("entries", "id")) {
  const std::int64_t entry_bytes =
      index.dim * std::int64_t(size_of(index.storage)) + std::int64_t(sizeof(std::int64_t));
  chunk_entries_ = std::max<std::int64_t>(1, memory_bytes / entry_bytes);
  if (shards.size() == 0) return;
  lists_ = {index.dataset.shard_rows("lists", shards.begin).begin,
            index.dataset.shard_rows("lists", shards.end - 1).end};
  for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) add_lists(shard);
}

void ListScanner::add_lists(std::int64_t shard) {
  const Range lists = index_.dataset.shard_rows("lists", shard),
              entries = index_.dataset.shard_rows("entries", shard);
  std::vector<std::int64_t> numbers(std::size_t(lists.size())), starts(numbers.size()),
      sizes(numbers.size());
  index_.dataset.read(index_.dataset.column("lists", "list"), lists.begin, lists.size(),
                      std::span(numbers));
  index_.dataset.read(index_.dataset.column("lists", "first_entry"), lists.begin, lists.size(),
                      std::span(starts));
  index_.dataset.read(index_.dataset.column("lists", "entries"), lists.begin, lists.size(),
                      std::span(sizes));
  std::int64_t next = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] != lists.begin + std::int64_t(i) || starts[i] != next || sizes[i] < 0 ||
        sizes[i] > entries.size() - next)
      throw Error(ExitCode::data, "the table of lists does not fit the entries",
                  (index_.dataset.folder() / shard_file(shard)).string(), "build the index again");
    for (const std::int64_t end = next + sizes[i]; next < end;) {
      const std::int64_t size = std::min(end - next, chunk_entries_);
      pieces_.push_back({numbers[i], {entries.begin + next, entries.begin + next + size}});
      next += size;
    }
  }
}

// A counting sort of the (query, list) pairs by list.
ListScanner::Probers ListScanner::group_by_list(ConstMatrixView<Neighbor> probes) const {
  const std::span<const Neighbor> all(probes.data, std::size_t(probes.rows * probes.cols));
  Probers probers{std::vector<std::int64_t>(std::size_t(lists_.size()) + 1), {}};
  for (const Neighbor& probe : all)
    if (lists_.contains(probe.id)) ++probers.starts[std::size_t(probe.id - lists_.begin) + 1];
  std::partial_sum(probers.starts.begin(), probers.starts.end(), probers.starts.begin());
  std::vector<std::int64_t> next(probers.starts.begin(), probers.starts.end() - 1);
  probers.members.resize(std::size_t(probers.starts.back()));
  for (std::size_t i = 0; i < all.size(); ++i)
    if (lists_.contains(all[i].id))
      probers.members[std::size_t(next[std::size_t(all[i].id - lists_.begin)]++)] =
          std::int64_t(i) / probes.cols;
  return probers;
}

std::span<const std::int64_t> ListScanner::probers_of(const Probers& probers,
                                                      std::int64_t list) const {
  if (probers.starts.empty()) return probers.members;  // everyone
  const auto i = std::size_t(list - lists_.begin);
  return std::span(probers.members)
      .subspan(std::size_t(probers.starts[i]),
               std::size_t(probers.starts[i + 1] - probers.starts[i]));
}

void ListScanner::scan_probed(ConstMatrixView<float> queries, ConstMatrixView<Neighbor> probes,
                              std::span<TopK> results) const {
  scan_probers(queries, group_by_list(probes), results);
}

void ListScanner::scan_all(ConstMatrixView<float> queries, std::span<TopK> results) const {
  Probers everyone{{}, std::vector<std::int64_t>(std::size_t(queries.rows))};
  std::iota(everyone.members.begin(), everyone.members.end(), 0);
  scan_probers(queries, everyone, results);
}

void ListScanner::scan_probers(ConstMatrixView<float> queries, const Probers& probers,
                               std::span<TopK> results) const {
  std::vector<Piece> chunk;
  std::int64_t entries = 0;
  for (const Piece& piece : pieces_) {
    if (probers_of(probers, piece.list).empty()) continue;
    if (entries + piece.entries.size() > chunk_entries_) {
      scan_chunk(queries, chunk, probers, results);
      chunk.clear();
      entries = 0;
    }
    chunk.push_back(piece);
    entries += piece.entries.size();
  }
  if (!chunk.empty()) scan_chunk(queries, chunk, probers, results);
}

void ListScanner::scan_chunk(ConstMatrixView<float> queries, std::span<const Piece> chunk,
                             const Probers& probers, std::span<TopK> results) const {
  const std::int64_t vector_bytes = index_.dim * std::int64_t(size_of(index_.storage));
  std::int64_t count = 0;
  for (const Piece& piece : chunk) count += piece.entries.size();
  Entries entries{AlignedBuffer<std::byte>(count * vector_bytes),
                  std::vector<std::int64_t>(std::size_t(count))};
  std::vector<ListScan> lists;
  std::int64_t at = 0;
  for (const Piece& piece : chunk) {
    const std::int64_t size = piece.entries.size();
    std::byte* vectors = entries.vectors.data() + at * vector_bytes;
    const auto ids = std::span(entries.ids).subspan(std::size_t(at), std::size_t(size));
    read_vectors(index_.dataset, vector_, piece.entries, vectors);
    index_.dataset.read(id_, piece.entries.begin, size, ids);
    lists.push_back({VectorRows(vectors, index_.storage, size, index_.dim, index_.dim),
                     VectorIds(ids), probers_of(probers, piece.list)});
    at += size;
  }
  scan_lists(queries, lists, index_.metric, results);
}

}  // namespace tutti
