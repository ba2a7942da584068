#include "jobs/list_chunk.h"

namespace tutti {

std::int64_t ListChunk::bytes() const {
  return vectors.size() + std::ssize(ids) * std::int64_t(sizeof(ids[0])) + codes.bytes() +
         std::ssize(loose_vectors) + std::ssize(loose_places) * std::int64_t(sizeof(std::int32_t));
}

PlacedVectors ListChunk::placed() const {
  return {VectorRows(vectors.data(), storage, codes_only ? 0 : entries(), dim, dim), ids};
}

VectorRows ListChunk::rows_of(std::size_t piece) const {
  const std::int64_t begin = first_entries[piece], count = first_entries[piece + 1] - begin;
  if (codes_only) return {nullptr, storage, count, dim, dim};
  return placed().rows.range(begin, count);
}

VectorIds ListChunk::ids_of(std::size_t piece) const {
  const std::int64_t begin = first_entries[piece];
  return VectorIds(ids).range(begin, first_entries[piece + 1] - begin);
}

CodedList ListChunk::coded_list(std::size_t piece, std::span<const std::int32_t> queries) const {
  return {&codes,
          first_groups[piece],
          rows_of(piece),
          ids_of(piece),
          queries,
          first_entries[piece],
          codes_only ? &loose : nullptr};
}

}  // namespace tutti
