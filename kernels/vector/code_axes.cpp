// Training of a code space.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include <cblas.h>

#include "kernels/vector/code_places.h"
#include "kernels/vector/code_space.h"
#include "kernels/vector/scan.h"

// LAPACK's eigenvalues and -vectors of a symmetric matrix, by divide and conquer.
extern "C" void dsyevd_(const char* job, const char* part, const int* n, double* a, const int* lda,
                        double* w, double* work, const int* lwork, int* iwork, const int* liwork,
                        int* info);

namespace tutti {
namespace {

constexpr std::int64_t kMostRotated = 2048;  // dimensions; the axes of more take minutes
constexpr std::int64_t kBlock = 1024;        // rows that the covariance takes at a time
constexpr std::int64_t kTrialQueries = 64;   // of the sample, by which the prefix is chosen
constexpr std::int64_t kTrialVectors = 4096;
constexpr std::int64_t kNearPairs = 1024;  // by which the share of the rest is chosen
constexpr double kNearMissed = 0.005;      // of them, that an estimate may put too far away

constexpr double kSurvivor = 120;  // steps of work of a pair that the prefix leaves, as measured
constexpr double kRoom = 1.05;     // of the caps above what the sample has

// The sample's rows as floats, in the code space's dimensions.
class Sample {
 public:
  Sample(const VectorRows& rows, const CodeAxes& axes) : rows_(rows), axes_(axes) {}

  void copy(std::int64_t index, float* out) const {
    copy_row(rows_, index, out);
    if (axes_.code_dim == axes_.dim) return;
    const double lacking = double(axes_.longest_square) - squared_length(out, axes_.dim);
    out[axes_.dim] = static_cast<float>(std::sqrt(std::max(0.0, lacking)));
  }

 private:
  const VectorRows& rows_;
  const CodeAxes& axes_;
};

float longest_square(const VectorRows& rows) {
  std::vector<float> row(static_cast<std::size_t>(rows.dim));
  double longest = 0;
  for (std::int64_t i = 0; i < rows.count; ++i) {
    copy_row(rows, i, row.data());
    const double sum = squared_length(row.data(), rows.dim);
    if (sum <= kLargestSquare) longest = std::max(longest, sum);
  }
  return static_cast<float>(longest * kRoom);
}

std::vector<double> mean_of(const Sample& sample, std::int64_t rows, std::int64_t dim) {
  std::vector<double> mean(static_cast<std::size_t>(dim));
  std::vector<float> row(mean.size());
  for (std::int64_t i = 0; i < rows; ++i) {
    sample.copy(i, row.data());
    for (std::size_t j = 0; j < row.size(); ++j) mean[j] += row[j];
  }
  for (double& m : mean) m /= double(rows);
  return mean;
}

// The upper triangle, row-major, of the sums of products about the mean.
std::vector<double> covariance(const Sample& sample, std::int64_t rows,
                               const std::vector<double>& mean) {
  const std::size_t dim = mean.size();
  const int n = static_cast<int>(dim);
  std::vector<double> sums(dim * dim), block(static_cast<std::size_t>(kBlock) * dim);
  std::vector<float> row(dim);
  openblas_set_num_threads(1);  // its sums depend on the number
  for (std::int64_t begin = 0; begin < rows; begin += kBlock) {
    const std::int64_t size = std::min(kBlock, rows - begin);
    for (std::int64_t i = 0; i < size; ++i) {
      sample.copy(begin + i, row.data());
      double* to = block.data() + std::size_t(i) * dim;
      for (std::size_t j = 0; j < dim; ++j) to[j] = double(row[j]) - mean[j];
    }
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, n, static_cast<int>(size), 1, block.data(),
                n, 1, sums.data(), n);
  }
  return sums;
}

std::vector<float> unit_axes(std::int64_t dim) {
  std::vector<float> axes(static_cast<std::size_t>(dim * dim));
  for (std::int64_t i = 0; i < dim; ++i) axes[static_cast<std::size_t>(i * dim + i)] = 1;
  return axes;
}

// The principal axes, that of the largest variance first; the unit vectors where there are none.
std::vector<float> principal_axes(std::vector<double> matrix, std::int64_t dim) {
  for (const double product : matrix)
    if (!std::isfinite(product)) return unit_axes(dim);
  const int n = static_cast<int>(dim);
  int size = -1, integers = -1, info = 0;
  double wanted = 0;
  int wanted_integers = 0;
  std::vector<double> values(static_cast<std::size_t>(dim));
  // To Fortran, which reads columns, the upper triangle is the lower.
  dsyevd_("V", "L", &n, matrix.data(), &n, values.data(), &wanted, &size, &wanted_integers,
          &integers, &info);
  size = static_cast<int>(wanted);
  integers = wanted_integers;
  std::vector<double> work(static_cast<std::size_t>(size));
  std::vector<int> integer_work(static_cast<std::size_t>(integers));
  dsyevd_("V", "L", &n, matrix.data(), &n, values.data(), work.data(), &size, integer_work.data(),
          &integers, &info);
  if (info != 0) return unit_axes(dim);
  std::vector<float> axes(matrix.size());
  for (std::int64_t i = 0; i < dim; ++i)  // eigenvalues ascend
    std::copy_n(matrix.begin() + (dim - 1 - i) * dim, dim, axes.begin() + i * dim);
  return axes;
}

// Trial queries and vectors of the sample: squared distances of their codes, and how many of them
// are near enough, by dimension.
class PrefixTrial {
 public:
  PrefixTrial(const CodeSpace& space, const VectorRows& sample)
      : queries_(std::min(kTrialQueries, sample.count)) {
    const std::int64_t vectors = std::min(kTrialVectors, sample.count);
    const std::int64_t stride = sample.count / vectors;
    const VectorRows spread(sample.data, sample.type, vectors, sample.dim, sample.stride * stride);
    const QueryCodes codes = space.encode_queries(spread);
    for (std::int64_t v = 0; v < vectors; ++v) codes_.push_back(codes.code(v));
  }

  // Steps of work a pair, where the first `prefix` dimensions are looked at first: tiles of 16
  // pairs a time, then pair by pair what is left.
  std::vector<double> costs() const {
    const std::int64_t dims = std::ssize(codes_.front()), vectors = std::ssize(codes_);
    std::vector<std::int64_t> left(static_cast<std::size_t>(dims / kStride + 1));
    for (std::int64_t q = 0; q < queries_; ++q) count_left(q, left);
    std::vector<double> costs;
    for (std::int64_t p = kStride; p <= dims; p += kStride) {
      const double share =
          double(left[static_cast<std::size_t>(p / kStride)]) / double(queries_ * vectors);
      costs.push_back((double(p) / 4 + 2) / 16 +
                      (p < dims ? share * (kSurvivor + double(dims - p) / 16) : 0));
    }
    return costs;
  }

  static constexpr std::int64_t kStride = 8;

 private:
  // Adds to left[p / kStride] the vectors that the first p dimensions do not tell from the nearest.
  void count_left(std::int64_t query, std::vector<std::int64_t>& left) const {
    const std::int64_t dims = std::ssize(codes_.front()), vectors = std::ssize(codes_);
    const std::int8_t* code = codes_[static_cast<std::size_t>(query)].data();
    std::vector<std::int32_t> squares(static_cast<std::size_t>(vectors));
    std::vector<std::vector<std::int32_t>> at;
    for (std::int64_t begin = 0; begin < dims; begin += kStride) {
      const std::int64_t end = std::min(dims, begin + kStride);
      for (std::int64_t v = 0; v < vectors; ++v) {
        const std::int8_t* other = codes_[static_cast<std::size_t>(v)].data();
        for (std::int64_t j = begin; j < end; ++j)
          squares[std::size_t(v)] += (code[j] - other[j]) * (code[j] - other[j]);
      }
      at.push_back(squares);
    }
    std::int32_t nearest = std::numeric_limits<std::int32_t>::max();
    for (std::int64_t v = 0; v < vectors; ++v)
      if (v != query) nearest = std::min(nearest, squares[std::size_t(v)]);
    for (std::size_t i = 0; i < at.size() && i + 1 < left.size(); ++i)
      left[i + 1] += std::ranges::count_if(at[i], [&](std::int32_t s) { return s <= nearest; });
  }

  std::int64_t queries_;
  std::vector<std::vector<std::int8_t>> codes_;
};

// The nearest vector of the sample to each query, which is row `stride` times its number, other
// than itself; -1 where there is none.
std::vector<std::int64_t> nearest_others(ConstMatrixView<float> queries, std::int64_t stride,
                                         const VectorRows& sample, Metric metric) {
  std::vector<std::int64_t> everyone(static_cast<std::size_t>(queries.rows));
  std::iota(everyone.begin(), everyone.end(), 0);
  std::vector<TopK> found(everyone.size(), TopK(2));
  const ListScan all{sample, VectorIds(), everyone};
  scan_lists(queries, {&all, 1}, metric, found);
  std::vector<std::int64_t> nearest;
  for (const std::int64_t q : everyone) {
    Neighbor two[2];
    found[static_cast<std::size_t>(q)].write_sorted(two);
    nearest.push_back(two[two[0].id == q * stride].id);
  }
  return nearest;
}

// Of the squared lengths of two codes' rests: their squared distance.
float share_apart(std::span<const std::int8_t> a, std::span<const std::int8_t> b,
                  std::int64_t prefix) {
  std::int64_t lengths = 0, apart = 0;
  for (auto j = static_cast<std::size_t>(prefix); j < a.size(); ++j) {
    lengths += a[j] * a[j] + b[j] * b[j];
    apart += (a[j] - b[j]) * (a[j] - b[j]);
  }
  return lengths > 0 ? static_cast<float>(double(apart) / double(lengths)) : 0;
}

}  // namespace

CodeAxes CodeSpace::train(const VectorRows& sample, Metric metric, bool whole) {
  check_rows(sample, "CodeSpace: sample");
  if (sample.count == 0) throw std::invalid_argument("CodeSpace: an empty sample");
  CodeAxes axes;
  axes.metric = metric;
  axes.dim = sample.dim;
  axes.code_dim = sample.dim + (metric == Metric::inner_product);
  axes.prefix = std::min(axes.code_dim, kLongestPrefix);
  axes.longest_square =
      metric == Metric::l2 ? std::numeric_limits<float>::max() : longest_square(sample);
  const Sample rows(sample, axes);
  const std::vector<double> mean = mean_of(rows, sample.count, axes.code_dim);
  axes.axes = axes.code_dim <= kMostRotated
                  ? principal_axes(covariance(rows, sample.count, mean), axes.code_dim)
                  : unit_axes(axes.code_dim);
  for (std::int64_t i = 0; i < axes.code_dim; ++i) {
    double place = 0;
    for (std::int64_t j = 0; j < axes.code_dim; ++j)
      place += double(axes.axes[std::size_t(i * axes.code_dim + j)]) * mean[std::size_t(j)];
    axes.origin.push_back(static_cast<float>(place));
  }
  choose_steps(axes, sample);
  if (!whole) {
    choose_prefix(axes, sample);
    choose_steps(axes, sample);
  }
  choose_caps(axes, sample);
  choose_rest_share(axes, sample);
  return axes;
}

void CodeSpace::choose_steps(CodeAxes& axes, const VectorRows& sample) {
  const CodeSpace space(axes);
  Places places(space, sample, false);
  float farthest = 0, farthest_rest = 0;
  for (std::int64_t i = 0; i < sample.count; ++i) {
    const Places::Row row = places.next();
    for (std::int64_t j = 0; j < axes.code_dim; ++j) {
      float& far = j < axes.prefix ? farthest : farthest_rest;
      if (std::isfinite(row.place[j])) far = std::max(far, std::abs(row.place[j]));
    }
  }
  constexpr float kSmallestStep = 1e-25f;  // whose square is a normal number in the end
  constexpr float kPerStep = 1.1f / 127;   // with room for what is farther out than the sample
  axes.step = std::max(farthest * kPerStep, kSmallestStep);
  axes.rest_step = std::max(farthest_rest * kPerStep, kSmallestStep);
}

void CodeSpace::choose_prefix(CodeAxes& axes, const VectorRows& sample) {
  const CodeSpace space(axes);
  const std::vector<double> costs = PrefixTrial(space, sample).costs();
  if (costs.empty()) return;
  const auto best = std::ranges::min_element(costs) - costs.begin();
  const std::int64_t prefix = (best + 1) * PrefixTrial::kStride;
  axes.prefix = std::min(prefix, axes.prefix);
}

// By vectors of the sample and the nearest other one of each. In all of the vectors there are
// nearer ones: what then is nearest has about the share that the nearest of a sample has least
// often.
void CodeSpace::choose_rest_share(CodeAxes& axes, const VectorRows& sample) {
  const std::int64_t queries = std::min(kNearPairs, sample.count), stride = sample.count / queries;
  if (sample.count < 2 || axes.prefix == axes.code_dim) return;
  std::vector<float> vectors(static_cast<std::size_t>(queries * axes.dim));
  for (std::int64_t q = 0; q < queries; ++q)
    copy_row(sample, q * stride, vectors.data() + q * axes.dim);
  const ConstMatrixView<float> rows(vectors.data(), queries, axes.dim);
  const std::vector<std::int64_t> nearest = nearest_others(rows, stride, sample, axes.metric);
  const CodeSpace space(axes);
  const QueryCodes codes = space.encode_queries(rows);
  std::vector<std::int8_t> other(static_cast<std::size_t>(axes.code_dim));
  std::vector<float> shares;
  for (std::int64_t q = 0; q < queries; ++q) {
    if (nearest[std::size_t(q)] < 0) continue;
    space.encode_vectors(sample.range(nearest[std::size_t(q)], 1),
                         {other.data(), 1, axes.code_dim});
    if (other[0] == kLoose) continue;
    shares.push_back(share_apart(codes.code(q), other, axes.prefix));
  }
  if (shares.empty()) return;
  const auto missed = shares.begin() + std::ptrdiff_t(kNearMissed * double(shares.size()));
  std::ranges::nth_element(shares, missed);
  axes.rest_share = std::clamp(*missed, 0.0f, 1.0f);
}

void CodeSpace::choose_caps(CodeAxes& axes, const VectorRows& sample) {
  const CodeSpace space(axes);
  std::vector<std::int8_t> code(static_cast<std::size_t>(axes.code_dim));
  Places places(space, sample, false);
  for (std::int64_t i = 0; i < sample.count; ++i) {
    const Places::Row row = places.next();
    const Rounded off = space.round(row.place, row.square, code.data());
    if (!std::isfinite(off.radius)) continue;
    axes.cap = std::max(axes.cap, static_cast<float>(off.radius * kRoom));
    axes.prefix_cap = std::max(axes.prefix_cap, static_cast<float>(off.prefix_radius * kRoom));
  }
}

}  // namespace tutti
