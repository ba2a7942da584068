// Files and folders, with every failure named: what was tried, where, why, and what to do about it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace tutti {

// How a File is opened.
enum class FileMode {
  read,    // must exist
  create,  // read and write; made anew, or cut to nothing where it exists
  update,  // read and write; must exist, contents kept
};

// An open file. Movable. Reads and writes name their offset, so threads may share one. All
// functions are local; they throw Error: ExitCode::data where a file is missing or shorter than
// asked for, ExitCode::io for everything else.
class File {
 public:
  // `direct` asks for direct I/O (O_DIRECT): memory, offset and length of every read and write must
  // then be multiples of 4096. Where the file system has no direct I/O, the page cache serves.
  File(std::filesystem::path path, FileMode mode, bool direct = false);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  const std::filesystem::path& path() const { return path_; }
  std::int64_t size() const;
  // Whether reads and writes go past the page cache, as far as is known by now.
  bool is_direct() const;

  // All of `data`, or an Error; short and interrupted calls are carried on.
  void read_at(std::span<std::byte> data, std::int64_t offset) const;
  void write_at(std::span<const std::byte> data, std::int64_t offset);

  // Reserves the blocks of [0, bytes) on disk and makes the file at least that long, so that a full
  // disk shows here.
  void preallocate(std::int64_t bytes);
  // To stable storage. A failure is final: what was written may be lost, and asking again would not
  // tell.
  void sync();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  bool sync_failed_ = false;
};

// The whole of a file.
std::string read_file(const std::filesystem::path& path);

// Puts `bytes` in the place of `path` so that at any moment, power cut included, either the old or
// the new file is there whole: writes temporary_of(path), syncs it, renames it, syncs the folder.
// Nothing is left behind on failure.
void atomic_replace(const std::filesystem::path& path, std::string_view bytes);
// "x.json" -> "x.json.tmp", where atomic_replace writes before it renames.
std::filesystem::path temporary_of(const std::filesystem::path& path);

// Makes the names in a folder durable.
void sync_folder(const std::filesystem::path& folder);
// With all parents; no error where it exists.
void create_folders(const std::filesystem::path& folder);
// No error where there is nothing.
void remove_file(const std::filesystem::path& path);
// With all that is in it. No error where there is nothing.
void remove_folder(const std::filesystem::path& path);

// Throws the Error for a system call that failed with `error_number` (an errno value) while doing
// `what` ("write").
[[noreturn]] void throw_file_error(std::string_view what, const std::filesystem::path& path,
                                   int error_number);

// A write beyond the limit on file sizes (ulimit -f) fails like any other, instead of ending the
// process by a signal. Call once, at the start.
void survive_file_size_limit();

}  // namespace tutti
