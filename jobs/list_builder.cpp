#include "jobs/list_builder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include <fmt/format.h>

#include "jobs/index_folder.h"
#include "kernels/device/device_backend.h"
#include "kernels/vector/assign.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/paths.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

// What travels in front of each vector, behind which its columns of metadata stand.
struct EntryHeader {
  std::int64_t list, id, row, metadata_bytes;
};

// Vectors that a rank reads at a time, at most.
constexpr std::int64_t kLargestChunk = std::int64_t(1) << 16;

void append_bytes(std::vector<std::byte>& to, const void* from, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(from);
  to.insert(to.end(), begin, begin + bytes);
}

}  // namespace

std::vector<Range> balance_lists(std::span<const std::int64_t> list_sizes, std::int64_t shards) {
  std::vector<std::int64_t> before(list_sizes.size() + 1);
  std::partial_sum(list_sizes.begin(), list_sizes.end(), before.begin() + 1);
  std::vector<Range> ranges;
  std::int64_t begin = 0;
  for (std::int64_t s = 1; s <= shards; ++s) {
    // The first list that starts at or behind the shard's even share ends it; the last shard takes
    // what is left.
    const std::int64_t share = before.back() / shards * s + before.back() % shards * s / shards;
    const auto end = s == shards ? before.end() - 1 : std::ranges::lower_bound(before, share);
    ranges.push_back({begin, std::max<std::int64_t>(begin, end - before.begin())});
    begin = ranges.back().end;
  }
  return ranges;
}

// The entries of one round's shards of this rank, in the order in which they came.
struct ListBuilder::Arrivals {
  std::int64_t first_entry = 0;  // over all shards, of the round's first
  std::size_t vector_bytes = 0;
  std::vector<std::byte> vectors;
  std::vector<EntryHeader> headers;
  std::vector<std::byte> metadata;           // of all entries
  std::vector<std::int64_t> metadata_begin;  // of each
  std::vector<std::int64_t> next;            // by list: where its next entry goes, from first_entry

  void place(std::span<const std::byte> message) {
    while (!message.empty()) {
      EntryHeader header;
      std::memcpy(&header, message.data(), sizeof(header));
      message = message.subspan(sizeof(header));
      const auto to = std::size_t(next[std::size_t(header.list)]++ - first_entry);
      headers[to] = header;
      std::ranges::copy(message.first(vector_bytes), vectors.data() + to * vector_bytes);
      message = message.subspan(vector_bytes);
      metadata_begin[to] = std::int64_t(metadata.size());
      const auto its = message.first(std::size_t(header.metadata_bytes));
      metadata.insert(metadata.end(), its.begin(), its.end());
      message = message.subspan(its.size());
    }
  }
  std::span<const std::byte> metadata_of(std::int64_t entry) const {
    const auto i = std::size_t(entry);
    return std::span(metadata).subspan(std::size_t(metadata_begin[i]),
                                       std::size_t(headers[i].metadata_bytes));
  }
};

ListBuilder::ListBuilder(JobContext& context, const VectorReader& vectors,
                         const CarriedColumns& columns, const ListOptions& options,
                         nlohmann::json identity)
    : context_(context),
      comm_(context.comm),
      vectors_(vectors),
      columns_(columns),
      options_(options),
      identity_(std::move(identity)),
      my_rows_(part_of(vectors.rows(), comm_.size(), comm_.rank())) {
  // A chunk stands in memory as read, as floats, packed and as it arrives: some five times.
  const std::int64_t chunk_bytes =
      5 * (vectors.dim() * std::int64_t(sizeof(float)) + std::int64_t(sizeof(EntryHeader)) +
           columns.bytes_per_row());
  const std::int64_t largest = std::clamp<std::int64_t>(my_rows_.size() / 64, 1024, kLargestChunk);
  chunk_rows_ = std::clamp<std::int64_t>(options.memory_bytes / 4 / chunk_bytes, 64, largest);
  chunks_ = comm_.all_reduce_max((my_rows_.size() + chunk_rows_ - 1) / chunk_rows_);
}

bool ListBuilder::stop_agreed() { return comm_.all_reduce_max(std::int64_t(stop_requested())) > 0; }

// As many chunks on every rank; the last ones may be empty.
std::vector<Range> ListBuilder::my_chunks() const {
  std::vector<Range> chunks;
  for (std::int64_t c = 0; c < chunks_; ++c)
    chunks.push_back({std::min(my_rows_.end, my_rows_.begin + c * chunk_rows_),
                      std::min(my_rows_.end, my_rows_.begin + (c + 1) * chunk_rows_)});
  return chunks;
}

ExitCode ListBuilder::assign(const TrainedCentroids& centroids) {
  find_assigned(centroids);
  for (const Range& chunk : my_chunks()) {
    const auto timed = context_.phases.measure("assign");
    bool kept = false;
    comm_.attempt([&] { kept = assign_chunk(chunk, centroids); });
    std::array<std::int64_t, 2> state = {stop_requested(), assigned_->known()};
    comm_.all_reduce_sum(std::span(state));
    if (kept) context_.events.write("assigned", {{"vectors", state[1]}, {"of", vectors_.rows()}});
    if (state[0]) {
      comm_.attempt([&] { assigned_->flush(); });
      return ExitCode::stopped;
    }
  }
  comm_.attempt([&] { assigned_->flush(); });
  count_lists(centroids.nlist());
  return ExitCode::done;
}

// What earlier starts know.
void ListBuilder::find_assigned(const TrainedCentroids& centroids) {
  const auto digest_of_values = [](const std::vector<float>& values) {
    return digest_of({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  };
  identity_["centroids"] = digest_of_values(centroids.values);
  identity_["groups"] = {digest_of_values(centroids.coarse), centroids.starts};
  comm_.attempt([&] {
    assigned_.emplace(context_.run_folder / kBuildingFolder, digest_of(identity_.dump()), my_rows_);
  });
  const std::int64_t found = comm_.all_reduce_sum(assigned_->found());
  if (found > 0) log_info("{} of {} vectors have a list already", found, vectors_.rows());
  assigned_now_ = vectors_.rows() - found;
}

// Returns whether rows have become durable.
bool ListBuilder::assign_chunk(Range rows, const TrainedCentroids& centroids) {
  const std::vector<std::int64_t> unknown = assigned_->unknown(rows);
  if (unknown.empty()) return false;
  const VectorBatch batch = vectors_.read(unknown);
  for (const std::int64_t row : unknown) assigned_->set(row, AssignedRows::kNone);
  if (batch.count() == 0) return assigned_->add(rows);
  const std::vector<Neighbor> nearest = nearest_of(batch, centroids);
  for (std::size_t i = 0; i < nearest.size(); ++i) {
    if (nearest[i].id < 0) throw vectors_.too_large(batch.rows[i]);
    assigned_->set(batch.rows[i], std::int32_t(nearest[i].id));
  }
  return assigned_->add(rows);
}

std::vector<Neighbor> ListBuilder::nearest_of(const VectorBatch& batch,
                                              const TrainedCentroids& centroids) {
  std::vector<Neighbor> nearest(std::size_t(batch.count()));
  if (context_.device != nullptr && centroids.groups() == 0) {
    if (!device_) device_ = context_.device->make_scan();
    device_->assign_probes(batch.view(), centroids.view(), vectors_.metric(),
                           {nearest.data(), batch.count(), 1});
    return nearest;
  }
  if (!space_) prepare(batch, centroids);
  const QueryCodes codes = space_->encode_queries(VectorRows(batch.view()));
  if (grouped_)
    grouped_->assign_nearest({batch.view(), &codes}, nearest);
  else
    coded_->assign_nearest({batch.view(), &codes}, nearest);
  return nearest;
}

void ListBuilder::prepare(const VectorBatch& first, const TrainedCentroids& centroids) {
  constexpr std::int64_t kSample = 16384;
  const ConstMatrixView<float> sample = first.view().row_range(0, std::min(kSample, first.count()));
  space_.emplace(CodeSpace::train(VectorRows(sample), vectors_.metric()));
  if (centroids.groups() > 0)
    grouped_.emplace(*space_,
                     CentroidGroups{centroids.view(), centroids.coarse_view(), centroids.starts});
  else
    coded_.emplace(*space_, centroids.view());
}

void ListBuilder::count_lists(std::int64_t nlist) {
  list_sizes_.assign(std::size_t(nlist), 0);
  skipped_ = 0;
  for (std::int64_t row = my_rows_.begin; row < my_rows_.end; ++row) {
    const std::int32_t list = assigned_->list_of(row);
    ++(list == AssignedRows::kNone ? skipped_ : list_sizes_[std::size_t(list)]);
  }
  comm_.all_reduce_sum(std::span(list_sizes_));
  skipped_ = comm_.all_reduce_sum(skipped_);
  first_entries_.assign(1, 0);
  std::partial_sum(list_sizes_.begin(), list_sizes_.end(), std::back_inserter(first_entries_));
  shard_lists_ = balance_lists(list_sizes_, options_.shards);
  for (std::size_t s = 0; s < shard_lists_.size(); ++s)
    shard_of_list_.insert(shard_of_list_.end(), std::size_t(shard_lists_[s].size()),
                          std::int32_t(s));
}

std::int64_t ListBuilder::shard_entries(std::int64_t shard) const {
  const Range lists = shard_lists_[std::size_t(shard)];
  return first_entries_[std::size_t(lists.end)] - first_entries_[std::size_t(lists.begin)];
}

const std::filesystem::path& ListBuilder::folder() const {
  return options_.folder.empty() ? context_.run_folder : options_.folder;
}

void ListBuilder::find_finished() {
  std::vector<bool> finished(std::size_t(options_.shards));
  if (!options_.folder.empty()) return plan_rounds(finished);
  nlohmann::json all = identity_;
  all["storage"] = name_of(options_.storage);
  all["shards"] = options_.shards;
  finished_.emplace(comm_, context_.run_folder,
                    part_of(options_.shards, comm_.size(), comm_.rank()), digest_of(all.dump()));
  std::vector<std::int64_t> kept;
  for (const FinishedShard& shard : finished_->all()) kept.push_back(shard.record.index);
  for (const std::int64_t shard : comm_.all_gather(std::span<const std::int64_t>(kept)))
    finished[std::size_t(shard)] = true;
  if (finished_->kept_by_all() > 0)
    log_info("{} of {} shards are finished already", finished_->kept_by_all(), options_.shards);
  plan_rounds(finished);
}

// Each rank fills as many of its shards in a round as fit its memory, at least one.
void ListBuilder::plan_rounds(const std::vector<bool>& finished) {
  const std::int64_t entry_bytes = vectors_.dim() * std::int64_t(size_of(options_.storage)) +
                                   std::int64_t(sizeof(EntryHeader)) + columns_.bytes_per_row();
  const std::int64_t budget = options_.memory_bytes / 2;
  std::int64_t largest = 0;
  for (int r = 0; r < comm_.size(); ++r) {
    const Range shards = part_of(options_.shards, comm_.size(), r);
    std::int64_t round = 0, used = 0;
    for (std::int64_t s = shards.begin; s < shards.end; ++s) {
      if (finished[std::size_t(s)]) {
        round_of_shard_.push_back(-1);
        round += used > 0;  // a round's shards are consecutive
        used = 0;
        continue;
      }
      const std::int64_t bytes = shard_entries(s) * entry_bytes;
      if (used > 0 && used + bytes > budget) {
        ++round;
        used = 0;
      }
      used += bytes;
      largest = std::max(largest, bytes);
      round_of_shard_.push_back(std::int32_t(round));
      rounds_ = std::max(rounds_, round + 1);
    }
  }
  if (largest > budget)
    log_info(
        "the largest shard takes {} MiB of memory, more than memory_limit leaves for it: raise "
        "index.shards",
        largest >> 20);
}

ExitCode ListBuilder::write(std::vector<ShardRecord>& mine) {
  find_finished();
  const Range shards = part_of(options_.shards, comm_.size(), comm_.rank());
  for (std::int64_t round = 0; round < rounds_; ++round) {
    std::vector<std::int64_t> now;
    for (std::int64_t s = shards.begin; s < shards.end; ++s)
      if (round_of_shard_[std::size_t(s)] == round) now.push_back(s);
    Arrivals arrivals;
    comm_.attempt([&] {
      arrivals.vector_bytes = std::size_t(vectors_.dim()) * size_of(options_.storage);
      arrivals.next = first_entries_;
      if (now.empty()) return;
      const Range lists{shard_lists_[std::size_t(now.front())].begin,
                        shard_lists_[std::size_t(now.back())].end};
      arrivals.first_entry = first_entries_[std::size_t(lists.begin)];
      const auto entries =
          std::size_t(first_entries_[std::size_t(lists.end)] - arrivals.first_entry);
      arrivals.headers.resize(entries);
      arrivals.vectors.resize(entries * arrivals.vector_bytes);
      arrivals.metadata_begin.resize(entries);
      arrivals.metadata.reserve(entries * std::size_t(columns_.bytes_per_row()));
    });
    for (const Range& chunk : my_chunks()) {
      const auto timed = context_.phases.measure("exchange");
      ByteLists to_ranks;
      comm_.attempt([&] { to_ranks = pack(chunk, round); });
      for (const auto& message : comm_.all_to_all(to_ranks)) arrivals.place(message);
      if (stop_agreed()) return ExitCode::stopped;
    }
    const auto timed = context_.phases.measure("write");
    comm_.attempt([&] {
      for (const std::int64_t shard : now) {
        mine.push_back(write_shard(shard, arrivals));
        if (finished_) finished_->local_add({mine.back(), {.records = shard_entries(shard)}});
      }
    });
  }
  if (finished_) mine = finished_->records();
  return ExitCode::done;
}

void ListBuilder::forget() {
  if (finished_) finished_->forget();
  comm_.attempt([&] {
    if (comm_.is_root()) remove_folder(context_.run_folder / kBuildingFolder);
  });
}

// The entries of a chunk of this rank's rows that go to the round's shards, by the rank that owns
// them.
ByteLists ListBuilder::pack(Range chunk, std::int64_t round) const {
  std::vector<std::int64_t> rows;
  for (std::int64_t row = chunk.begin; row < chunk.end; ++row) {
    const std::int32_t list = assigned_->list_of(row);
    if (list >= 0 && round_of_shard_[std::size_t(shard_of_list_[std::size_t(list)])] == round)
      rows.push_back(row);
  }
  ByteLists to_ranks(std::size_t(comm_.size()));
  if (rows.empty()) return to_ranks;
  const VectorBatch batch = vectors_.read(rows);
  CHECK(batch.skipped == 0);  // they have no list
  append_entries(batch, chunk, to_ranks);
  return to_ranks;
}

void ListBuilder::append_entries(const VectorBatch& batch, Range chunk, ByteLists& to_ranks) const {
  const std::vector<std::int64_t> ids = vectors_.ids(chunk);
  const PackedRows metadata = columns_.read(chunk);
  std::vector<bf16> rounded(std::size_t(options_.storage == DType::bf16 ? batch.dim : 0));
  for (std::int64_t i = 0; i < batch.count(); ++i) {
    const std::int64_t row = batch.rows[std::size_t(i)], list = assigned_->list_of(row);
    const std::int64_t owner =
        owner_of(options_.shards, comm_.size(), shard_of_list_[std::size_t(list)]);
    std::vector<std::byte>& message = to_ranks[std::size_t(owner)];
    const std::span<const std::byte> its = metadata.row(row - chunk.begin);
    const EntryHeader header{list, ids[std::size_t(row - chunk.begin)], row,
                             std::int64_t(its.size())};
    append_bytes(message, &header, sizeof(header));
    const float* vector = batch.view().row(i);
    if (rounded.empty()) {
      append_bytes(message, vector, std::size_t(batch.dim) * sizeof(float));
    } else {
      std::transform(vector, vector + batch.dim, rounded.begin(), [](float x) { return bf16(x); });
      append_bytes(message, rounded.data(), rounded.size() * sizeof(bf16));
    }
    append_bytes(message, its.data(), its.size());
  }
}

ShardWriter ListBuilder::open_shard(std::int64_t shard) const {
  const auto tables = index_tables(options_.storage, vectors_.dim(), columns_.schemas());
  if (columns_.has_ragged())
    return ShardWriter(folder(), options_.first_shard + shard, tables, options_.memory_bytes / 8);
  return ShardWriter(folder(), options_.first_shard + shard, tables,
                     {shard_lists_[std::size_t(shard)].size(), shard_entries(shard)});
}

ShardRecord ListBuilder::write_shard(std::int64_t shard, const Arrivals& arrivals) const {
  const Range lists = shard_lists_[std::size_t(shard)];
  const std::int64_t first = first_entries_[std::size_t(lists.begin)];
  ShardWriter writer = open_shard(shard);
  std::vector<std::int64_t> numbers, starts;
  for (std::int64_t list = lists.begin; list < lists.end; ++list) {
    numbers.push_back(list);
    starts.push_back(first_entries_[std::size_t(list)] - first);
    write_list(list, arrivals, writer);
  }
  writer.append<std::int64_t>(writer.column("lists", "list"), numbers);
  writer.append<std::int64_t>(writer.column("lists", "first_entry"), starts);
  writer.append<std::int64_t>(
      writer.column("lists", "entries"),
      list_sizes().subspan(std::size_t(lists.begin), std::size_t(lists.size())));
  return writer.finish();
}

// Entries in order of (id, row), so that nothing shows of the way they came.
void ListBuilder::write_list(std::int64_t list, const Arrivals& arrivals,
                             ShardWriter& writer) const {
  const auto count = std::size_t(list_sizes_[std::size_t(list)]);
  std::vector<std::int64_t> order(count), ids;
  std::iota(order.begin(), order.end(), first_entries_[std::size_t(list)] - arrivals.first_entry);
  std::ranges::sort(order, {}, [&](std::int64_t i) {
    const EntryHeader& header = arrivals.headers[std::size_t(i)];
    return std::pair(header.id, header.row);
  });
  std::vector<std::byte> vectors;
  std::vector<std::span<const std::byte>> metadata;
  vectors.reserve(order.size() * arrivals.vector_bytes);
  for (const std::int64_t i : order) {
    ids.push_back(arrivals.headers[std::size_t(i)].id);
    append_bytes(vectors, arrivals.vectors.data() + std::size_t(i) * arrivals.vector_bytes,
                 arrivals.vector_bytes);
    metadata.push_back(arrivals.metadata_of(i));
  }
  const auto append_as = [&]<class T>(const T* values) {
    writer.append(writer.column("entries", "vector"),
                  std::span(values, vectors.size() / sizeof(T)));
  };
  if (options_.storage == DType::bf16)
    append_as(reinterpret_cast<const bf16*>(vectors.data()));
  else
    append_as(reinterpret_cast<const float*>(vectors.data()));
  writer.append<std::int64_t>(writer.column("entries", "id"), ids);
  columns_.append(writer, std::move(metadata));
}

}  // namespace tutti
