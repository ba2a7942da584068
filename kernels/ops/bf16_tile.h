// Products of bf16 with sums in f32, in register tiles of AVX512_BF16. Private to the products that
// are made of it; all of it runs on processors with these instructions only.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace tutti::avx512_bf16 {

// How the right operand B, [inner, outer], is packed: in panels of up to 48 columns. A panel holds,
// for each two rows of B, the pairs of its columns side by side. Columns behind the last of B, and
// a row behind an odd last one, are zero.
class PairPanels {
 public:
  static constexpr std::int64_t kLanes = 16;

  PairPanels(std::int64_t inner, std::int64_t outer)
      : pairs_((inner + 1) / 2), outer_(outer), vectors_((outer + kLanes - 1) / kLanes) {}

  std::int64_t pairs() const { return pairs_; }
  std::int64_t elements() const { return 2 * kLanes * vectors_ * pairs_; }
  // Panels of three vectors, the last ones of two: one alone would keep too few sums in flight.
  std::int64_t count() const { return (vectors_ + 2) / 3; }
  std::int64_t first(std::int64_t panel) const { return kLanes * first_vector(panel); }
  std::int64_t cols(std::int64_t panel) const {
    const std::int64_t end = first(panel + 1);
    return (end < outer_ ? end : outer_) - first(panel);
  }
  int vectors(std::int64_t panel) const {
    return static_cast<int>(first_vector(panel + 1) - first_vector(panel));
  }
  // Where the panel's rows from pair `pair` on stand, in elements.
  std::int64_t offset(std::int64_t panel, std::int64_t pair) const {
    return 2 * kLanes * (first_vector(panel) * pairs_ + pair * vectors(panel));
  }

 private:
  std::int64_t first_vector(std::int64_t panel) const {
    const std::int64_t from_end = vectors_ - 2 * (count() - panel);
    return from_end < 0 ? 0 : (3 * panel < from_end ? 3 * panel : from_end);
  }

  std::int64_t pairs_, outer_, vectors_;
};

// A matrix, as it is given: rows `row` elements apart or, where row is 1, columns `col` apart.
template <class T>
struct Operand {
  const T* data;
  std::int64_t row, col;
};

// Packs one panel of B, of type float or bf16, to `packed`, where that panel begins.
template <class T>
void pack_panel(const PairPanels& panels, std::int64_t panel, Operand<T> b, std::int64_t inner,
                bf16* packed);

// Rows of a tile. A left operand whose columns are contiguous, not its rows, is packed in panels of
// so many of its rows, pair by pair.
inline constexpr std::int64_t kTileRows = 8;
std::int64_t packed_rows_elements(std::int64_t rows, std::int64_t inner);
void pack_rows(Operand<bf16> a, std::int64_t rows, std::int64_t inner, bf16* packed);

// Memory that is needed soon: `rows` rows of `bytes` bytes.
struct Ahead {
  const void* data = nullptr;
  std::int64_t stride = 0;  // in bytes
  std::int64_t rows = 0;
  std::int64_t bytes = 0;
};

struct PanelProduct {
  const bf16* a;
  std::int64_t a_row;  // elements between rows, where they are not packed
  bool a_packed;
  const bf16* b;  // a packed panel, from a pair on
  int vectors;    // of that panel
  float* c;
  std::int64_t c_row;
  std::int64_t rows, cols, inner;
  bool accumulate;
  Ahead ahead;  // fetched meanwhile
};

// C[rows, cols] = or += A B for one panel of B.
void multiply_panel(const PanelProduct& product);

}  // namespace tutti::avx512_bf16
