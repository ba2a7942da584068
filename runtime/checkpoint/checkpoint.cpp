#include "runtime/checkpoint/checkpoint.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <thread>

#include <fmt/format.h>

#include "kernels/core/arena.h"
#include "kernels/core/parallel.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/file.h"
#include "runtime/io/sealed_json.h"

namespace tutti {
namespace {

// A copy by all threads: one would not fill the memory's bandwidth.
void copy_bytes(std::span<const std::byte> from, std::byte* to) {
  constexpr std::int64_t kPiece = 1 << 20;
  const std::int64_t size = std::int64_t(from.size());
  parallel_for((size + kPiece - 1) / kPiece, [&](std::int64_t i) {
    std::memcpy(to + i * kPiece, from.data() + i * kPiece,
                std::size_t(std::min(kPiece, size - i * kPiece)));
  });
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

}  // namespace

// This rank's file of one generation, and the thread that fills it from the snapshot.
class Checkpointer::Writer {
 public:
  // Lays the file out, and copies the slices where they may change before all is written. Throws
  // Error(io).
  Writer(const std::filesystem::path& file, std::span<const ArraySlice> slices, bool copies)
      : file_(file, columns_of(slices)) {
    for (const ArraySlice& s : slices) {
      bytes_.push_back(s.bytes);
      if (!copies) continue;
      copies_.emplace_back(std::max<std::int64_t>(std::int64_t(s.bytes.size()), 1));
      copy_bytes(s.bytes, copies_.back().data());
      bytes_.back() = copies_.back().span().first(s.bytes.size());
    }
  }
  ~Writer() {
    if (thread_.joinable()) thread_.join();
  }

  void start() {
    writing_ = true;
    thread_ = std::thread([this] { write(); });
  }
  bool writing() const { return writing_.load(std::memory_order_acquire); }

  // Waits for the thread; throws what stopped it.
  FileRecord finish() {
    thread_.join();
    if (failure_) std::rethrow_exception(failure_);
    return record_;
  }

 private:
  static std::vector<ColumnSpec> columns_of(std::span<const ArraySlice> slices) {
    std::vector<ColumnSpec> columns;
    for (const ArraySlice& s : slices)
      columns.push_back({checkpoint_dataset(s.name),
                         s.dtype,
                         {s.range.size()},
                         {{"first_element", s.range.begin}}});
    return columns;
  }

  void write() {
    try {
      for (std::size_t i = 0; i < bytes_.size(); ++i) file_.append(i, bytes_[i]);
      record_ = file_.finish();
    } catch (...) {
      failure_ = std::current_exception();
    }
    writing_.store(false, std::memory_order_release);
  }

  ExtentWriter file_;
  std::vector<AlignedBuffer<std::byte>> copies_;
  std::vector<std::span<const std::byte>> bytes_;
  FileRecord record_;
  std::exception_ptr failure_;
  std::atomic<bool> writing_{false};
  std::thread thread_;
};

Checkpointer::Checkpointer(Comm& comm, std::filesystem::path folder, CheckpointOptions options)
    : comm_(comm),
      store_(folder),
      folder_(std::move(folder)),
      options_(options),
      last_begin_(std::chrono::steady_clock::now()) {
  comm_.attempt([&] {
    if (!comm_.is_root()) return;
    create_folders(folder_);
    next_generation_ = store_.next_generation();
    store_.remove_unfinished();
  });
  comm_.broadcast(std::span(&next_generation_, 1));
}

Checkpointer::~Checkpointer() = default;

bool Checkpointer::local_due() const {
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - last_begin_;
  return since.count() >= options_.every_seconds;
}

bool Checkpointer::boundary(bool stop, const std::function<Snapshot()>& take) {
  // Ranks' clocks differ: the root's says what is due.
  std::int64_t flags[3] = {stop, comm_.is_root() && local_due(), writer_ && writer_->writing()};
  comm_.all_reduce_sum(std::span(flags));
  const bool any_stops = flags[0] > 0, due = flags[1] > 0, writing = flags[2] > 0;
  if (pending() && !writing) commit();
  if (any_stops)
    save(take());
  else if (due && !pending())
    begin(take());
  return any_stops;
}

void Checkpointer::save(const Snapshot& snapshot) {
  if (pending()) commit();
  start_writing(snapshot, false);
  commit();
}

void Checkpointer::begin(const Snapshot& snapshot) { start_writing(snapshot, true); }

void Checkpointer::start_writing(const Snapshot& snapshot, bool copies) {
  CHECK(!pending());
  last_begin_ = std::chrono::steady_clock::now();
  generation_ = next_generation_++;
  state_ = snapshot.state;
  state_["identity"] = snapshot.identity;
  my_slices_ = nlohmann::json::array();
  arrays_ = nlohmann::json::array();
  for (const ArraySlice& s : snapshot.slices) {
    CHECK(s.bytes.size() == std::size_t(s.range.size()) * size_of(s.dtype), s.name);
    my_slices_.push_back({{"array", s.name}, {"begin", s.range.begin}, {"end", s.range.end}});
    arrays_.push_back({{"name", s.name}, {"dtype", name_of(s.dtype)}, {"size", s.size}});
  }
  const std::filesystem::path folder = store_.generation_folder(generation_);
  try {
    comm_.attempt([&] {
      if (comm_.is_root()) create_folders(folder);
    });
    comm_.attempt([&] {
      writer_ = std::make_unique<Writer>(folder / CheckpointStore::part_name(comm_.rank()),
                                         snapshot.slices, copies);
    });
  } catch (const Error&) {
    abandon();
    throw;
  }
  writer_->start();
}

void Checkpointer::commit() {
  CHECK(pending());
  try {
    FileRecord record;
    comm_.attempt([&] { record = writer_->finish(); });
    const nlohmann::json mine = {{"file", to_json(record)}, {"slices", my_slices_}};
    const std::vector<std::string> parts = comm_.all_gather_strings(mine.dump());
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      nlohmann::json manifest = {
          {"kind", kCheckpointKind},   {"format_version", kCheckpointVersion},
          {"generation", generation_}, {"arrays", arrays_},
          {"state", state_},           {"parts", nlohmann::json::array()}};
      for (const std::string& part : parts)
        manifest["parts"].push_back(nlohmann::json::parse(part));
      sync_folder(folder_);
      write_sealed_json(store_.manifest_of(generation_), manifest);
    });
  } catch (const Error&) {
    abandon();
    throw;
  }
  writer_.reset();
  comm_.attempt([&] {
    if (comm_.is_root()) store_.retain(options_.keep);
  });
  on_commit_(generation_, state_);
}

void Checkpointer::abandon() {
  writer_.reset();
  comm_.barrier();
  try {
    if (comm_.is_root()) store_.remove_unfinished();
  } catch (const Error& e) {
    log_warning("{}", e.what());  // the next start removes it
  }
}

CheckpointManifest Checkpointer::read_manifest(std::int64_t generation) {
  const std::filesystem::path file = store_.manifest_of(generation);
  std::string text;
  comm_.attempt([&] {
    if (comm_.is_root()) text = read_sealed_json(file).dump();
  });
  const nlohmann::json json = nlohmann::json::parse(comm_.broadcast_string(text));
  try {
    CheckpointManifest manifest = checkpoint_manifest_from_json(json, file.string());
    if (manifest.generation != generation)
      throw Error(ExitCode::data, fmt::format("it is of generation {}", manifest.generation),
                  file.string());
    return manifest;
  } catch (const Error& e) {
    throw e.as_agreed();  // every rank reads the same text
  }
}

void Checkpointer::fill(const CheckpointManifest& manifest,
                        std::span<const ArraySlice> wanted) const {
  std::vector<std::int64_t> filled(wanted.size(), 0);
  for (const CheckpointPart& part : manifest.parts) {
    const std::filesystem::path file =
        store_.generation_folder(manifest.generation) / part.file.name;
    std::optional<ExtentReader> reader;
    for (const CheckpointSlice& slice : part.slices) {
      for (std::size_t w = 0; w < wanted.size(); ++w) {
        const ArraySlice& want = wanted[w];
        const Range both{std::max(slice.range.begin, want.range.begin),
                         std::min(slice.range.end, want.range.end)};
        if (want.name != slice.array || both.size() <= 0) continue;
        if (!reader) reader.emplace(file, part.file);
        const std::size_t width = size_of(want.dtype);
        reader->read(std::size_t(slice.extent), both.begin - slice.range.begin, both.size(),
                     want.bytes.subspan(std::size_t(both.begin - want.range.begin) * width,
                                        std::size_t(both.size()) * width));
        filled[w] += both.size();
      }
    }
  }
  for (std::size_t w = 0; w < wanted.size(); ++w)
    if (filled[w] != wanted[w].range.size())
      throw Error(ExitCode::data, "the parts do not cover array " + wanted[w].name,
                  store_.manifest_of(manifest.generation).string());
}

std::optional<nlohmann::json> Checkpointer::restore(const nlohmann::json& identity,
                                                    std::span<const ArraySlice> wanted) {
  std::vector<std::int64_t> generations;
  comm_.attempt([&] {
    if (comm_.is_root()) generations = store_.committed();
  });
  std::int64_t count = std::int64_t(generations.size());
  comm_.broadcast(std::span(&count, 1));
  generations.resize(std::size_t(count));
  comm_.broadcast(std::span(generations));
  for (std::int64_t generation : generations) {
    try {
      const CheckpointManifest manifest = read_manifest(generation);
      require_same(manifest, identity, wanted);
      comm_.attempt([&] { fill(manifest, wanted); });
      generation_ = generation;
      return manifest.state;
    } catch (const Error& e) {
      if (e.code() != ExitCode::data) throw;
      log_warning("checkpoint generation {} is damaged and set aside; taking the one before: {}",
                  generation, e.what());
      comm_.attempt([&] {
        if (comm_.is_root()) store_.set_aside(generation);
      });
    }
  }
  return std::nullopt;
}

}  // namespace tutti
