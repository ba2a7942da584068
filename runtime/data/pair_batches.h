// Pairs of vectors, batch by batch in files of their own, until all of them are merged.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

namespace tutti {

// Ids a < b, and how far the vectors are apart.
struct VectorPair {
  std::int64_t a = 0, b = 0;
  float distance = 0;
  std::uint32_t reserved = 0;

  friend bool operator==(const VectorPair&, const VectorPair&) = default;
};

// By (a, b).
inline bool pair_before(const VectorPair& x, const VectorPair& y) {
  return x.a != y.a ? x.a < y.a : x.b < y.b;
}

// A batch's pairs, sorted by (a, b), as a file that is there when it is whole. Local; throws
// Error(io).
void write_pair_batch(const std::filesystem::path& path, std::span<const VectorPair> pairs);

// Hands all pairs of these files to `take`, in order of (a, b), each once, though several files
// have it. Buffers take up to `memory_bytes`, or a page a file. Local. Throws Error(io), with
// nothing taken to be believed, where a file is damaged; that file is removed, so that a later
// start makes it again.
void merge_pair_batches(std::span<const std::filesystem::path> paths, std::int64_t memory_bytes,
                        const std::function<void(const VectorPair&)>& take);

}  // namespace tutti
