#include "runtime/checkpoint/checkpoint.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/checkpoint/generation_reader.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Every rank comes to the same conclusion from the same manifest.
[[noreturn]] void refuse(const std::string& problem) {
  throw Error(
      ExitCode::usage, problem, "checkpoint",
      "continue with the configuration that the run was started with, or give another --run folder")
      .as_agreed();
}

// The keys of one flat object that another has otherwise or not at all.
std::string differences(const nlohmann::json& ours, const nlohmann::json& theirs) {
  std::string names;
  for (const auto& [key, value] : ours.items())
    if (!theirs.is_object() || theirs.value(key, nlohmann::json()) != value)
      names += (names.empty() ? "" : ", ") + key;
  return names;
}

void require_same(const CheckpointManifest& manifest, const nlohmann::json& identity,
                  std::span<const ArraySlice> wanted) {
  const nlohmann::json theirs = manifest.state.value("identity", nlohmann::json());
  if (const std::string names = differences(identity, theirs); !names.empty())
    refuse(fmt::format("checkpoint generation {} was written with another {}", manifest.generation,
                       names));
  for (const ArraySlice& want : wanted) {
    const CheckpointArray array{want.name, want.dtype, want.size};
    if (std::find(manifest.arrays.begin(), manifest.arrays.end(), array) == manifest.arrays.end())
      refuse(fmt::format("generation {} holds no array {} of {} {}", manifest.generation,
                         array.name, array.size, name_of(array.dtype)));
  }
}

nlohmann::json to_json(const std::vector<CheckpointArray>& arrays) {
  nlohmann::json all = nlohmann::json::array();
  for (const CheckpointArray& array : arrays)
    all.push_back({{"name", array.name}, {"dtype", name_of(array.dtype)}, {"size", array.size}});
  return all;
}

}  // namespace

Checkpointer::Checkpointer(Comm& comm, std::filesystem::path folder, CheckpointOptions options)
    : comm_(comm),
      options_(std::move(options)),
      levels_(comm, std::move(folder), options_),
      copies_(comm, levels_.has_local() && options_.partner),
      last_begin_(Clock::now()) {
  next_generation_ = levels_.next_generation();
}

Checkpointer::~Checkpointer() = default;

double Checkpointer::interval() const {
  if (options_.every_seconds != kAutomaticDuration) return options_.every_seconds;
  // Nothing is known of the cost before the first checkpoint, and of failures before the first one.
  constexpr double kFirst = 60, kNoFailure = 86400;
  if (cost_.checkpoints() == 0) return kFirst;
  return best_checkpoint_interval(cost_.each(),
                                  options_.mtbf_seconds > 0 ? options_.mtbf_seconds : kNoFailure);
}

bool Checkpointer::local_due() const { return seconds_since(last_begin_) >= interval(); }

bool Checkpointer::boundary(BoundaryRequest request, const std::function<Snapshot()>& take) {
  // Ranks' clocks differ: the root's says what is due.
  std::int64_t flags[4] = {request.stop, request.checkpoint, comm_.is_root() && local_due(),
                           pending() && (copies_.local_writing() | writer_->writing())};
  comm_.all_reduce_sum(std::span(flags));
  requested_ |= flags[1] > 0;  // also while another one is being written
  const bool stops = flags[0] > 0, due = flags[2] > 0, writing = flags[3] > 0;
  if (stops) {
    save(take());
    return true;
  }
  cost_.begin_boundary();
  if (pending() && !writing) tolerate([&] { commit(); });
  if ((due || requested_) && !pending()) {
    tolerate([&] { begin(take()); });
  } else if (due && !told_of_skip_) {
    told_of_skip_ = true;
    log_info("checkpoint skipped: generation {} is still being written", generation_);
  }
  cost_.end_boundary(pending());
  return false;
}

// Runs a part of a periodic checkpoint, which may fail some times.
void Checkpointer::tolerate(const std::function<void()>& step) {
  try {
    step();
  } catch (const Error& e) {
    if (!e.agreed() || e.code() != ExitCode::io || ++failures_ >= options_.give_up_after) throw;
    if (comm_.is_root())
      log_warning("checkpoint generation {} could not be written; going on from the one before: {}",
                  generation_, e.what());
    on_failure_(generation_, e);
  }
}

void Checkpointer::save(const Snapshot& snapshot) {
  if (pending()) tolerate([&] { commit(); });
  start_writing(snapshot, false, true);
  commit();
  levels_.local_finish_removal();
}

void Checkpointer::begin(const Snapshot& snapshot) {
  // The root's clock again. Who asks for a checkpoint wants it where the run is.
  const bool due =
      requested_ || !last_shared_ || seconds_since(*last_shared_) >= options_.shared_every_seconds;
  requested_ = false;
  start_writing(snapshot, true,
                !levels_.has_local() || comm_.all_reduce_max(std::int64_t(comm_.is_root() && due)));
}

void Checkpointer::start_writing(const Snapshot& snapshot, bool copies, bool shared) {
  CHECK(!pending());
  last_begin_ = Clock::now();
  told_of_skip_ = false;
  generation_ = next_generation_++;
  shared_ = shared;
  state_ = snapshot.state;
  state_["identity"] = snapshot.identity;
  try {
    levels_.make_folders(generation_, shared_);
    lay_out(snapshot);
    take(snapshot, copies);
  } catch (const Error&) {
    abandon();
    throw;
  }
  writer_->start(staging_.columns(), {.aside = copies, .verify = options_.verify});
}

// Reserves the room of this rank's part.
void Checkpointer::lay_out(const Snapshot& snapshot) {
  comm_.attempt([&] {
    arrays_.clear();
    std::vector<ColumnSpec> columns;
    for (const ArraySlice& s : snapshot.slices) {
      CHECK(s.bytes.size() == std::size_t(s.range.size()) * size_of(s.dtype), s.name);
      arrays_.push_back({s.name, s.dtype, s.size});
      columns.push_back({checkpoint_dataset(s.name),
                         s.dtype,
                         {s.range.size()},
                         {{"first_element", s.range.begin}}});
    }
    writer_ = std::make_unique<PartWriter>(
        levels_.local_files(generation_, CheckpointStore::part_name(comm_.rank()), shared_),
        columns);
  });
}

CheckpointPart Checkpointer::describe_part(const Snapshot& snapshot) const {
  CheckpointPart part{writer_->layout(), {}};
  for (std::size_t i = 0; i < snapshot.slices.size(); ++i) {
    part.slices.push_back({snapshot.slices[i].name, snapshot.slices[i].range, int(i)});
    part.file.extents[i].crc32c = staging_.columns()[i].crc32c;
  }
  return part;
}

// Copies the slices, tells all ranks what the parts are, and starts the copies for the next node.
void Checkpointer::take(const Snapshot& snapshot, bool copies) {
  const auto start = Clock::now();
  comm_.attempt([&] { copies ? staging_.copy(snapshot.slices) : staging_.refer(snapshot.slices); });
  if (copies) cost_.add_checkpoint(seconds_since(start), staging_.bytes());
  parts_ = comm_.all_gather_strings(to_json(describe_part(snapshot)).dump());
  copies_.begin(levels_, generation_, arrays_, parts_, staging_.columns(), options_.verify);
}

// Once, of the root's own part: the others stand in the same folder, or in one like it.
void Checkpointer::local_tell_of_page_cache() {
  const auto file = writer_->without_direct_io();
  if (!file || told_of_page_cache_ || !comm_.is_root()) return;
  told_of_page_cache_ = true;
  log_info("{}: its file system has no direct I/O, so that checkpoints go through the page cache",
           file->parent_path().parent_path().string());
}

void Checkpointer::commit() {
  CHECK(pending());
  copies_.wait();
  try {
    comm_.attempt([&] {
      writer_->finish();
      copies_.local_finish();
    });
    levels_.commit(generation_, local_manifest(), shared_);
  } catch (const Error&) {
    abandon();
    throw;
  }
  local_tell_of_page_cache();
  writer_.reset();
  copies_.clear();
  failures_ = 0;
  if (shared_) last_shared_ = Clock::now();
  on_commit_(generation_, state_);
}

// On ranks that write it down.
nlohmann::json Checkpointer::local_manifest() const {
  if (!comm_.is_node_root()) return {};
  nlohmann::json manifest = {{"kind", kCheckpointKind},   {"format_version", kCheckpointVersion},
                             {"generation", generation_}, {"arrays", to_json(arrays_)},
                             {"state", state_},           {"parts", nlohmann::json::array()}};
  for (const std::string& part : parts_) manifest["parts"].push_back(nlohmann::json::parse(part));
  return manifest;
}

void Checkpointer::abandon() {
  writer_.reset();
  copies_.clear();
  levels_.abandon_unfinished();
}

std::optional<nlohmann::json> Checkpointer::restore(const nlohmann::json& identity,
                                                    std::span<const ArraySlice> wanted) {
  for (const std::int64_t generation : levels_.committed()) {
    try {
      const CheckpointManifest manifest = levels_.read_manifest(generation);
      require_same(manifest, identity, wanted);
      GenerationReader(comm_, levels_, manifest).fill(wanted);
      generation_ = generation;
      return manifest.state;
    } catch (const Error& e) {
      if (e.code() != ExitCode::data) throw;
      if (comm_.is_root())
        log_warning("checkpoint generation {} is damaged and set aside; taking the one before: {}",
                    generation, e.what());
      levels_.set_aside(generation);
    }
  }
  return std::nullopt;
}

}  // namespace tutti
