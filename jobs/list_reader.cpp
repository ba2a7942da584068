#include "jobs/list_reader.h"

#include <algorithm>

#include "kernels/core/parallel.h"

namespace tutti {
namespace {

constexpr std::int64_t kStretch = 1024;  // entries read at a time to pick some of them
// Vectors that are to be measured are read with what lies between them where that is less than
// this: a read takes as long.
constexpr std::int64_t kGapBytes = 16 << 10;

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

// Parts of ascending rows that one read each is for: few rows between them, and at most `most` from
// the first to the last.
std::vector<Range> cut_into_reads(std::span<const std::int64_t> rows, std::int64_t most,
                                  std::int64_t gap) {
  std::vector<Range> parts;
  const std::int64_t count = std::ssize(rows);
  for (std::int64_t begin = 0, end = 0; begin < count; begin = end) {
    const auto row = [&](std::int64_t i) { return rows[std::size_t(i)]; };
    for (end = begin + 1; end < count; ++end)
      if (row(end) - row(end - 1) > gap || row(end) - row(begin) >= most) break;
    parts.push_back({begin, end});
  }
  return parts;
}

}  // namespace

ListReader::ListReader(const IndexFolder& index, std::optional<EntrySet> wanted)
    : index_(index),
      vector_(index.dataset.column("entries", "vector")),
      id_(index.dataset.column("entries", "id")),
      wanted_(std::move(wanted)) {}

ListChunk ListReader::load(std::span<const ListPiece> pieces) const {
  ListChunk chunk = lay_out(pieces);
  chunk.vectors.grow(chunk.entries() * vector_bytes());
  read_pieces(chunk, 0, pieces.size(), chunk.vectors.data());
  return chunk;
}

ListChunk ListReader::load(Range rows) const {
  const ListPiece piece{0, rows, count(rows)};
  return load({&piece, 1});
}

void ListReader::encode(ListChunk& chunk, const CodeSpace& space) const {
  chunk.codes = CodedVectors(chunk.first_groups.back(), space);
  encode_pieces(chunk, 0, chunk.pieces.size(), chunk.vectors.data(), space);
}

std::optional<ListChunk> ListReader::load_codes(std::span<const ListPiece> pieces,
                                                const CodeSpace& space, CodeParts parts,
                                                std::int64_t buffer_bytes,
                                                std::int64_t loose_bytes) const {
  ListChunk chunk = lay_out(pieces);
  chunk.codes_only = true;
  chunk.codes = CodedVectors(chunk.first_groups.back(), space, parts);
  AlignedBuffer<std::byte> buffer;
  for (std::size_t begin = 0, end = 0; begin < pieces.size(); begin = end) {
    const auto bytes_to = [&](std::size_t piece) {
      return (chunk.first_entries[piece] - chunk.first_entries[begin]) * vector_bytes();
    };
    end = begin + 1;
    while (end < pieces.size() && bytes_to(end + 1) <= buffer_bytes) ++end;
    buffer.grow(std::max(bytes_to(end), std::min(buffer_bytes, bytes_to(pieces.size()))));
    read_pieces(chunk, begin, end, buffer.data());
    encode_pieces(chunk, begin, end, buffer.data(), space);
    keep_loose(chunk, begin, end, buffer.data());
    if (std::ssize(chunk.loose_vectors) > loose_bytes) return std::nullopt;
  }
  chunk.loose = {VectorRows(chunk.loose_vectors.data(), index_.storage,
                            std::ssize(chunk.loose_places), index_.dim, index_.dim),
                 chunk.loose_places};
  return chunk;
}

ListChunk ListReader::lay_out(std::span<const ListPiece> pieces) const {
  ListChunk chunk;
  chunk.storage = index_.storage;
  chunk.dim = index_.dim;
  chunk.pieces.assign(pieces.begin(), pieces.end());
  chunk.first_entries.assign(1, 0);
  chunk.first_groups.assign(1, 0);
  for (const ListPiece& piece : pieces) {
    chunk.first_entries.push_back(chunk.first_entries.back() + piece.wanted);
    chunk.first_groups.push_back(chunk.first_groups.back() + piece.groups());
  }
  chunk.ids.resize(std::size_t(chunk.entries()));
  return chunk;
}

// Reads vectors of pieces [begin, end), and their ids to where they belong. Pieces that stand one
// behind the other in the file are read at once.
void ListReader::read_pieces(ListChunk& chunk, std::size_t begin, std::size_t end,
                             std::byte* vectors) const {
  const std::int64_t first = chunk.first_entries[begin];
  for (std::size_t i = begin, next = begin; i < end; i = next) {
    Range rows = chunk.pieces[i].entries;
    for (next = i + 1; next < end && chunk.pieces[next].entries.begin == rows.end; ++next)
      rows.end = chunk.pieces[next].entries.end;
    const std::int64_t at = chunk.first_entries[i], size = chunk.first_entries[next] - at;
    read_entries(rows, vectors + (at - first) * vector_bytes(),
                 std::span(chunk.ids).subspan(std::size_t(at), std::size_t(size)));
  }
}

// Reads those of `rows` that are wanted.
void ListReader::read_entries(Range rows, std::byte* vectors, std::span<std::int64_t> ids) const {
  if (!wanted_) {
    read_vectors(index_.dataset, vector_, rows, vectors);
    return index_.dataset.read(id_, rows.begin, rows.size(), ids);
  }
  AlignedBuffer<std::byte> all(std::min(kStretch, rows.size()) * vector_bytes());
  std::vector<std::int64_t> all_ids;
  std::size_t at = 0;
  for (std::int64_t begin = rows.begin; begin < rows.end; begin += kStretch) {
    const Range stretch{begin, std::min(rows.end, begin + kStretch)};
    if (wanted_->count(stretch) == 0) continue;
    all_ids.resize(std::size_t(stretch.size()));
    read_vectors(index_.dataset, vector_, stretch, all.data());
    index_.dataset.read(id_, stretch.begin, stretch.size(), std::span(all_ids));
    for (std::int64_t i = 0; i < stretch.size(); ++i) {
      if (!wanted_->contains(stretch.begin + i)) continue;
      std::copy_n(all.data() + i * vector_bytes(), vector_bytes(),
                  vectors + std::int64_t(at) * vector_bytes());
      ids[at++] = all_ids[std::size_t(i)];
    }
  }
}

// Those of pieces [begin, end).
void ListReader::encode_pieces(ListChunk& chunk, std::size_t begin, std::size_t end,
                               const std::byte* vectors, const CodeSpace& space) const {
  const std::int64_t first = chunk.first_entries[begin];
  parallel_for_dynamic(std::int64_t(end - begin), [&](std::int64_t i) {
    const std::size_t piece = begin + std::size_t(i);
    const std::int64_t at = chunk.first_entries[piece], count = chunk.first_entries[piece + 1] - at;
    const VectorRows rows(vectors + (at - first) * vector_bytes(), index_.storage, count,
                          index_.dim, index_.dim);
    std::vector<std::int8_t> codes(std::size_t(count * space.code_dim()));
    const MatrixView<std::int8_t> view(codes.data(), count, space.code_dim());
    space.encode_vectors(rows, view);
    chunk.codes.put(chunk.first_groups[piece], view);
  });
}

// Those of pieces [begin, end).
void ListReader::keep_loose(ListChunk& chunk, std::size_t begin, std::size_t end,
                            const std::byte* vectors) const {
  const std::int64_t first = chunk.first_entries[begin];
  for (std::size_t piece = begin; piece < end; ++piece) {
    const std::int64_t from = chunk.first_entries[piece],
                       coded = chunk.first_groups[piece] * CodedVectors::kLanes;
    for (std::int64_t at = from; at < chunk.first_entries[piece + 1]; ++at) {
      if (!chunk.codes.is_loose(coded + at - from)) continue;
      const std::byte* vector = vectors + (at - first) * vector_bytes();
      chunk.loose_places.push_back(static_cast<std::int32_t>(at));
      chunk.loose_vectors.insert(chunk.loose_vectors.end(), vector, vector + vector_bytes());
    }
  }
}

void ListReader::measure(const ListChunk& chunk, ConstMatrixView<float> queries,
                         std::span<const ListedCandidate> listed, std::int64_t read_bytes,
                         std::span<std::vector<RankedNeighbor>> found) const {
  const std::int64_t most = std::max<std::int64_t>(1, read_bytes / vector_bytes());
  const std::vector<std::int64_t> rows = rows_of(chunk, listed);
  const std::vector<Range> reads = cut_into_reads(rows, most, kGapBytes / vector_bytes() + 1);
  std::vector<AlignedBuffer<std::byte>> buffers(static_cast<std::size_t>(thread_count()));
  parallel_for_dynamic(std::ssize(reads), [&](std::int64_t i) {
    const auto begin = std::size_t(reads[std::size_t(i)].begin),
               size = std::size_t(reads[std::size_t(i)].size());
    const Range stretch{rows[begin], rows[begin + size - 1] + 1};
    AlignedBuffer<std::byte>& buffer = buffers[std::size_t(thread_index())];
    buffer.grow(most * vector_bytes());
    read_vectors(index_.dataset, vector_, stretch, buffer.data());
    std::vector<std::int64_t> in_buffer(rows.begin() + std::ptrdiff_t(begin),
                                        rows.begin() + std::ptrdiff_t(begin + size));
    for (std::int64_t& row : in_buffer) row -= stretch.begin;
    measure_listed(queries, index_.metric,
                   {buffer.data(), index_.storage, stretch.size(), index_.dim, index_.dim},
                   listed.subspan(begin, size), in_buffer, found);
  });
}

// The rows of `entries` of candidates, in ascending order of place.
std::vector<std::int64_t> ListReader::rows_of(const ListChunk& chunk,
                                              std::span<const ListedCandidate> listed) const {
  std::vector<std::int64_t> rows;
  rows.reserve(listed.size());
  std::size_t piece = 0;
  for (const ListedCandidate& c : listed) {
    while (c.place >= chunk.first_entries[piece + 1]) ++piece;
    const std::int64_t n = c.place - chunk.first_entries[piece];
    const Range entries = chunk.pieces[piece].entries;
    rows.push_back(wanted_ ? wanted_->nth(entries, n) : entries.begin + n);
  }
  return rows;
}

}  // namespace tutti
