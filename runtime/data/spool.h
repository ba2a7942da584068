// Bytes kept until it is known how many there are: in memory, and beyond a limit in a temporary
// file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "runtime/io/file.h"

namespace tutti {

// Appended to, then drained once. The file is made when the memory is full, and removed with the
// spool. Local; one thread. Throws Error(io).
class Spool {
 public:
  Spool(std::filesystem::path path, std::int64_t memory_bytes);
  ~Spool();
  Spool(Spool&&) noexcept = default;

  void append(std::span<const std::byte> data);
  std::int64_t bytes() const { return spilled_bytes_ + std::int64_t(memory_.size()); }

  // Hands all bytes, in order, to `take`, piece by piece; verifies what comes back from the file.
  void drain(const std::function<void(std::span<const std::byte>)>& take);

 private:
  struct Piece {
    std::int64_t bytes;
    std::uint32_t crc32c;
  };
  void spill();

  std::filesystem::path path_;
  std::size_t memory_bytes_;
  std::vector<std::byte> memory_;
  std::optional<File> file_;
  std::vector<Piece> pieces_;  // in the file, one after another
  std::int64_t spilled_bytes_ = 0;
};

}  // namespace tutti
