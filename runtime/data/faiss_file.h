// The index files of the library faiss, as far as we write them: flat, and inverted lists of whole
// vectors or of codes of product quantisation. Little-endian; a list of numbers is a u64 count and
// the numbers.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace tutti {

struct FaissIndex {
  std::int64_t dimension = 0, count = 0;
  bool inner_product = false;  // else the squared Euclidean distance
};

// Everything in front of the vectors of a flat index (IxF2, IxFI), which are count * dimension f32,
// row-major.
std::string faiss_flat_header(const FaissIndex& index);

// Everything in front of the lists of an index of inverted lists (IwFl): `centroids` row-major, one
// a list, `nprobe` what it is searched with unless another is set, `sizes` those of the lists. Each
// list that is not empty follows as its vectors, f32, then its ids, i64.
std::string faiss_lists_header(const FaissIndex& index, std::span<const float> centroids,
                               std::int64_t nprobe, std::span<const std::int64_t> sizes);

// What codes of product quantisation mean: a byte for each of `parts` parts of a vector's residual,
// which is the vector less its list's centroid.
struct FaissCodes {
  std::int64_t parts = 0;
  std::span<const float> codewords;  // row-major [parts, 256, dimension / parts]
};

// The same of an index of codes (IwPQ); each list that is not empty follows as its codes, `parts`
// bytes each, then its ids, i64.
std::string faiss_codes_header(const FaissIndex& index, std::span<const float> centroids,
                               std::int64_t nprobe, const FaissCodes& codes,
                               std::span<const std::int64_t> sizes);

}  // namespace tutti
