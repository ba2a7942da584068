// Plain files that are written from front to back, and are there when they are whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "runtime/io/file.h"

namespace tutti {

// Puts `from` in the place of `to` in the same folder, durably. Local; throws Error(io).
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);

// Writes temporary_of(path), of which finish() makes `path`: under that name there is the old file
// or the whole new one at any moment. Destroyed before finish(), it leaves nothing behind. Local;
// throws Error(io); a full disk shows in the constructor.
class OutputFile {
 public:
  OutputFile(std::filesystem::path path, std::int64_t bytes);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void append(std::span<const std::byte> data);
  // CHECKs that as many bytes are there as were announced. Once.
  void finish();

 private:
  void flush();

  std::filesystem::path path_;
  std::int64_t bytes_, written_ = 0;
  std::vector<std::byte> buffer_;
  File file_;
  bool finished_ = false;
};

}  // namespace tutti
