// Foreign HDF5 files, such as those of ann-benchmarks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tutti {

// The HDF5 library's version as found at run time: "1.10.8".
std::string hdf5_library();

// A dataset as found in a foreign file.
struct Hdf5Dataset {
  enum class Type { floating, integer, other };
  std::string path;  // "/train"
  Type type = Type::other;
  int element_bytes = 0;
  std::vector<std::int64_t> shape;
};

// Reads any HDF5 file, contiguous, chunked or compressed, as far as the library goes.
// Throws Error(data) naming the file where it is none or lacks what is asked for. Local; one lock
// serialises all use of HDF5 in the process.
class Hdf5Import {
 public:
  explicit Hdf5Import(std::filesystem::path path);
  ~Hdf5Import();
  Hdf5Import(Hdf5Import&&) noexcept;

  // Every dataset, in order of path.
  const std::vector<Hdf5Dataset>& datasets() const;
  // The one called `path` ("/train"; the leading "/" may be left out), or nullptr.
  const Hdf5Dataset* find(const std::string& path) const;
  // A scalar attribute of the root group, numbers as text; nothing where there is none.
  std::optional<std::string> attribute(const std::string& name) const;

  // Rows [begin, begin + count) of a numeric dataset of one or two dimensions, row-major, converted
  // to the element type as HDF5 does (clipped to its range). `data` must have count * (columns or
  // 1) elements.
  void read_rows(const Hdf5Dataset& dataset, std::int64_t begin, std::int64_t count,
                 std::span<float> data) const;
  void read_rows(const Hdf5Dataset& dataset, std::int64_t begin, std::int64_t count,
                 std::span<std::uint8_t> data) const;
  void read_rows(const Hdf5Dataset& dataset, std::int64_t begin, std::int64_t count,
                 std::span<std::int32_t> data) const;
  void read_rows(const Hdf5Dataset& dataset, std::int64_t begin, std::int64_t count,
                 std::span<std::int64_t> data) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tutti
