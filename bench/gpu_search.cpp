// Claims about vector search on a GPU: 10 million vectors of 128 dimensions in its memory, batches
// of 10,000 queries, the 10 nearest, from queries in the host's memory to neighbours there.
//
//   gpu.search.exact.peak  the operations of all distances of an exact search a second, against
//                          those of cuBLASLt's large bf16 products
//   gpu.search.ivf_95      a search in lists at recall 0.95, the nearest centroids included,
//   against
//                          the exact one
//
//   bench_gpu_search [VECTORS [QUERIES [LISTS]]]
//
// Other sizes than these are for trials.
// The vectors are the CPU benchmark's: cosines of 16 normals mixed, and a little noise.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/claim.h"
#include "kernels/core/arena.h"
#include "kernels/core/parallel.h"
#include "kernels/core/random.h"
#include "kernels/vector/kmeans.h"
#include "runtime/base/error.h"
#include "runtime/device/device_library.h"

namespace tutti::bench {
namespace {

constexpr std::int64_t kDim = 128, kFactors = 16, kK = 10;
constexpr std::int64_t kSampleOfList = 128, kIterations = 8;
constexpr std::int64_t kMostJudged = 2000;  // queries whose recall is measured
constexpr int kRounds = 5;

struct Sizes {
  std::int64_t vectors = 10'000'000, queries = 10'000, lists = 4096;
};

const char* const kClaims[] = {"gpu.search.exact.peak", "gpu.search.ivf_95"};

class Generator {
 public:
  Generator() {
    for (std::int64_t j = 0; j < kDim; ++j) {
      shifts_.push_back(float(2 * M_PI * random_uniform(1, 0, std::uint64_t(j))));
      for (std::int64_t i = 0; i < kFactors; ++i)
        weights_.push_back(float(0.2 * random_normal(1, 1, std::uint64_t(j * kFactors + i))));
    }
  }
  void make(std::uint64_t number, float* vector) const {
    float factors[kFactors];
    for (std::int64_t i = 0; i < kFactors; ++i)
      factors[i] = float(random_normal(2, number, std::uint64_t(i)));
    for (std::int64_t j = 0; j < kDim; ++j) {
      float sum = shifts_[std::size_t(j)];
      for (std::int64_t i = 0; i < kFactors; ++i)
        sum += weights_[std::size_t(j * kFactors + i)] * factors[i];
      const double noise = random_normal(3, number, std::uint64_t(j));
      vector[j] = std::cos(sum) + float(0.05 * noise);
    }
  }

 private:
  std::vector<float> shifts_, weights_;
};

// Rows in one piece of memory.
struct Vectors {
  AlignedBuffer<float> values;
  std::int64_t rows = 0;

  explicit Vectors(std::int64_t count) : rows(count) { values.grow(count * kDim); }
  float* row(std::int64_t i) { return values.data() + i * kDim; }
  ConstMatrixView<float> view() const { return {values.data(), rows, kDim}; }
};

Vectors generated(std::int64_t count, std::int64_t first) {
  const Generator generator;
  Vectors vectors(count);
  parallel_for(count,
               [&](std::int64_t i) { generator.make(std::uint64_t(first + i), vectors.row(i)); });
  return vectors;
}

std::vector<TopK> accumulators(std::int64_t queries) {
  return std::vector<TopK>(std::size_t(queries), TopK(kK));
}

double recall(const std::vector<TopK>& found, const std::vector<TopK>& truth) {
  std::int64_t common = 0, all = 0;
  for (std::size_t q = 0; q < found.size(); ++q) {
    std::vector<std::int64_t> a, b, both;
    for (const Neighbor& n : found[q].sorted()) a.push_back(n.id);
    for (const Neighbor& n : truth[q].sorted()) b.push_back(n.id);
    std::ranges::sort(a);
    std::ranges::sort(b);
    std::ranges::set_intersection(a, b, std::back_inserter(both));
    common += std::ssize(both);
    all += std::ssize(b);
  }
  return double(common) / double(all);
}

// Every so many vectors, in Lloyd's iterations.
std::vector<float> trained(DeviceScan& device, Vectors& vectors, std::int64_t lists) {
  const std::int64_t sample = std::min(vectors.rows, lists * kSampleOfList),
                     step = vectors.rows / sample;
  const ConstMatrixView<float> rows(vectors.values.data(), sample, kDim, kDim * step);
  std::vector<float> centroids;
  for (std::int64_t c = 0; c < lists; ++c) {
    const float* row = rows.row(c * sample / lists);
    centroids.insert(centroids.end(), row, row + kDim);
  }
  std::vector<Neighbor> nearest(static_cast<std::size_t>(sample));
  for (std::int64_t i = 0; i < kIterations; ++i) {
    device.assign_probes(rows, {centroids.data(), lists, kDim}, Metric::l2,
                         {nearest.data(), sample, 1});
    std::vector<float> sums(centroids.size());
    std::vector<std::int64_t> counts(static_cast<std::size_t>(lists));
    kmeans_accumulate(VectorRows(rows), nearest, MatrixView<float>(sums.data(), lists, kDim),
                      counts);
    kmeans_update(MatrixView<const float>(sums.data(), lists, kDim), counts, false,
                  MatrixView<float>(centroids.data(), lists, kDim));
  }
  return centroids;
}

// Vectors list by list, where lists begin, and which vector stands where.
struct Lists {
  Vectors vectors;
  std::vector<std::int64_t> starts, ids;
};

Lists sorted_by_list(DeviceScan& device, Vectors& vectors, const std::vector<float>& centroids) {
  const std::int64_t count = std::ssize(centroids) / kDim;
  std::vector<Neighbor> nearest(static_cast<std::size_t>(vectors.rows));
  device.assign_probes(vectors.view(), {centroids.data(), count, kDim}, Metric::l2,
                       {nearest.data(), vectors.rows, 1});
  Lists lists{Vectors(vectors.rows), std::vector<std::int64_t>(std::size_t(count) + 1),
              std::vector<std::int64_t>(nearest.size())};
  for (const Neighbor& n : nearest) ++lists.starts[std::size_t(n.id) + 1];
  std::partial_sum(lists.starts.begin(), lists.starts.end(), lists.starts.begin());
  std::vector<std::int64_t> next(lists.starts);
  for (std::size_t i = 0; i < nearest.size(); ++i)
    lists.ids[std::size_t(next[std::size_t(nearest[i].id)]++)] = std::int64_t(i);
  parallel_for(vectors.rows, [&](std::int64_t i) {
    std::copy_n(vectors.row(lists.ids[std::size_t(i)]), kDim, lists.vectors.row(i));
  });
  return lists;
}

class Search {
 public:
  Search(DeviceSession& session, const Sizes& sizes)
      : session_(session),
        sizes_(sizes),
        device_(session.make_scan()),
        vectors_(generated(sizes.vectors, 0)),
        queries_(generated(sizes.queries, sizes.vectors)) {}

  void run() {
    if (!device_->hold(VectorRows(vectors_.view()), 0, Metric::l2)) {
      for (const char* claim : kClaims) print_skipped(claim, "the vectors do not fit the device");
      return;
    }
    const double exact = measure_exact();
    measure_lists(exact);
  }

 private:
  std::vector<TopK> exact(std::int64_t queries) {
    auto found = accumulators(queries);
    scan(*device_, queries_.view().row_range(0, queries), VectorRows(vectors_.view()), 0,
         Metric::l2, found);
    return found;
  }

  double measure_exact() {
    truth_ = exact(sizes_.queries);
    std::vector<double> times, shares;
    for (int i = 0; i < kRounds; ++i) {
      const double peak = session_.product_rate(DType::bf16);
      times.push_back(seconds([&] { exact(sizes_.queries); }));
      const double rate =
          2.0 * double(sizes_.queries) * double(vectors_.rows) * double(kDim) / times.back();
      shares.push_back(rate / peak);
      best_peak_ = std::max(best_peak_, peak);
    }
    const double time = median(times);
    print_claim(
        kClaims[0], median(shares), 0.4,
        fmt::format("{:.0f} queries/s over {} vectors, {:.0f} TFLOP/s; product {:.0f} "
                    "TFLOP/s; first queries equal the CPU's: {}",
                    double(sizes_.queries) / time, vectors_.rows,
                    2e-12 * double(sizes_.queries) * double(vectors_.rows) * double(kDim) / time,
                    best_peak_ * 1e-12, equals_cpu() ? "yes" : "NO"));
    return time;
  }

  bool equals_cpu() {
    const std::int64_t compared = std::min<std::int64_t>(16, sizes_.queries);
    auto expected = accumulators(compared);
    scan(queries_.view().row_range(0, compared), VectorRows(vectors_.view()), 0, Metric::l2,
         expected);
    for (std::size_t q = 0; q < expected.size(); ++q)
      if (expected[q].sorted() != truth_[q].sorted()) return false;
    return true;
  }

  std::vector<TopK> probe(std::int64_t queries, std::int64_t nprobe) {
    const ConstMatrixView<float> rows = queries_.view().row_range(0, queries);
    std::vector<Neighbor> nearest(std::size_t(queries * nprobe));
    device_->assign_probes(rows, {centroids_.data(), sizes_.lists, kDim}, Metric::l2,
                           {nearest.data(), queries, nprobe});
    std::vector<std::int32_t> probes(nearest.size());
    std::ranges::transform(nearest, probes.begin(),
                           [](const Neighbor& n) { return std::int32_t(n.id); });
    auto found = accumulators(queries);
    device_->scan_probed(rows, {probes.data(), queries, nprobe}, found);
    return found;
  }

  void measure_lists(double exact_time) {
    centroids_ = trained(*device_, vectors_, sizes_.lists);
    const Lists lists = sorted_by_list(*device_, vectors_, centroids_);
    if (!device_->hold(VectorRows(lists.vectors.view()), lists.ids, Metric::l2)) {
      print_skipped(kClaims[1], "the vectors do not fit the device");
      return;
    }
    device_->hold_lists(lists.starts);
    const std::int64_t judged = std::min(kMostJudged, sizes_.queries);
    truth_.resize(std::size_t(judged), TopK(kK));
    const std::int64_t most = std::min(sizes_.lists, DeviceScan::kMostNeighbors);
    std::int64_t nprobe = std::min<std::int64_t>(4, most);
    double reached = recall(probe(judged, nprobe), truth_);
    while (reached < 0.95 && nprobe < most) {
      nprobe = std::min(most, nprobe + std::max<std::int64_t>(1, nprobe / 4));
      reached = recall(probe(judged, nprobe), truth_);
    }
    (void)probe(sizes_.queries, nprobe);
    std::vector<double> times;
    for (int i = 0; i < kRounds; ++i)
      times.push_back(seconds([&] { (void)probe(sizes_.queries, nprobe); }));
    const double time = median(times);
    print_claim(kClaims[1], exact_time / time, 20,
                fmt::format("{:.0f} queries/s at recall {:.4f}, {} of {} lists; exact {:.0f}",
                            double(sizes_.queries) / time, reached, nprobe, sizes_.lists,
                            double(sizes_.queries) / exact_time));
  }

  DeviceSession& session_;
  const Sizes sizes_;
  std::unique_ptr<DeviceScan> device_;
  Vectors vectors_, queries_;
  std::vector<TopK> truth_;
  std::vector<float> centroids_;
  double best_peak_ = 0;
};

int run(int argc, char** argv) {
  Sizes sizes;
  std::int64_t* const all[] = {&sizes.vectors, &sizes.queries, &sizes.lists};
  for (int i = 1; i < argc && i <= 3; ++i) *all[i - 1] = std::atoll(argv[i]);
  if (sizes.lists < 1 || sizes.vectors < sizes.lists || sizes.queries < 1) {
    fmt::print(stderr, "bench_gpu_search: there must be queries, and as many vectors as lists\n");
    return 64;
  }
  std::unique_ptr<DeviceSession> session;
  try {
    DeviceBackend& backend = load_device_library();
    if (backend.devices().empty()) throw DeviceError(DeviceError::Kind::missing, "no GPU");
    session = backend.open(0);
  } catch (const std::exception& e) {
    for (const char* claim : kClaims) print_skipped(claim, e.what());
    return 0;
  }
  Search(*session, sizes).run();
  return 0;
}

}  // namespace
}  // namespace tutti::bench

int main(int argc, char** argv) { return tutti::bench::run(argc, argv); }
