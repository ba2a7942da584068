#include "kernels/vector/scan_state_cuda.h"

#include <algorithm>
#include <limits>

#include "kernels/cuda/launch.h"

namespace tutti::cuda {
namespace {

// Tasks that keep a large device busy, and the tiles that one of them should have.
constexpr std::int64_t kTasks = 4096, kLeastTiles = 8, kMostTiles = 128;
// Query rows are read as far as the longest packet of a vector's elements goes.
constexpr std::int64_t kQueryAlignment = 64;

std::vector<TileTask> cut(const std::vector<ScanStage::Part>& parts) {
  std::int64_t tiles = 0;
  for (const auto& p : parts) tiles += ceil_div(p.rows, kScanTile) * ceil_div(p.members, kScanTile);
  const std::int64_t run = std::clamp(tiles / kTasks, kLeastTiles, kMostTiles) * kScanTile;
  std::vector<TileTask> tasks;
  for (const auto& p : parts)
    for (std::int64_t row = 0; row < p.rows; row += run)
      // Blocks side by side have the same vectors.
      for (std::int32_t m = 0; m < p.members; m += kScanTile)
        tasks.push_back({p.first + row, std::int32_t(std::min(run, p.rows - row)), p.member + m,
                         std::min(kScanTile, p.members - m)});
  return tasks;
}

template <class T>
void clear(DeviceBuffer<T>& values, std::int64_t count, cudaStream_t stream) {
  values.grow(count);
  check(cudaMemsetAsync(values.data(), 0, std::size_t(count) * sizeof(T), stream),
        "cudaMemsetAsync");
}

}  // namespace

void ScanStage::add(std::int64_t first, std::int64_t rows, std::span<const std::int32_t> queries) {
  if (rows <= 0 || queries.empty()) return;
  parts.push_back({first, rows, std::int32_t(members.size()), std::int32_t(queries.size())});
  members.insert(members.end(), queries.begin(), queries.end());
}

std::int64_t ScanStage::most_rows(std::int64_t queries) const {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(queries));
  for (const Part& part : parts)
    for (const std::int32_t q : members_of(part)) rows[std::size_t(q)] += part.rows;
  return rows.empty() ? 0 : std::ranges::max(rows);
}

std::vector<ScanStage> ScanStage::halves(const std::vector<char>& of_queries) const {
  std::vector<ScanStage> two(2);
  bool odd = false;
  for (const Part& part : parts) {
    std::vector<std::int32_t> mine;
    for (const std::int32_t q : members_of(part))
      if (of_queries[std::size_t(q)]) mine.push_back(q);
    if (parts.size() == 1 && part.rows == 1) {  // so often did they name one list
      const std::size_t middle = mine.size() / 2;
      two[0].add(part.first, 1, std::span(mine).first(middle));
      two[1].add(part.first, 1, std::span(mine).subspan(middle));
      break;
    }
    std::int64_t half = part.rows / 2;
    if (part.rows == 1 && !mine.empty()) half = (odd = !odd) ? 1 : 0;
    two[0].add(part.first, half, mine);
    two[1].add(part.first + half, part.rows - half, mine);
  }
  return two;
}

void ScanState::start(ConstMatrixView<float> queries, std::int64_t k, std::span<const float> limits,
                      cudaStream_t stream) {
  count_ = queries.rows;
  k_ = k;
  room_ = k_ <= 128 ? 1024 : 2048;
  rows_.reserve(DType::f32, count_, queries.cols, kQueryAlignment);
  rows_.copy(VectorRows(queries), 0, stream);
  rows_.prepare(count_, stream);
  put(limits, limits_, stream);
  thresholds_.grow(count_);
  for (auto* numbers : {&counts_, &kept_, &overflowed_}) clear(*numbers, count_, stream);
  clear(overflows_, 1, stream);
  survivors_.grow(count_ * room_);
  distances_.grow(count_ * room_);
  kept_distances_.grow(count_ * k_);
  kept_ids_.grow(count_ * k_);
}

bool ScanState::is_limited(cudaStream_t stream) const {
  const std::vector<float> limits = get<float>(limits_, count_, stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  return std::ranges::find(limits, std::numeric_limits<float>::infinity()) == limits.end();
}

std::int64_t ScanState::rows_after(std::int64_t rows) const {
  if (rows == 0) return std::max<std::int64_t>(64, std::min(room_, 16 * k_));
  return rows * std::max<std::int64_t>(2, room_ / (4 * k_));
}

std::vector<char> ScanState::scan(const DeviceVectors& vectors, const ScanStage& stage,
                                  cudaStream_t stream) {
  const std::vector<TileTask> tasks = cut(stage.parts);
  put<TileTask>(tasks, tasks_, stream);
  put<std::int32_t>(stage.members, members_, stream);
  return run(vectors, std::ssize(tasks), nullptr, stream);
}

std::vector<char> ScanState::scan(const DeviceVectors& vectors, ProbeArguments probes,
                                  std::int64_t most_rows, cudaStream_t stream) {
  constexpr std::int64_t kRun = kMostTiles * kScanTile;
  const std::int64_t pairs = probes.queries * (probes.end - probes.begin);
  const std::int64_t most =
      (pairs / kScanTile + std::min<std::int64_t>(pairs, probes.lists)) * ceil_div(most_rows, kRun);
  if (most == 0) return {};
  for (auto* numbers : {&sizes_, &places_, &task_places_}) numbers->grow(probes.lists);
  members_.grow(pairs);
  tasks_.grow(most);
  task_count_.grow(1);
  probes.run = kRun;
  probes.sizes = sizes_.data();
  probes.places = places_.data();
  probes.members = members_.data();
  probes.tasks = tasks_.data();
  probes.task_places = task_places_.data();
  probes.task_count = task_count_.data();
  plan_probes(probes, stream);
  return run(vectors, most, task_count_.data(), stream);
}

std::vector<char> ScanState::run(const DeviceVectors& vectors, std::int64_t tasks,
                                 const std::int32_t* task_count, cudaStream_t stream) {
  const ScanRows& rows = vectors.rows();
  make_thresholds(rows_.view(), vectors.bounds(), limits_.data(), thresholds_.data(), stream);
  scan_tiles({rows.rounded, vectors.starts(), rows_.view().rounded, thresholds_.data(),
              tasks_.data(), task_count, members_.data(), int(rows.rounded_stride / kScanSlice),
              std::int32_t(room_), counts_.data(), survivors_.data()},
             tasks, stream);
  const SurvivorArguments survivors{counts_.data(),      survivors_.data(),      distances_.data(),
                                    std::int32_t(room_), std::int32_t(k_),       vectors.ids(),
                                    limits_.data(),      kept_distances_.data(), kept_ids_.data(),
                                    kept_.data(),        overflowed_.data(),     overflows_.data()};
  measure_survivors(rows_.view(), rows, vectors.bounds().metric, survivors, stream);
  keep_nearest(survivors, count_, stream);
  return overflowed(stream);
}

std::vector<char> ScanState::overflowed(cudaStream_t stream) {
  const std::vector<std::int32_t> some = get<std::int32_t>(overflows_, 1, stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  if (some[0] == 0) return {};
  clear(overflows_, 1, stream);
  const std::vector<std::int32_t> flags = get<std::int32_t>(overflowed_, count_, stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  return {flags.begin(), flags.end()};
}

}  // namespace tutti::cuda
