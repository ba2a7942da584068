// Reads arrays out of a committed generation, each block from the cheapest place where its checksum
// holds: this node's folder, the run's folder, another node's folder.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/checkpoint/array_slice.h"
#include "runtime/checkpoint/levels.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/comm/comm.h"

namespace tutti {

class GenerationReader {
 public:
  // All outlive the reader.
  GenerationReader(Comm& comm, const CheckpointLevels& levels, const CheckpointManifest& manifest)
      : comm_(comm), levels_(levels), manifest_(manifest) {}

  // Fills `wanted`: any slices of the generation's arrays, whoever wrote them. Collective; throws
  // Error(data) on all ranks where a block is nowhere whole, Error(io) where it may be but could
  // not be read, and warns where one was whole in a dearer place only.
  void fill(std::span<const ArraySlice> wanted);

 private:
  // Elements of an extent of a part, within one block of checksums, and where they go.
  struct Piece {
    std::int64_t part = 0, extent = 0, begin = 0, count = 0;
    std::span<std::byte> to;
    std::size_t asked = 0;  // nodes that were asked for it
  };

  std::vector<Piece> local_pieces(std::span<const ArraySlice> wanted, std::int64_t part) const;
  // Reads what this rank can open; returns the pieces that it cannot read.
  std::vector<Piece> local_read(std::span<const ArraySlice> wanted);
  std::vector<Piece> local_read_from(const std::filesystem::path& file, std::int64_t part,
                                     std::vector<Piece> pieces);
  // Gets pieces from other nodes' folders; returns those that no node has.
  std::vector<Piece> fetch(std::vector<Piece> missing);
  std::vector<Piece> ask(const std::vector<std::vector<Piece>>& asked);
  std::vector<std::vector<int>> holders();
  static std::vector<std::byte> requests_for(const std::vector<Piece>& pieces);
  std::vector<std::byte> local_answer(std::span<const std::byte> requests);
  void note(const Error& e);
  std::string name_of_block(const Piece& piece) const;

  Comm& comm_;
  const CheckpointLevels& levels_;
  const CheckpointManifest& manifest_;
  std::optional<Error> unreadable_;  // the last failure to read that was no damage
};

}  // namespace tutti
