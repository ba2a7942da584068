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
constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Of the memory, what stays free beside codes in memory: vectors are read there.
constexpr std::int64_t kFreeShare = 16;
constexpr std::int64_t kMostBuffer = 64 << 20;  // of vectors whose codes are made at a time
constexpr std::int64_t kMostListed = 1 << 20;   // candidates that are measured at a time
constexpr std::int64_t kReadBytes = 256 << 10;  // of vectors that a thread measures at a time

// What the key of a further candidate may be at most.
float limit_of(std::span<const RankedNeighbor> found, std::int64_t depth) {
  if (std::int64_t(found.size()) < depth) return kInfinity;
  return std::ranges::max(found, {}, &RankedNeighbor::key).key;
}

}  // namespace

ListScanner::ListScanner(const IndexFolder& index, std::span<const ListPiece> pieces,
                         std::int64_t memory_bytes, const ScannedCodes& codes,
                         std::optional<EntrySet> wanted)
    : index_(index),
      reader_(index, std::move(wanted)),
      memory_bytes_(memory_bytes),
      has_list_(std::size_t(index.nlist)),
      by_codes_(codes.worth_it),
      ranking_(codes.ranking),
      space_(codes.space) {
  const std::int64_t code_dim = index.dim + 1;  // at most
  entry_bytes_ = index.dim * std::int64_t(size_of(index.storage)) +
                 std::int64_t(sizeof(std::int64_t)) + code_dim;
  group_bytes_ = CodedVectors::kLanes * CodedVectors::bytes_per_vector(code_dim, 4);
  // Whole groups, where there is room for any.
  const std::int64_t all = memory_bytes_ / (CodedVectors::kLanes * entry_bytes_ + group_bytes_);
  const std::int64_t most =
      all > 0 ? std::clamp<std::int64_t>(all / kFreeShare, 1, CodedVectors::kMostGroups) *
                    CodedVectors::kLanes
              : 1;
  for (const ListPiece& piece : pieces) add_pieces(piece, most);
  if (by_codes_ && !pieces_.empty() && fits(entries_, groups_)) resident_ = load(pieces_, true);
}

void ListScanner::add_pieces(const ListPiece& piece, std::int64_t most) {
  has_list_[std::size_t(piece.list)] = true;
  for (std::int64_t next = piece.entries.begin; next < piece.entries.end; next += most) {
    const Range rows{next, std::min(piece.entries.end, next + most)};
    const std::int64_t count = reader_.count(rows);
    if (count == 0) continue;
    pieces_.push_back({piece.list, rows, count});
    entries_ += count;
    groups_ += pieces_.back().groups();
  }
}

// Vectors with their codes, beside codes that are in memory.
bool ListScanner::fits(std::int64_t entries, std::int64_t groups) const {
  const std::int64_t free = memory_bytes_ - (codes_ ? codes_->bytes() : 0);
  return entries * entry_bytes_ + groups * group_bytes_ <= free &&
         groups <= CodedVectors::kMostGroups;
}

void ListScanner::load_codes() {
  if (is_resident() || !by_codes_ || !space_ || tried_codes_) return;
  tried_codes_ = true;
  const std::int64_t each =
      CodedVectors::bytes_per_vector(space_->code_dim(), space_->prefix(), ranking_);
  const std::int64_t codes =
      groups_ * CodedVectors::kLanes * each + entries_ * std::int64_t(sizeof(std::int64_t));
  const std::int64_t free = memory_bytes_ / kFreeShare, loose = memory_bytes_ - free - codes;
  if (loose >= 0 && groups_ <= CodedVectors::kMostGroups)
    codes_ = reader_.load_codes(pieces_, *space_, ranking_, std::min(free, kMostBuffer), loose);
}

std::int64_t ListScanner::held_bytes() const {
  const std::int64_t kept = resident_ ? resident_->bytes() : codes_ ? codes_->bytes() : 0;
  return kept + most_loaded_;
}

ListChunk ListScanner::load(std::span<const ListPiece> pieces, bool with_codes) {
  ListChunk chunk = reader_.load(pieces);
  if (!with_codes) return chunk;
  if (!space_) choose_space(chunk);
  reader_.encode(chunk, *space_);
  return chunk;
}

// That of a sample, spread evenly, for a list's vectors are alike.
void ListScanner::choose_space(const ListChunk& chunk) {
  const std::int64_t count = chunk.entries(), sample = std::min(count, kSample),
                     step = count / std::max<std::int64_t>(1, sample);
  own_space_.emplace(CodeSpace::train(
      VectorRows(chunk.vectors.data(), index_.storage, sample, index_.dim, index_.dim * step),
      index_.metric));
  space_ = &*own_space_;
}

// A counting sort of the (query, list) pairs by list.
ListScanner::Probers ListScanner::group_by_list(ConstMatrixView<std::int32_t> probes) const {
  Probers probers{std::vector<std::int64_t>(std::size_t(index_.nlist) + 1), {}};
  const auto each_probe = [&](auto&& take) {
    for (std::int64_t q = 0; q < probes.rows; ++q)
      for (std::int64_t p = 0; p < probes.cols; ++p)
        if (const std::int32_t list = probes(q, p); list >= 0 && has_list_[std::size_t(list)])
          take(q, std::size_t(list));
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
  const auto i = std::size_t(list);
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
  std::vector<ListPiece> pieces;
  std::int64_t entries = 0, groups = 0;
  const auto scan_pieces = [&] {
    if (pieces.empty()) return;
    const ListChunk chunk = load(pieces, with_codes);
    most_loaded_ = std::max(most_loaded_, chunk.bytes());
    scan(chunk);
    pieces.clear();
    entries = groups = 0;
  };
  for (const ListPiece& piece : pieces_) {
    if (probers_of(probers, piece.list).empty()) continue;
    if (!fits(entries + piece.wanted, groups + piece.groups())) scan_pieces();
    pieces.push_back(piece);
    entries += piece.wanted;
    groups += piece.groups();
  }
  scan_pieces();
}

void ListScanner::scan_probers(ConstMatrixView<float> queries, const Probers& probers,
                               std::span<TopK> results) {
  if (queries.rows == 0) return;
  QueryCodes codes;
  visit_chunks(probers, by_codes_, [&](const ListChunk& chunk) {
    if (!by_codes_) return scan_plain_chunk(queries, chunk, probers, results);
    if (codes.count() == 0) codes = space_->encode_queries(VectorRows(queries));
    scan_coded(*space_, {queries, &codes}, coded_lists(chunk, probers), results);
  });
}

void ListScanner::rank_probed(const ProbingQueries& queries, const QueryCodes& codes,
                              std::int64_t depth, std::span<std::vector<RankedNeighbor>> results) {
  if (queries.queries.rows == 0) return;
  if (ranked()) {
    Candidates candidates = make_candidates(queries.queries.rows, depth);
    rank_probed(queries, codes, candidates);
    return measure(queries.queries, candidates, results);
  }
  const Probers probers = group_by_list(queries.probes);
  visit_chunks(probers, true, [&](const ListChunk& chunk) {
    Candidates candidates(queries.queries.rows, depth, chunk.placed());
    for (std::size_t q = 0; q < results.size(); ++q)
      if (const float limit = limit_of(results[q], depth); limit < kInfinity)
        candidates.lower(std::int64_t(q), limit);
    scan_ranked(*space_, {queries.queries, &codes}, ranking_, coded_lists(chunk, probers),
                candidates);
    candidates.measure(queries.queries, index_.metric, results);
    for (std::vector<RankedNeighbor>& result : results) keep_first(result, depth);
  });
}

Candidates ListScanner::make_candidates(std::int64_t queries, std::int64_t depth) const {
  return Candidates(queries, depth, ranked() ? ranked()->placed() : PlacedVectors());
}

void ListScanner::rank_probed(const ProbingQueries& queries, const QueryCodes& codes,
                              Candidates& candidates) {
  if (!ranked() || queries.queries.rows == 0) return;
  scan_ranked(*space_, {queries.queries, &codes}, ranking_,
              coded_lists(*ranked(), group_by_list(queries.probes)), candidates);
}

void ListScanner::measure(ConstMatrixView<float> queries, Candidates& candidates,
                          std::span<std::vector<RankedNeighbor>> results) {
  if (!codes_) return candidates.measure(queries, index_.metric, results);
  const std::int64_t threads = thread_count(),
                     each = std::min(kReadBytes, memory_bytes_ / kFreeShare / threads);
  most_loaded_ = std::max(most_loaded_, each * threads);
  const std::int64_t step = std::max<std::int64_t>(1, kMostListed / candidates.depth());
  for (std::int64_t q = 0; q < queries.rows; q += step)
    reader_.measure(*codes_, queries, candidates.list(q, std::min(queries.rows, q + step), results),
                    each, results);
}

std::vector<CodedList> ListScanner::coded_lists(const ListChunk& chunk, const Probers& probers) {
  std::vector<CodedList> lists;
  for (std::size_t i = 0; i < chunk.pieces.size(); ++i) {
    const auto mine = probers_of(probers, chunk.pieces[i].list);
    if (mine.empty()) continue;
    lists.push_back(chunk.coded_list(i, mine));
    compared_ += chunk.pieces[i].wanted * std::ssize(mine);
  }
  return lists;
}

void ListScanner::scan_plain_chunk(ConstMatrixView<float> queries, const ListChunk& chunk,
                                   const Probers& probers, std::span<TopK> results) {
  std::vector<std::vector<std::int64_t>> members;
  members.reserve(chunk.pieces.size());
  std::vector<ListScan> lists;
  for (std::size_t i = 0; i < chunk.pieces.size(); ++i)
    if (const auto mine = probers_of(probers, chunk.pieces[i].list); !mine.empty()) {
      members.emplace_back(mine.begin(), mine.end());
      lists.push_back({chunk.rows_of(i), chunk.ids_of(i), members.back()});
      compared_ += chunk.pieces[i].wanted * std::ssize(mine);
    }
  scan_lists(queries, lists, index_.metric, results);
}

}  // namespace tutti
