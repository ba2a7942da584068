#include "kernels/vector/code_places.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <cblas.h>

namespace tutti {

CodeSpace::Places::Places(const CodeSpace& space, const VectorRows& rows, bool queries)
    : space_(space),
      rows_(rows),
      queries_(queries),
      width_(space.packed_.groups() * kTileLanes),
      packed_(space.axes_.code_dim * kTileQueries),
      values_(kTileQueries * kTileVectors),
      places_(width_ * kTileQueries),
      row_(static_cast<std::size_t>(space.axes_.code_dim)) {}

CodeSpace::Places::Row CodeSpace::Places::next() {
  const std::int64_t slot = next_ % kTileQueries;
  if (slot == 0) {
    pack_rows();
    find_places();
  }
  ++next_;
  return {squares_[slot], places_.data() + slot * width_};
}

void CodeSpace::Places::pack_rows() {
  const CodeAxes& axes = space_.axes_;
  const std::int64_t present = std::min<std::int64_t>(kTileQueries, rows_.count - next_);
  for (std::int64_t i = 0; i < present; ++i) {
    copy_row(rows_, next_ + i, row_.data());
    const double square = squares_[i] = squared_length(row_.data(), axes.dim);
    if (axes.code_dim > axes.dim) {
      const double lacking = queries_ ? 0 : double(axes.longest_square) - square;
      row_.back() = static_cast<float>(std::sqrt(std::max(0.0, lacking)));
    }
    for (std::int64_t j = 0; j < axes.code_dim; ++j)
      packed_[j * kTileQueries + i] = row_[static_cast<std::size_t>(j)];
  }
}

void CodeSpace::Places::find_places() {
  const TileKernels& kernels = *available_tile_kernels().front();
  const PackedVectors& axes = space_.packed_;
  alignas(64) float origin[kTileVectors];
  float limits[kTileQueries];
  std::fill_n(limits, kTileQueries, -std::numeric_limits<float>::infinity());
  std::uint64_t marks[kTileQueries];
  for (std::int64_t group = 0; group < axes.groups(); group += kTileGroups) {
    const std::int64_t groups = std::min<std::int64_t>(kTileGroups, axes.groups() - group);
    std::copy_n(space_.padded_.begin() + group * kTileLanes, groups * kTileLanes, origin);
    const TileTask task{axes.group(group), packed_.data(), axes.dim(), origin, limits,
                        values_.data(),    marks};
    kernels.bias_minus_dot[groups - 1][3](task);
    for (std::int64_t i = 0; i < kTileQueries; ++i)
      std::copy_n(values_.data() + i * kTileVectors, groups * kTileLanes,
                  places_.data() + i * width_ + group * kTileLanes);
  }
}

double skewness(const std::vector<float>& axes, std::int64_t count) {
  const std::vector<double> rows(axes.begin(), axes.end());
  std::vector<double> products(rows.size());
  const int n = static_cast<int>(count);
  openblas_set_num_threads(1);
  cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, n, n, 1, rows.data(), n, 0, products.data(),
              n);
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t j = i; j < count; ++j) {
      const double off = products[std::size_t(i * count + j)] - (i == j ? 1 : 0);
      sum += (i == j ? 1 : 2) * off * off;
    }
  return std::sqrt(sum);
}

}  // namespace tutti
