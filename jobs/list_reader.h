// Reads parts of inverted lists from an index's shards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "jobs/entry_set.h"
#include "jobs/index_folder.h"
#include "jobs/list_chunk.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/candidates.h"
#include "kernels/vector/code_space.h"
#include "runtime/comm/partition.h"

namespace tutti {

// Reads an index's entries, all of them or those that are wanted. What is read is verified. Local;
// throws Error(data) naming file and block where the index is damaged.
class ListReader {
 public:
  // The index must outlive it.
  ListReader(const IndexFolder& index, std::optional<EntrySet> wanted);

  // How many of `rows` are wanted.
  std::int64_t count(Range rows) const { return wanted_ ? wanted_->count(rows) : rows.size(); }

  // Vectors and ids.
  ListChunk load(std::span<const ListPiece> pieces) const;
  // The same of rows of the table `entries`, whatever their lists.
  ListChunk load(Range rows) const;
  // Adds whole codes in `space`.
  void encode(ListChunk& chunk, const CodeSpace& space) const;

  // Ids, parts of the codes and loose vectors; the others are in memory while their codes are made,
  // up to `buffer_bytes` of them, or one piece. Nothing where loose ones take more than
  // `loose_bytes`.
  std::optional<ListChunk> load_codes(std::span<const ListPiece> pieces, const CodeSpace& space,
                                      CodeParts parts, std::int64_t buffer_bytes,
                                      std::int64_t loose_bytes) const;

  // Sets the distances of what Candidates::list named of such a chunk, whose vectors are read from
  // the shards in stretches of up to `read_bytes` a thread, or one vector. They were verified when
  // their codes were made, and are not again. Parallel.
  void measure(const ListChunk& chunk, ConstMatrixView<float> queries,
               std::span<const ListedCandidate> listed, std::int64_t read_bytes,
               std::span<std::vector<RankedNeighbor>> found) const;

 private:
  std::int64_t vector_bytes() const { return index_.dim * std::int64_t(size_of(index_.storage)); }
  ListChunk lay_out(std::span<const ListPiece> pieces) const;
  void read_pieces(ListChunk& chunk, std::size_t begin, std::size_t end, std::byte* vectors) const;
  void read_entries(Range rows, std::byte* vectors, std::span<std::int64_t> ids) const;
  void encode_pieces(ListChunk& chunk, std::size_t begin, std::size_t end, const std::byte* vectors,
                     const CodeSpace& space) const;
  void keep_loose(ListChunk& chunk, std::size_t begin, std::size_t end,
                  const std::byte* vectors) const;
  std::vector<std::int64_t> rows_of(const ListChunk& chunk,
                                    std::span<const ListedCandidate> listed) const;

  const IndexFolder& index_;
  Dataset::Column vector_, id_;
  std::optional<EntrySet> wanted_;
};

}  // namespace tutti
