#include "jobs/graph_builder.h"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "jobs/list_reader.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/commit.h"
#include "runtime/data/paths.h"
#include "runtime/io/digest.h"

namespace tutti {
namespace {

constexpr std::int32_t kUnknown = -2;
constexpr std::int64_t kRows = 8192;         // whose neighbours are looked for at a time
constexpr std::int64_t kRowsSent = 1 << 16;  // whose edges are in transit at a time
constexpr std::int64_t kMostFiles = 256;     // that a start leaves

template <class T>
void append(std::vector<std::byte>& message, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  message.insert(message.end(), bytes.begin(), bytes.end());
}

}  // namespace

void GraphOptions::describe(Schema& s) {
  s.key(
      "index.graph", &wanted,
      "build a graph of near vectors beside the lists, by which a few queries, or such as want a "
      "high recall, are answered faster: search.by = \"graph\". Each rank holds all vectors then, "
      "and must have the memory");
  s.key("graph.degree", &shape.degree, "neighbours",
        "at most so many of a vector, one less but for where nothing else leads to another");
  s.key("graph.probes", &shape.probes, "lists",
        "a vector's neighbours are looked for in so many lists, the nearest to it");
}

void GraphOptions::check() const {
  const auto wrong = [](const std::string& what, const char* key, const char* fix) {
    throw Error(ExitCode::usage, what, key, fix);
  };
  if (shape.degree < 4 || shape.degree > 1024)
    wrong("no number of neighbours for a graph", "graph.degree", "give 4 to 1024; 32 is usual");
  if (shape.probes < 1)
    wrong("at least one list must be looked into", "graph.probes", "16 is usual");
}

void GraphOptions::check_fits(std::int64_t vectors, std::int64_t dim, DType storage,
                              std::int64_t memory) const {
  if (!wanted) return;
  if (vectors >= std::numeric_limits<std::int32_t>::max())
    throw Error(ExitCode::usage,
                fmt::format("a graph is of fewer than 2^31 vectors, not {}", vectors),
                "index.graph", "build several indexes, or search by lists");
  check_graph_memory(bytes_to_build(vectors, dim, storage, shape.degree), memory,
                     fmt::format("a graph of {} vectors", vectors),
                     "leave out index.graph and search by lists");
}

GraphBuilder::GraphBuilder(JobContext& context, const IndexFolder& index, const GraphShape& shape)
    : context_(context),
      comm_(context.comm),
      index_(index),
      shape_(shape),
      degree_(shape.degree),
      entries_(index.dataset.rows("entries")),
      my_rows_(part_of(entries_, comm_.size(), comm_.rank())),
      next_(my_rows_.begin) {
  const auto timed = context_.phases.measure("load");
  comm_.attempt([&] { load(); });
}

void GraphBuilder::load() {
  space_ = index_.read_code_space();
  centroids_ = index_.read_centroids();
  begins_ = list_begins(index_);
  vectors_ = ListReader(index_, std::nullopt).load(Range{0, entries_});
  build_.emplace(
      *space_,
      ListedVectors{vectors_.placed().rows, begins_, {centroids_.data(), index_.nlist, index_.dim}},
      shape_);
  edges_.grow(my_rows_.size() * degree_);
  std::fill_n(edges_.data(), my_rows_.size() * degree_, kUnknown);
  const nlohmann::json identity = {{"index", index_.dataset.manifest().digest},
                                   {"graph", to_json(shape_)}};
  kept_.emplace(context_.run_folder / kBuildingFolder, kGraphFiles, digest_of(identity.dump()),
                my_rows_.size() / kMostFiles);
  kept_->each([&](Range rows, std::string_view bytes) { take_kept(rows, bytes); });
}

void GraphBuilder::take_kept(Range rows, std::string_view bytes) {
  const auto row_bytes = std::size_t(degree_) * sizeof(std::int32_t);
  if (bytes.size() != std::size_t(rows.size()) * row_bytes) return;
  const Range common{std::max(my_rows_.begin, rows.begin), std::min(my_rows_.end, rows.end)};
  for (std::int64_t row = common.begin; row < common.end; ++row) {
    known_ += !is_known(row);
    std::ranges::copy(bytes.substr(std::size_t(row - rows.begin) * row_bytes, row_bytes),
                      reinterpret_cast<char*>(this->rows({row, row + 1}).data));
  }
}

ExitCode GraphBuilder::run(std::vector<FileRecord>& files) {
  if (find_near() == ExitCode::stopped) return ExitCode::stopped;
  std::vector<Edge> incoming = exchange();
  {
    const auto timed = context_.phases.measure("graph");
    comm_.attempt([&] { add_incoming(std::move(incoming)); });
  }
  gather_on_root();
  const auto timed = context_.phases.measure("write");
  comm_.attempt([&] {
    if (!comm_.is_root()) return;
    const MatrixView<std::int32_t> edges(edges_.data(), entries_, degree_);
    const ListEntries starts = build_->entries(edges);
    const std::int64_t added = connect_graph(edges);
    log_info("a graph of {} vectors; {} edges added so that it leads everywhere", entries_, added);
    files.push_back(write_graph(index_.dataset.folder(), edges, starts));
  });
  return ExitCode::done;
}

// The neighbours that each vector chooses, from where earlier starts left them.
ExitCode GraphBuilder::find_near() {
  if (const std::int64_t found = comm_.all_reduce_sum(known_); found > 0)
    log_info("{} of {} vectors have neighbours already", found, entries_);
  while (true) {
    std::array<std::int64_t, 2> open = {known_ < my_rows_.size(), stop_requested()};
    comm_.all_reduce_sum(std::span(open));
    if (!open[0]) break;
    if (open[1]) {
      comm_.attempt([&] { kept_->flush(); });
      return ExitCode::stopped;
    }
    const auto timed = context_.phases.measure("graph");
    bool kept = false;
    comm_.attempt([&] { kept = find_next(); });
    const std::int64_t known = comm_.all_reduce_sum(known_);
    if (kept) context_.events.write("graph", {{"vectors", known}, {"of", entries_}});
  }
  comm_.attempt([&] { kept_->flush(); });
  return ExitCode::done;
}

// Returns whether rows have become durable.
bool GraphBuilder::find_next() {
  while (next_ < my_rows_.end && is_known(next_)) ++next_;
  Range unknown{next_, next_};
  while (unknown.end < my_rows_.end && unknown.size() < kRows && !is_known(unknown.end))
    ++unknown.end;
  if (unknown.size() == 0) return false;
  const MatrixView<std::int32_t> found = rows(unknown);
  build_->find_near(unknown.begin, found);
  known_ += unknown.size();
  return kept_->add(unknown, {reinterpret_cast<const char*>(found.data),
                              std::size_t(found.rows * found.cols) * sizeof(std::int32_t)});
}

// The edges that go to my rows.
std::vector<GraphBuilder::Edge> GraphBuilder::exchange() {
  const auto timed = context_.phases.measure("exchange");
  const std::int64_t rounds = comm_.all_reduce_max((my_rows_.size() + kRowsSent - 1) / kRowsSent);
  std::vector<Edge> incoming;
  for (std::int64_t round = 0; round < rounds; ++round) {
    ByteLists to_ranks(std::size_t(comm_.size()));
    comm_.attempt([&] {
      const std::int64_t begin = std::min(my_rows_.end, my_rows_.begin + round * kRowsSent),
                         end = std::min(my_rows_.end, begin + kRowsSent);
      for (std::int64_t row = begin; row < end; ++row)
        for (const std::int32_t to : std::span(rows({row, row + 1}).data, std::size_t(degree_))) {
          if (to < 0) break;
          const Edge edge{to, std::int32_t(row)};
          append(to_ranks[std::size_t(owner_of(entries_, comm_.size(), to))], std::span(&edge, 1));
        }
    });
    for (const auto& message : comm_.all_to_all(to_ranks)) {
      const std::size_t count = message.size() / sizeof(Edge), before = incoming.size();
      incoming.resize(before + count);
      std::ranges::copy(message,
                        std::as_writable_bytes(std::span(incoming).subspan(before)).begin());
    }
  }
  return incoming;
}

void GraphBuilder::add_incoming(std::vector<Edge> edges) {
  std::vector<std::int64_t> starts(std::size_t(my_rows_.size() + 1));
  for (const Edge& edge : edges) ++starts[std::size_t(edge.to - my_rows_.begin) + 1];
  for (std::size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];
  std::vector<std::int64_t> next(starts.begin(), starts.end() - 1);
  std::vector<std::int32_t> from(edges.size());
  for (const Edge& edge : edges)
    from[std::size_t(next[std::size_t(edge.to - my_rows_.begin)]++)] = edge.from;
  edges = {};
  build_->add_incoming(my_rows_.begin, {starts, from}, rows(my_rows_));
}

void GraphBuilder::gather_on_root() {
  if (comm_.size() == 1) return;
  const auto timed = context_.phases.measure("exchange");
  AlignedBuffer<std::int32_t> all;
  comm_.attempt([&] {
    if (comm_.is_root()) all.grow(entries_ * degree_);
  });
  const std::int64_t rounds = comm_.all_reduce_max((my_rows_.size() + kRowsSent - 1) / kRowsSent);
  for (std::int64_t round = 0; round < rounds; ++round) {
    const auto sent_by = [&](int rank) {
      const Range theirs = part_of(entries_, comm_.size(), rank);
      const std::int64_t begin = std::min(theirs.end, theirs.begin + round * kRowsSent);
      return Range{begin, std::min(theirs.end, begin + kRowsSent)};
    };
    ByteLists to_ranks(std::size_t(comm_.size()));
    comm_.attempt([&] {
      const MatrixView<std::int32_t> mine = rows(sent_by(comm_.rank()));
      append(to_ranks[0],
             std::span<const std::int32_t>(mine.data, std::size_t(mine.rows * mine.cols)));
    });
    const ByteLists messages = comm_.all_to_all(to_ranks);
    for (int rank = 0; comm_.is_root() && rank < comm_.size(); ++rank)
      std::ranges::copy(messages[std::size_t(rank)],
                        reinterpret_cast<std::byte*>(all.data() + sent_by(rank).begin * degree_));
  }
  edges_ = std::move(all);
}

ExitCode add_graph(JobContext& context, const GraphShape& shape, Manifest& manifest) {
  const IndexFolder index = open_index(context.comm, context.run_folder);
  if (index.vectors == 0) return ExitCode::done;
  ArtefactParts parts;
  if (GraphBuilder(context, index, shape).run(parts.files) == ExitCode::stopped)
    return ExitCode::stopped;
  const auto timed = context.phases.measure("commit");
  nlohmann::json metadata = manifest.metadata;
  metadata["graph"] = to_json(shape);
  manifest = commit_change(context.comm, context.run_folder, manifest, {metadata, ""}, parts);
  return ExitCode::done;
}

}  // namespace tutti
