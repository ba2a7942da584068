#include "kernels/vector/scan_cuda.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/core/device_error.h"
#include "kernels/core/parallel.h"
#include "kernels/cuda/check.h"
#include "kernels/vector/device_rows_cuda.h"
#include "kernels/vector/scan_state_cuda.h"
#include "kernels/vector/scan_tasks.h"

namespace tutti::cuda {
namespace {

constexpr std::int64_t kQueriesAtATime = 16384, kPairsAtATime = std::int64_t(1) << 26;
// Of vectors that are not held, in the device's memory at a time: at most, and of what is free.
constexpr std::int64_t kMostSlab = std::int64_t(1) << 30;
constexpr std::int64_t kSlabShare = 3;

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

// Lists of one type of vectors that are not held, each with the queries that look into it.
struct CopiedLists {
  std::vector<const ListScan*> lists;
  std::vector<std::vector<std::int32_t>> members;
};

class CudaScan final : public DeviceScan {
 public:
  explicit CudaScan(cudaStream_t stream) : stream_(stream) {}

  bool hold(const VectorRows& vectors, const VectorIds& ids, Metric metric) override {
    check_rows(vectors, "hold");
    ids.check(vectors.count);
    held_rows_ = {};
    starts_.clear();
    held_ = {};
    if (vectors.count > std::numeric_limits<std::int32_t>::max()) return false;
    try {
      held_.reserve(vectors.type, vectors.count, vectors.dim);
    } catch (const DeviceError& error) {
      if (error.kind() != DeviceError::Kind::full) throw;
      held_ = {};
      return false;
    }
    std::vector<std::int64_t> table(static_cast<std::size_t>(vectors.count));
    for (std::int64_t i = 0; i < vectors.count; ++i) table[std::size_t(i)] = ids[i];
    held_.copy(vectors, 0, stream_);
    held_.prepare(table, metric, stream_);
    wait();
    held_rows_ = vectors;
    return true;
  }

  void hold_lists(std::span<const std::int64_t> starts) override {
    require(!starts.empty() && std::ranges::is_sorted(starts) && starts.front() >= 0 &&
                starts.back() <= held_rows_.count,
            "hold_lists: lists of vectors that are not held");
    starts_.assign(starts.begin(), starts.end());
    most_rows_ = 0;
    for (std::size_t i = 1; i < starts.size(); ++i)
      most_rows_ = std::max(most_rows_, starts[i] - starts[i - 1]);
    put(starts, device_starts_, stream_);
    wait();
  }

  void scan_lists(ConstMatrixView<float> queries, std::span<const ListScan> lists, Metric metric,
                  std::span<TopK> results) override {
    tutti::detail::check_scan(queries, lists, results);
    for_queries(queries, results, kQueriesAtATime,
                [&](std::int64_t first) { scan_some(lists, metric, first); });
  }

  void scan_probed(ConstMatrixView<float> queries, ConstMatrixView<std::int32_t> probes,
                   std::span<TopK> results) override {
    require(!starts_.empty(), "scan_probed: no lists are held");
    tutti::detail::check_scan(queries, {}, results);
    require(probes.rows == queries.rows && queries.cols == held_rows_.dim,
            "scan_probed: probes and queries differ, or queries and vectors");
    std::vector<char> known(static_cast<std::size_t>(probes.rows));
    parallel_for(probes.rows, [&](std::int64_t q) {
      known[std::size_t(q)] = std::all_of(
          probes.row(q), probes.row(q) + probes.cols,
          [&](std::int32_t list) { return list >= -1 && list < std::ssize(starts_) - 1; });
    });
    require(std::ranges::find(known, 0) == known.end(), "scan_probed: there is no such list");
    if (probes.cols == 0) return;
    for_queries(queries, results,
                std::clamp<std::int64_t>(kPairsAtATime / probes.cols, 1, kQueriesAtATime),
                [&](std::int64_t first) { probe_some(probes.row_range(first, state_.count())); });
  }

  void assign_probes(ConstMatrixView<float> vectors, ConstMatrixView<float> centroids,
                     Metric metric, MatrixView<Neighbor> probes) override {
    require(probes.rows == vectors.rows && probes.cols >= 1 && probes.stride >= probes.cols,
            "assign: the output must have one row per vector");
    require(probes.cols <= kMostNeighbors, "assign: so many probes are the CPU's");
    require(centroids.rows == 0 || centroids.cols == vectors.cols,
            "assign: vectors and centroids differ in dimension");
    for (std::int64_t i = 0; i < probes.rows; ++i)
      std::fill_n(probes.row(i), probes.cols, Neighbor{});
    if (vectors.rows == 0 || centroids.rows == 0) return;
    slab_.reserve(DType::f32, centroids.rows, centroids.cols);
    slab_.copy(VectorRows(centroids), 0, stream_);
    std::vector<std::int64_t> ids(static_cast<std::size_t>(centroids.rows));
    std::iota(ids.begin(), ids.end(), 0);
    slab_.prepare(ids, metric, stream_);
    for (std::int64_t row = 0; row < vectors.rows; row += kQueriesAtATime) {
      const std::int64_t count = std::min(kQueriesAtATime, vectors.rows - row);
      const std::vector<float> limits(std::size_t(count), std::numeric_limits<float>::infinity());
      state_.start(vectors.row_range(row, count), probes.cols, limits, stream_);
      std::vector<std::int32_t> all(static_cast<std::size_t>(count));
      std::iota(all.begin(), all.end(), 0);
      ScanStage whole;
      whole.add(0, centroids.rows, all);
      scan_in_stages(slab_, whole);
      state_.finish(stream_, [&](std::int64_t q, std::int64_t rank, const Neighbor& n) {
        probes(row + q, rank) = n;
      });
    }
  }

 private:
  void wait() { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

  // Calls scan(first) with the state of so many queries at a time, and adds what they find.
  template <class Scan>
  void for_queries(ConstMatrixView<float> queries, std::span<TopK> results, std::int64_t at_a_time,
                   Scan&& scan) {
    if (queries.rows == 0) return;
    const std::int64_t k = results[0].k();
    require(k <= kMostNeighbors, "scan: a device keeps no more than 1024 neighbours");
    for (std::int64_t first = 0; first < queries.rows; first += at_a_time) {
      const std::int64_t count = std::min(at_a_time, queries.rows - first);
      const auto mine = results.subspan(std::size_t(first), std::size_t(count));
      std::vector<float> limits(mine.size());
      std::ranges::transform(mine, limits.begin(), &TopK::threshold);
      state_.start(queries.row_range(first, count), k, limits, stream_);
      scan(first);
      state_.finish(stream_, [&](std::int64_t q, std::int64_t, const Neighbor& n) {
        mine[std::size_t(q)].push(n);
      });
    }
  }

  // For the queries of the state, which begin at `first`.
  void scan_some(std::span<const ListScan> lists, Metric metric, std::int64_t first) {
    ScanStage held;
    CopiedLists others;
    for (const ListScan& list : lists) {
      std::vector<std::int32_t> mine;
      for (const std::int64_t q : list.queries)
        if (q >= first && q < first + state_.count()) mine.push_back(std::int32_t(q - first));
      if (mine.empty() || list.vectors.count == 0) continue;
      if (const std::int64_t place = place_of(list.vectors, metric); place >= 0) {
        held.add(place, list.vectors.count, mine);
      } else {
        others.lists.push_back(&list);
        others.members.push_back(std::move(mine));
      }
    }
    scan_in_stages(held_, held);
    scan_copied(others, metric);
  }

  // Where the vectors are among those held; -1 where they are not.
  std::int64_t place_of(const VectorRows& vectors, Metric metric) const {
    const VectorRows& held = held_rows_;
    if (held.data == nullptr || metric != held_.bounds().metric || vectors.type != held.type ||
        vectors.dim != held.dim || vectors.stride != held.stride)
      return -1;
    const std::less<const std::byte*> before;
    const auto *at = static_cast<const std::byte*>(vectors.data),
               *begin = static_cast<const std::byte*>(held.data);
    const std::int64_t bytes = held.stride * std::int64_t(size_of(held.type));
    if (before(at, begin) || !before(at, begin + held.count * bytes)) return -1;
    const std::int64_t place = (at - begin) / bytes;
    return (at - begin) % bytes == 0 && place + vectors.count <= held.count ? place : -1;
  }

  // As many rows at a time as there is room for.
  void scan_copied(const CopiedLists& copied, Metric metric) {
    if (copied.lists.empty()) return;
    const DType type = copied.lists[0]->vectors.type;
    const std::int64_t room = slab_rows(copied);
    slab_.reserve(type, room, copied.lists[0]->vectors.dim);
    ScanStage stage;
    std::vector<std::int64_t> ids;
    const auto scan = [&] {
      if (ids.empty()) return;
      slab_.prepare(ids, metric, stream_);
      scan_in_stages(slab_, stage);
      stage = {};
      ids.clear();
    };
    for (std::size_t i = 0; i < copied.lists.size(); ++i) {
      const ListScan& list = *copied.lists[i];
      require(list.vectors.type == type, "scan: lists of vectors of several types");
      for (std::int64_t row = 0; row < list.vectors.count;) {
        const auto place = std::ssize(ids);
        const std::int64_t count = std::min(room - place, list.vectors.count - row);
        slab_.copy(list.vectors.range(row, count), place, stream_);
        stage.add(place, count, copied.members[i]);
        for (std::int64_t r = row; r < row + count; ++r) ids.push_back(list.ids[r]);
        row += count;
        if (std::ssize(ids) == room) scan();
      }
    }
    scan();
  }

  static std::int64_t slab_rows(const CopiedLists& copied) {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    const VectorRows& first = copied.lists[0]->vectors;
    const std::int64_t each = DeviceVectors::bytes_per_vector(first.type, first.dim);
    const std::int64_t bytes = std::min(kMostSlab, std::int64_t(free) / kSlabShare);
    std::int64_t all = 0;
    for (const ListScan* list : copied.lists) all += list->vectors.count;
    return std::clamp<std::int64_t>(bytes / each, 1, std::max<std::int64_t>(1, all));
  }

  // A few vectors of each list first, so that they tell what the others must reach.
  void scan_in_stages(const DeviceVectors& vectors, const ScanStage& all) {
    if (state_.is_limited(stream_)) return scan_stage(vectors, all);
    const std::int64_t rows = all.most_rows(state_.count());
    for (std::int64_t done = 0; done < rows;) {
      const std::int64_t end = std::min(rows, state_.rows_after(done));
      const auto share = [&](const ScanStage::Part& part, std::int64_t of) {
        return of == rows ? part.rows : std::int64_t(double(part.rows) * double(of) / double(rows));
      };
      ScanStage stage;
      for (const ScanStage::Part& part : all.parts) {
        const std::int64_t from = share(part, done);
        stage.add(part.first + from, share(part, end) - from, all.members_of(part));
      }
      scan_stage(vectors, stage);
      done = end;
    }
  }

  // Where a query finds too many, half of the rows at a time: few enough in the end.
  void scan_stage(const DeviceVectors& vectors, const ScanStage& stage) {
    if (stage.parts.empty()) return;
    const std::vector<char> again = state_.scan(vectors, stage, stream_);
    if (again.empty()) return;
    for (const ScanStage& half : stage.halves(again)) scan_stage(vectors, half);
  }

  // For the queries of the state.
  void probe_some(ConstMatrixView<std::int32_t> probes) {
    std::vector<std::int32_t> table;
    for (std::int64_t q = 0; q < probes.rows; ++q)
      table.insert(table.end(), probes.row(q), probes.row(q) + probes.cols);
    put<std::int32_t>(table, probes_, stream_);
    const int columns = int(probes.cols);
    ProbeArguments round{probes_.data(), probes.rows, columns};
    round.starts = device_starts_.data();
    round.lists = int(starts_.size()) - 1;
    // The nearest list goes first, for it tells how near a query's neighbours are.
    for (const int end : {state_.is_limited(stream_) ? columns : 1, columns}) {
      round.end = end;
      if (round.end > round.begin) probe_round(round, table);
      round.begin = round.end;
    }
  }

  void probe_round(ProbeArguments round, const std::vector<std::int32_t>& table) {
    const bool limited = state_.is_limited(stream_);
    const std::int64_t lists = round.end - round.begin;
    for (round.skip = 0; round.skip < most_rows_; round.skip = round.until) {
      const std::int64_t next = state_.rows_after(round.skip * lists) / lists;
      round.until = limited ? most_rows_ : std::clamp(next, round.skip + 1, most_rows_);
      const std::vector<char> again = state_.scan(held_, round, most_rows_, stream_);
      if (!again.empty()) scan_stage(held_, stage_of(round, table, again));
    }
  }

  // What some queries look at in a round.
  ScanStage stage_of(const ProbeArguments& round, const std::vector<std::int32_t>& table,
                     const std::vector<char>& of_queries) const {
    std::map<std::int32_t, std::vector<std::int32_t>> members;
    for (std::int64_t q = 0; q < round.queries; ++q)
      for (int p = round.begin; p < round.end && of_queries[std::size_t(q)]; ++p)
        if (const std::int32_t list = table[std::size_t(q * round.columns + p)]; list >= 0)
          members[list].push_back(std::int32_t(q));
    ScanStage stage;
    for (const auto& [list, queries] : members) {
      const std::int64_t begin = starts_[std::size_t(list)],
                         rows = starts_[std::size_t(list) + 1] - begin,
                         from = std::min(rows, round.skip);
      stage.add(begin + from, std::min(rows, round.until) - from, queries);
    }
    return stage;
  }

  cudaStream_t stream_;
  VectorRows held_rows_;
  DeviceVectors held_, slab_;
  std::vector<std::int64_t> starts_;  // of the lists that are held
  std::int64_t most_rows_ = 0;        // of one of them
  DeviceBuffer<std::int64_t> device_starts_;
  DeviceBuffer<std::int32_t> probes_;
  ScanState state_;
};

}  // namespace

std::unique_ptr<DeviceScan> make_scan(cudaStream_t stream) {
  return std::make_unique<CudaScan>(stream);
}

}  // namespace tutti::cuda
