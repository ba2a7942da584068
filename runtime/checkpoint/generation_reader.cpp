#include "runtime/checkpoint/generation_reader.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include <fmt/format.h>

#include "kernels/core/parallel.h"
#include "runtime/base/log.h"
#include "runtime/io/extent_file.h"

namespace tutti {
namespace {

// Pieces that a rank asks for at a time: 64 MiB of answers.
constexpr std::size_t kAtATime = 16;

// A piece as another node is asked for it.
struct Request {
  std::int64_t part, extent, begin, count;
};

}  // namespace

void GenerationReader::fill(std::span<const ArraySlice> wanted) {
  std::vector<Piece> missing;
  comm_.attempt([&] { missing = local_read(wanted); });
  if (comm_.all_reduce_sum(std::int64_t(missing.size())) == 0) return;
  const std::vector<Piece> lost = fetch(std::move(missing));
  comm_.attempt([&] {
    if (lost.empty()) return;
    if (unreadable_) throw *unreadable_;  // another start may be luckier
    throw Error(ExitCode::data, "no storage level has this block whole",
                name_of_block(lost.front()));
  });
}

// What could not be read is not damaged for that.
void GenerationReader::note(const Error& e) {
  if (e.code() == ExitCode::io)
    unreadable_ = e;
  else if (e.code() != ExitCode::data)
    throw e;
}

std::string GenerationReader::name_of_block(const Piece& piece) const {
  const FileRecord& file = manifest_.parts[std::size_t(piece.part)].file;
  const ExtentRecord& extent = file.extents[std::size_t(piece.extent)];
  return fmt::format("generation {}, {}, dataset {}, block {}", manifest_.generation, file.name,
                     extent.dataset,
                     piece.begin * std::int64_t(size_of(extent.dtype)) / kBlockBytes);
}

std::vector<GenerationReader::Piece> GenerationReader::local_pieces(
    std::span<const ArraySlice> wanted, std::int64_t part) const {
  std::vector<Piece> pieces;
  for (const CheckpointSlice& slice : manifest_.parts[std::size_t(part)].slices)
    for (const ArraySlice& want : wanted) {
      const Range both{std::max(slice.range.begin, want.range.begin),
                       std::min(slice.range.end, want.range.end)};
      if (want.name != slice.array || both.size() <= 0) continue;
      const std::int64_t width = std::int64_t(size_of(want.dtype)), block = kBlockBytes / width;
      const std::int64_t end = both.end - slice.range.begin;
      for (std::int64_t at = both.begin - slice.range.begin; at < end;) {
        const std::int64_t count = std::min(end, (at / block + 1) * block) - at;
        const std::int64_t to = slice.range.begin + at - want.range.begin;
        pieces.push_back({part, slice.extent, at, count,
                          want.bytes.subspan(std::size_t(to * width), std::size_t(count * width))});
        at += count;
      }
    }
  return pieces;
}

std::vector<GenerationReader::Piece> GenerationReader::local_read(
    std::span<const ArraySlice> wanted) {
  std::vector<Piece> missing;
  for (std::int64_t part = 0; part < std::int64_t(manifest_.parts.size()); ++part) {
    std::vector<Piece> pieces = local_pieces(wanted, part);
    if (pieces.empty()) continue;
    const std::string& name = manifest_.parts[std::size_t(part)].file.name;
    for (const auto& file : levels_.local_sources(manifest_.generation, name))
      if (!pieces.empty()) pieces = local_read_from(file, part, std::move(pieces));
    missing.insert(missing.end(), pieces.begin(), pieces.end());
  }
  return missing;
}

// Returns the pieces that this file does not have whole, with one warning for all of them.
std::vector<GenerationReader::Piece> GenerationReader::local_read_from(
    const std::filesystem::path& file, std::int64_t part, std::vector<Piece> pieces) {
  std::vector<Piece> missing;
  std::string damage;
  try {
    const ExtentReader reader(file, manifest_.parts[std::size_t(part)].file, true);
    std::mutex mutex;
    parallel_for_dynamic(std::int64_t(pieces.size()), [&](std::int64_t i) {
      const Piece& piece = pieces[std::size_t(i)];
      try {
        reader.read(std::size_t(piece.extent), piece.begin, piece.count, piece.to);
      } catch (const Error& e) {
        const std::lock_guard<std::mutex> lock(mutex);
        note(e);
        missing.push_back(piece);
        if (damage.empty()) damage = e.what();
      }
    });
  } catch (const Error& e) {
    note(e);
    missing = std::move(pieces);
    damage = e.what();
  }
  if (!missing.empty())
    log_warning("checkpoint generation {}: {} block{} to be taken from elsewhere: {}",
                manifest_.generation, missing.size(), missing.size() == 1 ? "" : "s", damage);
  return missing;
}

// The ranks, one a node, in whose node's folder each part stands.
std::vector<std::vector<int>> GenerationReader::holders() {
  std::vector<std::int64_t> mine;
  if (comm_.is_node_root())
    for (std::size_t p = 0; p < manifest_.parts.size(); ++p)
      if (levels_.local_file(manifest_.generation, manifest_.parts[p].file.name)) {
        mine.push_back(comm_.rank());
        mine.push_back(std::int64_t(p));
      }
  const std::vector<std::int64_t> all = comm_.all_gather(std::span<const std::int64_t>(mine));
  std::vector<std::vector<int>> ranks(manifest_.parts.size());
  for (std::size_t i = 0; i < all.size(); i += 2)
    if (comm_.nodes_of_ranks()[std::size_t(all[i])] != comm_.node())  // here it was tried already
      ranks[std::size_t(all[i + 1])].push_back(int(all[i]));
  return ranks;
}

std::vector<GenerationReader::Piece> GenerationReader::fetch(std::vector<Piece> missing) {
  const std::vector<std::vector<int>> holders = this->holders();
  std::vector<Piece> lost;
  do {
    std::vector<std::vector<Piece>> asked(std::size_t(comm_.size()));
    for (std::size_t n = 0; n < kAtATime && !missing.empty(); ++n) {
      Piece piece = missing.back();
      missing.pop_back();
      const std::vector<int>& ranks = holders[std::size_t(piece.part)];
      if (piece.asked == ranks.size())
        lost.push_back(piece);
      else
        asked[std::size_t(ranks[piece.asked++])].push_back(piece);
    }
    const std::vector<Piece> refused = ask(asked);
    missing.insert(missing.end(), refused.begin(), refused.end());
  } while (comm_.all_reduce_sum(std::int64_t(missing.size())) > 0);
  return lost;
}

// Gets asked[r] from rank r; returns the pieces that it does not have whole.
std::vector<GenerationReader::Piece> GenerationReader::ask(
    const std::vector<std::vector<Piece>>& asked) {
  ByteLists requests, answers;
  for (const std::vector<Piece>& pieces : asked) requests.push_back(requests_for(pieces));
  for (const auto& theirs : comm_.all_to_all(requests)) answers.push_back(local_answer(theirs));
  const ByteLists got = comm_.all_to_all(answers);
  std::vector<Piece> refused;
  for (std::size_t rank = 0; rank < asked.size(); ++rank) {
    std::span<const std::byte> bytes = got[rank];
    for (const Piece& piece : asked[rank]) {
      const bool whole = bytes.front() == std::byte(1);
      bytes = bytes.subspan(1);
      if (!whole) {
        refused.push_back(piece);
        continue;
      }
      std::memcpy(piece.to.data(), bytes.data(), piece.to.size());
      bytes = bytes.subspan(piece.to.size());
    }
  }
  return refused;
}

std::vector<std::byte> GenerationReader::requests_for(const std::vector<Piece>& pieces) {
  std::vector<Request> requests;
  for (const Piece& p : pieces) requests.push_back({p.part, p.extent, p.begin, p.count});
  const auto bytes = std::as_bytes(std::span(requests));
  return {bytes.begin(), bytes.end()};
}

// For each request a byte that says whether the piece is whole here, and the piece.
std::vector<std::byte> GenerationReader::local_answer(std::span<const std::byte> bytes) {
  std::vector<Request> requests(bytes.size() / sizeof(Request));
  if (!bytes.empty()) std::memcpy(requests.data(), bytes.data(), bytes.size());
  std::vector<std::byte> answer;
  for (const Request& request : requests) {
    const FileRecord& record = manifest_.parts[std::size_t(request.part)].file;
    const ExtentRecord& extent = record.extents[std::size_t(request.extent)];
    std::vector<std::byte> piece(std::size_t(request.count) * size_of(extent.dtype));
    try {
      const auto file = levels_.local_file(manifest_.generation, record.name);
      if (!file) throw Error(ExitCode::data, "the part is gone", record.name);
      ExtentReader(*file, record)
          .read(std::size_t(request.extent), request.begin, request.count, piece);
      answer.push_back(std::byte(1));
      answer.insert(answer.end(), piece.begin(), piece.end());
    } catch (const Error& e) {
      log_warning("checkpoint generation {}: {}", manifest_.generation, e.what());
      answer.push_back(std::byte(0));
    }
  }
  return answer;
}

}  // namespace tutti
