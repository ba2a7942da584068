#include "runtime/checkpoint/partner_copies.h"

#include <nlohmann/json.hpp>

namespace tutti {
namespace {

// Apart from all other messages between two ranks.
constexpr int kFirstTag = 1000;

int tag_of(std::size_t column) { return kFirstTag + int(column); }

}  // namespace

std::vector<int> partners_of(std::span<const int> nodes_of_ranks) {
  std::vector<std::vector<int>> ranks_of_node;
  for (std::size_t r = 0; r < nodes_of_ranks.size(); ++r) {
    const std::size_t node = std::size_t(nodes_of_ranks[r]);
    if (node >= ranks_of_node.size()) ranks_of_node.resize(node + 1);
    ranks_of_node[node].push_back(int(r));
  }
  std::vector<int> partners(nodes_of_ranks.size(), -1);
  if (ranks_of_node.size() < 2) return partners;
  for (std::size_t n = 0; n < ranks_of_node.size(); ++n) {
    const std::vector<int>& next = ranks_of_node[(n + 1) % ranks_of_node.size()];
    for (std::size_t i = 0; i < ranks_of_node[n].size(); ++i)
      partners[std::size_t(ranks_of_node[n][i])] = next[i % next.size()];
  }
  return partners;
}

PartnerCopies::PartnerCopies(Comm& comm, bool wanted)
    : comm_(comm), partners_(partners_of(comm.nodes_of_ranks())) {
  if (!wanted) partners_.assign(partners_.size(), -1);
}

void PartnerCopies::begin(const CheckpointLevels& levels, std::int64_t generation,
                          std::span<const CheckpointArray> arrays,
                          std::span<const std::string> parts, std::span<const StagedColumn> mine,
                          bool verify) {
  verify_ = verify;
  std::vector<Comm::Transfer> transfers;
  comm_.attempt([&] {
    for (int r = 0; r < comm_.size(); ++r)
      if (partners_[std::size_t(r)] == comm_.rank())
        local_welcome(levels, generation, r,
                      checkpoint_part_from_json(nlohmann::json::parse(parts[std::size_t(r)]),
                                                arrays, "rank " + std::to_string(r)),
                      transfers);
  });
  const int partner = partners_[std::size_t(comm_.rank())];
  for (std::size_t c = 0; partner >= 0 && c < mine.size(); ++c) {
    // MPI does not write to what it sends.
    const std::span<std::byte> bytes(const_cast<std::byte*>(mine[c].bytes.data()),
                                     mine[c].bytes.size());
    if (!bytes.empty()) transfers.push_back({partner, bytes, true, tag_of(c)});
  }
  transfers_ = comm_.local_start(transfers);
  travelling_ = true;
}

void PartnerCopies::local_welcome(const CheckpointLevels& levels, std::int64_t generation, int rank,
                                  const CheckpointPart& part,
                                  std::vector<Comm::Transfer>& transfers) {
  std::size_t free = 0;
  while (free < guests_.size() && guests_[free].writer) ++free;
  if (free == guests_.size()) guests_.emplace_back();
  Guest& guest = guests_[free];
  guest.writer = std::make_unique<PartWriter>(levels.local_files(generation, part.file.name, false),
                                              columns_of(part));
  std::vector<std::int64_t> bytes;
  for (const ExtentRecord& extent : part.file.extents) bytes.push_back(extent.bytes);
  const std::vector<std::span<std::byte>> room = guest.staging.make_room(bytes);
  for (std::size_t c = 0; c < room.size(); ++c) {
    guest.staging.set_checksums(c, part.file.extents[c].crc32c);
    if (!room[c].empty()) transfers.push_back({rank, room[c], false, tag_of(c)});
  }
}

void PartnerCopies::start_writing(bool aside) {
  travelling_ = false;
  for (Guest& guest : guests_)
    if (guest.writer)
      guest.writer->start(guest.staging.columns(), {.aside = aside, .verify = verify_});
}

bool PartnerCopies::local_writing() {
  if (travelling_) {
    if (!transfers_.local_done()) return true;
    start_writing(true);
  }
  for (const Guest& guest : guests_)
    if (guest.writer && guest.writer->writing()) return true;
  return false;
}

void PartnerCopies::wait() {
  if (!travelling_) return;
  comm_.wait(transfers_);
  start_writing(false);
}

void PartnerCopies::local_finish() {
  for (Guest& guest : guests_)
    if (guest.writer) guest.writer->finish();
}

void PartnerCopies::clear() {
  for (Guest& guest : guests_) guest.writer.reset();
}

}  // namespace tutti
