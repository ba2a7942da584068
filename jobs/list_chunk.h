// Parts of inverted lists in memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/candidates.h"
#include "kernels/vector/coded_scan.h"
#include "runtime/comm/partition.h"

namespace tutti {

// Part of a list: rows of the table `entries` over all shards, and how many of them are wanted.
struct ListPiece {
  std::int64_t list = 0;
  Range entries;
  std::int64_t wanted = 0;

  std::int64_t groups() const { return CodedVectors::groups_of(wanted); }
};

// The wanted entries of pieces: their ids, their vectors or only loose ones, and perhaps codes. An
// entry's place is its number among them.
struct ListChunk {
  DType storage = DType::f32;
  std::int64_t dim = 0;
  std::vector<ListPiece> pieces;
  std::vector<std::int64_t> first_entries, first_groups;  // of each piece, and behind the last
  bool codes_only = false;
  AlignedBuffer<std::byte> vectors;  // none where there are codes only
  std::vector<std::int64_t> ids;
  CodedVectors codes;
  std::vector<std::byte> loose_vectors;  // where there are codes only
  std::vector<std::int32_t> loose_places;
  LooseVectors loose;  // both

  std::int64_t entries() const { return first_entries.back(); }
  std::int64_t bytes() const;
  // Vectors with their ids; only the ids where there are codes only.
  PlacedVectors placed() const;
  // What a scan of a piece's codes takes.
  CodedList coded_list(std::size_t piece, std::span<const std::int32_t> queries) const;
  VectorRows rows_of(std::size_t piece) const;
  VectorIds ids_of(std::size_t piece) const;
};

}  // namespace tutti
