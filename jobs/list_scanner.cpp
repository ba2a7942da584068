#include "jobs/list_scanner.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/core/parallel.h"
#include "runtime/base/error.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

constexpr std::int64_t kSample = 16384;  // vectors that a code space is trained on
constexpr std::int64_t kStretch = 1024;  // entries read at a time to pick some of them
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What the key of a further candidate may be at most.
float limit_of(std::span<const RankedNeighbor> found, std::int64_t depth) {
  if (std::int64_t(found.size()) < depth) return kInfinity;
  return std::ranges::max(found, {}, &RankedNeighbor::key).key;
}

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

ListScanner::ListScanner(const IndexFolder& index, Range shards, std::int64_t memory_bytes,
                         bool by_codes, const CodeSpace* space, std::optional<EntrySet> wanted)
    : index_(index),
      vector_(index.dataset.column("entries", "vector")),
      id_(index.dataset.column("entries", "id")),
      by_codes_(by_codes),
      wanted_(std::move(wanted)),
      space_(space) {
  const std::int64_t code_dim = index.dim + 1;  // at most
  entry_bytes_ = index.dim * std::int64_t(size_of(index.storage)) +
                 std::int64_t(sizeof(std::int64_t)) + code_dim +
                 CodedVectors::bytes_per_vector(code_dim, 4);
  chunk_entries_ = std::clamp<std::int64_t>(memory_bytes / entry_bytes_, 1, std::int64_t(1) << 30);
  if (shards.size() == 0) return;
  const std::int64_t first = index.dataset.shard_rows("lists", shards.begin).begin,
                     end = index.dataset.shard_rows("lists", shards.end - 1).end,
                     segment = first / index.nlist * index.nlist;  // its rows of `lists`
  lists_ =
      end - segment <= index.nlist ? Range{first - segment, end - segment} : Range{0, index.nlist};
  for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) add_lists(shard);
  for (const Piece& piece : pieces_) {
    entries_ += piece.wanted;
    groups_ += piece.groups();
  }
  if (by_codes_ && !pieces_.empty() && fits(entries_, groups_)) resident_ = load(pieces_, true);
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
    if (numbers[i] != (lists.begin + std::int64_t(i)) % index_.nlist || starts[i] != next ||
        sizes[i] < 0 || sizes[i] > entries.size() - next)
      throw Error(ExitCode::data, "the table of lists does not fit the entries",
                  (index_.dataset.folder() / shard_file(shard)).string(), "build the index again");
    for (const std::int64_t end = next + sizes[i]; next < end;) {
      const std::int64_t size = std::min(end - next, chunk_entries_);
      const Range rows{entries.begin + next, entries.begin + next + size};
      const std::int64_t count = wanted_ ? wanted_->count(rows) : size;
      if (count > 0) pieces_.push_back({numbers[i], rows, count});
      next += size;
    }
  }
}

// Reads those of `rows` that are wanted to where the chunk's entries from `at` on belong.
void ListScanner::read_entries(Range rows, std::int64_t at, Chunk& chunk) const {
  const std::int64_t vector_bytes = index_.dim * std::int64_t(size_of(index_.storage));
  if (!wanted_) {
    read_vectors(index_.dataset, vector_, rows, chunk.vectors.data() + at * vector_bytes);
    return index_.dataset.read(
        id_, rows.begin, rows.size(),
        std::span(chunk.ids).subspan(std::size_t(at), std::size_t(rows.size())));
  }
  AlignedBuffer<std::byte> vectors(std::min(kStretch, rows.size()) * vector_bytes);
  std::vector<std::int64_t> ids;
  for (std::int64_t begin = rows.begin; begin < rows.end; begin += kStretch) {
    const Range stretch{begin, std::min(rows.end, begin + kStretch)};
    if (wanted_->count(stretch) == 0) continue;
    ids.resize(std::size_t(stretch.size()));
    read_vectors(index_.dataset, vector_, stretch, vectors.data());
    index_.dataset.read(id_, stretch.begin, stretch.size(), std::span(ids));
    for (std::int64_t i = 0; i < stretch.size(); ++i) {
      if (!wanted_->contains(stretch.begin + i)) continue;
      std::copy_n(vectors.data() + i * vector_bytes, vector_bytes,
                  chunk.vectors.data() + at * vector_bytes);
      chunk.ids[std::size_t(at++)] = ids[std::size_t(i)];
    }
  }
}

ListScanner::Chunk ListScanner::load(std::span<const Piece> pieces, bool with_codes) {
  const std::int64_t vector_bytes = index_.dim * std::int64_t(size_of(index_.storage));
  Chunk chunk;
  chunk.pieces.assign(pieces.begin(), pieces.end());
  chunk.first_entries.assign(1, 0);
  chunk.first_groups.assign(1, 0);
  for (const Piece& piece : pieces) {
    chunk.first_entries.push_back(chunk.first_entries.back() + piece.wanted);
    chunk.first_groups.push_back(chunk.first_groups.back() + piece.groups());
  }
  chunk.vectors.grow(chunk.first_entries.back() * vector_bytes);
  chunk.ids.resize(std::size_t(chunk.first_entries.back()));
  // Pieces that stand one behind the other in the file are read at once.
  for (std::size_t i = 0, end = 0; i < pieces.size(); i = end) {
    Range rows = pieces[i].entries;
    for (end = i + 1; end < pieces.size() && pieces[end].entries.begin == rows.end; ++end)
      rows.end = pieces[end].entries.end;
    read_entries(rows, chunk.first_entries[i], chunk);
  }
  if (with_codes) encode(chunk);
  return chunk;
}

void ListScanner::encode(Chunk& chunk) {
  const std::int64_t count = chunk.first_entries.back();
  if (!space_) {
    // Spread evenly, for a list's vectors are alike.
    const std::int64_t sample = std::min(count, kSample),
                       step = count / std::max<std::int64_t>(1, sample);
    own_space_.emplace(CodeSpace::train(
        VectorRows(chunk.vectors.data(), index_.storage, sample, index_.dim, index_.dim * step),
        index_.metric));
    space_ = &*own_space_;
  }
  chunk.codes = CodedVectors(chunk.first_groups.back(), *space_);
  parallel_for_dynamic(std::int64_t(chunk.pieces.size()), [&](std::int64_t i) {
    const VectorRows rows = rows_of(chunk, std::size_t(i));
    std::vector<std::int8_t> codes(std::size_t(rows.count * space_->code_dim()));
    const MatrixView<std::int8_t> view(codes.data(), rows.count, space_->code_dim());
    space_->encode_vectors(rows, view);
    chunk.codes.put(chunk.first_groups[std::size_t(i)], view);
  });
}

PlacedVectors ListScanner::vectors_of(const Chunk& chunk) const {
  return {VectorRows(chunk.vectors.data(), index_.storage, std::int64_t(chunk.ids.size()),
                     index_.dim, index_.dim),
          chunk.ids};
}

VectorRows ListScanner::rows_of(const Chunk& chunk, std::size_t piece) const {
  const std::int64_t begin = chunk.first_entries[piece];
  return vectors_of(chunk).rows.range(begin, chunk.first_entries[piece + 1] - begin);
}

// A counting sort of the (query, list) pairs by list.
ListScanner::Probers ListScanner::group_by_list(ConstMatrixView<std::int32_t> probes) const {
  Probers probers{std::vector<std::int64_t>(std::size_t(lists_.size()) + 1), {}};
  const auto each_probe = [&](auto&& take) {
    for (std::int64_t q = 0; q < probes.rows; ++q)
      for (std::int64_t p = 0; p < probes.cols; ++p)
        if (const std::int64_t list = probes(q, p); lists_.contains(list))
          take(q, std::size_t(list - lists_.begin));
  };
  each_probe([&](std::int64_t, std::size_t list) { ++probers.starts[list + 1]; });
  std::partial_sum(probers.starts.begin(), probers.starts.end(), probers.starts.begin());
  std::vector<std::int64_t> next(probers.starts.begin(), probers.starts.end() - 1);
  probers.members.resize(std::size_t(probers.starts.back()));
  each_probe([&](std::int64_t query, std::size_t list) {
    probers.members[std::size_t(next[list]++)] = std::int32_t(query);
  });
  return probers;
}

std::span<const std::int32_t> ListScanner::probers_of(const Probers& probers,
                                                      std::int64_t list) const {
  if (probers.starts.empty()) return probers.members;  // everyone
  const auto i = std::size_t(list - lists_.begin);
  return std::span(probers.members)
      .subspan(std::size_t(probers.starts[i]),
               std::size_t(probers.starts[i + 1] - probers.starts[i]));
}

void ListScanner::scan_probed(const ProbingQueries& queries, std::span<TopK> results) {
  scan_probers(queries.queries, group_by_list(queries.probes), results);
}

void ListScanner::scan_all(ConstMatrixView<float> queries, std::span<TopK> results) {
  Probers everyone{{}, std::vector<std::int32_t>(std::size_t(queries.rows))};
  std::iota(everyone.members.begin(), everyone.members.end(), 0);
  scan_probers(queries, everyone, results);
}

// Hands scan(chunk) all pieces that any query probes: those in memory, or as many as fit at a time.
template <class Scan>
void ListScanner::visit_chunks(const Probers& probers, bool with_codes, Scan&& scan) {
  if (resident_) return scan(*resident_);
  std::vector<Piece> pieces;
  std::int64_t entries = 0, groups = 0;
  for (const Piece& piece : pieces_) {
    if (probers_of(probers, piece.list).empty()) continue;
    if (!fits(entries + piece.wanted, groups + piece.groups()) && !pieces.empty()) {
      scan(load(pieces, with_codes));
      pieces.clear();
      entries = groups = 0;
    }
    pieces.push_back(piece);
    entries += piece.wanted;
    groups += piece.groups();
  }
  if (!pieces.empty()) scan(load(pieces, with_codes));
}

void ListScanner::scan_probers(ConstMatrixView<float> queries, const Probers& probers,
                               std::span<TopK> results) {
  if (queries.rows == 0) return;
  QueryCodes codes;
  visit_chunks(probers, by_codes_, [&](const Chunk& chunk) {
    if (!by_codes_) return scan_plain_chunk(queries, chunk, probers, results);
    if (codes.count() == 0) codes = space_->encode_queries(VectorRows(queries));
    scan_coded(*space_, {queries, &codes}, coded_lists(chunk, probers), results);
  });
}

void ListScanner::rank_probed(const ProbingQueries& queries, const QueryCodes& codes,
                              std::int64_t depth, std::span<std::vector<RankedNeighbor>> results) {
  if (queries.queries.rows == 0) return;
  const Probers probers = group_by_list(queries.probes);
  visit_chunks(probers, true, [&](const Chunk& chunk) {
    Candidates candidates(queries.queries.rows, depth, vectors_of(chunk));
    for (std::size_t q = 0; q < results.size(); ++q)
      if (const float limit = limit_of(results[q], depth); limit < kInfinity)
        candidates.lower(std::int64_t(q), limit);
    scan_ranked(*space_, {queries.queries, &codes}, coded_lists(chunk, probers), candidates);
    candidates.measure(queries.queries, index_.metric, results);
    for (std::vector<RankedNeighbor>& result : results) keep_first(result, depth);
  });
}

Candidates ListScanner::make_candidates(std::int64_t queries, std::int64_t depth) const {
  return Candidates(queries, depth, resident_ ? vectors_of(*resident_) : PlacedVectors());
}

void ListScanner::rank_probed(const ProbingQueries& queries, const QueryCodes& codes,
                              Candidates& candidates) const {
  if (!resident_ || queries.queries.rows == 0) return;
  scan_ranked(*space_, {queries.queries, &codes},
              coded_lists(*resident_, group_by_list(queries.probes)), candidates);
}

VectorIds ListScanner::ids_of(const Chunk& chunk, std::size_t piece) const {
  const auto begin = std::size_t(chunk.first_entries[piece]);
  return std::span(chunk.ids).subspan(begin, std::size_t(chunk.first_entries[piece + 1]) - begin);
}

std::vector<CodedList> ListScanner::coded_lists(const Chunk& chunk, const Probers& probers) const {
  std::vector<CodedList> lists;
  for (std::size_t i = 0; i < chunk.pieces.size(); ++i)
    if (const auto mine = probers_of(probers, chunk.pieces[i].list); !mine.empty())
      lists.push_back({&chunk.codes, chunk.first_groups[i], rows_of(chunk, i), ids_of(chunk, i),
                       mine, chunk.first_entries[i]});
  return lists;
}

void ListScanner::scan_plain_chunk(ConstMatrixView<float> queries, const Chunk& chunk,
                                   const Probers& probers, std::span<TopK> results) const {
  std::vector<std::vector<std::int64_t>> members;
  members.reserve(chunk.pieces.size());
  std::vector<ListScan> lists;
  for (std::size_t i = 0; i < chunk.pieces.size(); ++i)
    if (const auto mine = probers_of(probers, chunk.pieces[i].list); !mine.empty()) {
      members.emplace_back(mine.begin(), mine.end());
      lists.push_back({rows_of(chunk, i), ids_of(chunk, i), members.back()});
    }
  scan_lists(queries, lists, index_.metric, results);
}

}  // namespace tutti
