#include "kernels/vector/code_tile_kernel.h"

namespace tutti {
namespace {

// Plain loops, which define what the others compute.
struct GenericLanes {
  static constexpr int kWidth = 16;
  static constexpr std::uint64_t kAll = (1 << kWidth) - 1;
  static constexpr int kMaxGroups = 1;
  static constexpr int kMaxQueries = 1;

  std::int32_t r[kWidth];

  TUTTI_INLINE static GenericLanes load(const void* from) {
    GenericLanes a;
    __builtin_memcpy(a.r, from, sizeof(a.r));
    return a;
  }
  TUTTI_INLINE static GenericLanes broadcast(const void* four) {
    GenericLanes a;
    for (std::int32_t& x : a.r) __builtin_memcpy(&x, four, 4);
    return a;
  }
  TUTTI_INLINE static GenericLanes subtract(const GenericLanes& a, const GenericLanes& b) {
    GenericLanes c;
    for (int i = 0; i < kWidth; ++i) c.r[i] = a.r[i] - b.r[i];
    return c;
  }
  TUTTI_INLINE static GenericLanes both(const GenericLanes& a, const GenericLanes& b) {
    GenericLanes c;
    for (int i = 0; i < kWidth; ++i) c.r[i] = a.r[i] & b.r[i];
    return c;
  }
  TUTTI_INLINE static GenericLanes multiply_add(GenericLanes sum, const GenericLanes& vectors,
                                                const GenericLanes& query) {
    std::uint8_t v[4 * kWidth];
    std::int8_t q[4 * kWidth];
    __builtin_memcpy(v, vectors.r, sizeof(v));
    __builtin_memcpy(q, query.r, sizeof(q));
    for (int i = 0; i < 4 * kWidth; ++i) sum.r[i / 4] += v[i] * q[i];
    return sum;
  }
  TUTTI_INLINE void store(std::int32_t* to) const { __builtin_memcpy(to, r, sizeof(r)); }
  TUTTI_INLINE std::uint64_t negative() const {
    std::uint64_t bits = 0;
    for (int i = 0; i < kWidth; ++i) bits |= std::uint64_t{r[i] < 0} << i;
    return bits;
  }

  static constexpr int kDots = 1;
  TUTTI_INLINE static void dots(const std::uint8_t* const* vectors,
                                const std::int8_t* const* queries, std::int64_t count,
                                std::int32_t* products) {
    std::int32_t sum = 0;
    for (std::int64_t j = 0; j < count; ++j) sum += vectors[0][j] * queries[0][j];
    *products = sum;
  }

  TUTTI_INLINE static std::size_t collect(const std::int32_t* values, std::int32_t least,
                                          std::int32_t first, std::int32_t* places) {
    return collect_16(values, least, first, places);
  }
  TUTTI_INLINE static std::size_t count(const std::int32_t* values, std::size_t size,
                                        std::int32_t least) {
    return count_plainly(values, size, least);
  }
};

}  // namespace

constexpr CodeKernels kCodesGeneric = code_kernels_of<GenericLanes>("generic");

}  // namespace tutti
