// The index files of the library hnswlib, as its version 0.8 reads them. Little-endian: fields
// without any magic, then the vectors with their edges, one behind the other, then what stands
// above the lowest level of its graph.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tutti {

// A vertex of the levels above the lowest: its edges on the first of these, the next, and so on.
struct HnswlibUpper {
  std::int32_t vertex = 0;
  std::vector<std::vector<std::int32_t>> edges;
};

// Searches begin at the vertex of `upper` that reaches highest, the first of such.
struct HnswlibIndex {
  std::int64_t dimension = 0, count = 0;
  std::int64_t degree = 0;              // places for the edges of a vector on the lowest level
  std::span<const HnswlibUpper> upper;  // ascending
};

// Everything in front of the vectors.
std::string hnswlib_header(const HnswlibIndex& index);

// The next vector: its edges (at most `degree`), whether it is marked as deleted, its numbers, and
// the label that searches give.
struct HnswlibVector {
  std::span<const std::int32_t> edges;
  bool deleted = false;
  std::span<const float> values;
  std::int64_t label = 0;
};
void append_hnswlib_vector(std::string& out, const HnswlibIndex& index,
                           const HnswlibVector& vector);
std::int64_t hnswlib_vector_bytes(const HnswlibIndex& index);

// Everything behind the vectors: the levels above.
std::string hnswlib_upper_levels(const HnswlibIndex& index);

}  // namespace tutti
