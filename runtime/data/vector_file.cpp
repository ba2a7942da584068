#include "runtime/data/vector_file.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include <fmt/format.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/data/npy.h"
#include "runtime/io/file.h"
#include "runtime/io/hdf5_import.h"

namespace tutti {
namespace {

constexpr std::int64_t kMostDimensions = 1 << 20;

[[noreturn]] void wrong(const std::filesystem::path& path, const std::string& what,
                        const std::string& fix = "") {
  throw Error(ExitCode::data, what, path.string(), fix);
}

// Throws for a count of dimensions that no vector has.
std::int64_t checked_dimension(const std::filesystem::path& path, std::int64_t dimension) {
  if (dimension < 1 || dimension > kMostDimensions)
    wrong(path,
          fmt::format("the header claims vectors of {} dimensions; expected 1 to {}", dimension,
                      kMostDimensions),
          "check input.format");
  return dimension;
}

template <class T>
T read_value(const File& file, std::int64_t offset) {
  T value;
  file.read_at(std::as_writable_bytes(std::span(&value, 1)), offset);
  return value;
}

// The index of the first element from `begin` on that is NaN or infinite, or `count`. In those, and
// in no others, all exponent bits are set.
template <class Bits, Bits kExponent>
std::int64_t find_non_finite(const std::byte* data, std::int64_t begin, std::int64_t count) {
  constexpr std::int64_t kBlock = 4096;
  const auto non_finite = [data](std::int64_t i) {
    Bits bits;
    std::memcpy(&bits, data + i * std::int64_t(sizeof(Bits)), sizeof(Bits));
    return Bits(bits & kExponent) == kExponent;
  };
  for (; begin < count; begin += kBlock) {
    const std::int64_t end = std::min(count, begin + kBlock);
    bool found = false;  // without a branch an element: the loop becomes vector code
    for (std::int64_t i = begin; i < end; ++i) found |= non_finite(i);
    for (std::int64_t i = begin; found && i < end; ++i)
      if (non_finite(i)) return i;
  }
  return count;
}

}  // namespace

// One format's way to its rows.
class VectorFile::Source {
 public:
  virtual ~Source() = default;
  virtual void read(std::int64_t begin, std::int64_t count, std::span<std::byte> data) const = 0;

  std::int64_t rows = 0, dimension = 0;
  DType dtype = DType::f32;
};

namespace {

// fvecs, ivecs, bvecs: each row is an int32 with its dimension, then its elements.
class RowHeaderSource : public VectorFile::Source {
 public:
  RowHeaderSource(const std::filesystem::path& path, DType type) : file_(path, FileMode::read) {
    dtype = type;
    const std::int64_t size = file_.size();
    if (size < 4)
      wrong(path,
            fmt::format("the file has {} bytes; expected a row's dimension in the first 4", size));
    dimension = checked_dimension(path, read_value<std::int32_t>(file_, 0));
    stride_ = 4 + dimension * std::int64_t(size_of(dtype));
    rows = size / stride_;
    if (size % stride_)
      wrong(path, fmt::format("cut off in row {}: the file has {} bytes; expected a multiple of {} "
                              "(4 + {} x {} a row)",
                              rows, size, stride_, dimension, size_of(dtype)));
  }

  void read(std::int64_t begin, std::int64_t count, std::span<std::byte> data) const override {
    constexpr std::int64_t kPieceBytes = 1 << 20;  // stays in the cache between reading and copying
    const std::int64_t most = std::max<std::int64_t>(1, kPieceBytes / stride_), bytes = stride_ - 4;
    std::vector<std::byte> piece(std::size_t(std::min(count, most) * stride_));
    for (std::int64_t row = 0; row < count; row += most) {
      const std::int64_t n = std::min(most, count - row);
      file_.read_at(std::span(piece).first(std::size_t(n * stride_)), (begin + row) * stride_);
      for (std::int64_t i = 0; i < n; ++i) {
        const std::byte* from = piece.data() + i * stride_;
        check_row(from, begin + row + i);
        std::memcpy(data.data() + (row + i) * bytes, from + 4, std::size_t(bytes));
      }
    }
  }

 private:
  void check_row(const std::byte* from, std::int64_t row) const {
    std::int32_t found;
    std::memcpy(&found, from, 4);
    if (found != dimension)
      wrong(file_.path(),
            fmt::format("row {} (byte {}) has {} dimensions; expected {}, as in the first row", row,
                        row * stride_, found, dimension));
  }

  File file_;
  std::int64_t stride_ = 0;
};

// A block of rows, one behind another, from some byte on: the big-ann formats and npy.
class BlockSource : public VectorFile::Source {
 public:
  static std::unique_ptr<BlockSource> big_ann(const std::filesystem::path& path, DType type) {
    auto source = std::unique_ptr<BlockSource>(new BlockSource(path));
    const std::int64_t size = source->file_.size();
    if (size < 8) wrong(path, fmt::format("the file has {} bytes; expected a header of 8", size));
    source->rows = read_value<std::uint32_t>(source->file_, 0);
    source->dimension = checked_dimension(path, read_value<std::uint32_t>(source->file_, 4));
    source->dtype = type;
    source->offset_ = 8;
    source->check_size();
    return source;
  }

  static std::unique_ptr<BlockSource> npy(const std::filesystem::path& path) {
    auto source = std::unique_ptr<BlockSource>(new BlockSource(path));
    const NpyHeader header = read_npy_header(source->file_);
    if (header.shape.size() != 2)
      wrong(path, fmt::format("the array has {} dimensions; expected 2: rows and columns",
                              header.shape.size()));
    if (header.fortran_order)
      wrong(path, "the array is in Fortran order; expected C order",
            "save numpy.ascontiguousarray of it");
    source->rows = header.shape[0];
    source->dimension = checked_dimension(path, header.shape[1]);
    source->set_npy_type(header.descr);
    source->offset_ = header.data_offset;
    source->check_size();
    return source;
  }

  void read(std::int64_t begin, std::int64_t count, std::span<std::byte> data) const override {
    const std::int64_t at = offset_ + begin * dimension * stored_bytes();
    if (!doubles_) return file_.read_at(data, at);
    std::vector<double> stored(std::size_t(count * dimension));
    file_.read_at(std::as_writable_bytes(std::span(stored)), at);
    for (std::size_t i = 0; i < stored.size(); ++i) {
      const float value = float(stored[i]);  // too large for f32: infinite, which read_rows finds
      std::memcpy(data.data() + i * sizeof(float), &value, sizeof(float));
    }
  }

 private:
  explicit BlockSource(const std::filesystem::path& path) : file_(path, FileMode::read) {}

  std::int64_t stored_bytes() const { return doubles_ ? 8 : std::int64_t(size_of(dtype)); }

  void set_npy_type(const std::string& descr) {
    static const std::pair<const char*, DType> types[] = {
        {"<f4", DType::f32}, {"<f8", DType::f32}, {"<f2", DType::f16}, {"|u1", DType::u8},
        {"|i1", DType::i8},  {"<i4", DType::i32}, {"<i8", DType::i64}};
    for (const auto& [name, type] : types) {
      if (descr != name) continue;
      dtype = type;
      doubles_ = descr == "<f8";
      return;
    }
    wrong(file_.path(),
          "elements of type '" + descr + "'; expected <f4, <f2, <f8, |u1, |i1, <i4 or <i8",
          "convert them with astype");
  }

  void check_size() const {
    const std::int64_t size = file_.size(), row = dimension * stored_bytes();
    const std::int64_t whole =
        (size - offset_) / row;  // dividing cannot overflow, however the header lies
    if (whole != rows || (size - offset_) % row)
      wrong(file_.path(),
            fmt::format(
                "the header claims {} rows of {} dimensions ({} bytes each, from byte {} on); the "
                "file has {} bytes, {} rows",
                rows, dimension, row, offset_, size, whole));
  }

  File file_;
  std::int64_t offset_ = 0;
  bool doubles_ = false;
};

// A dataset of an HDF5 file.
class Hdf5Source : public VectorFile::Source {
 public:
  Hdf5Source(const std::filesystem::path& path, const std::string& dataset)
      : path_(path), file_(path) {
    const Hdf5Dataset* found = file_.find(dataset);
    if (!found)
      wrong(path, "no dataset \"" + dataset + "\"", "it has:" + listed() + "; see input.dataset");
    dataset_ = *found;
    if (dataset_.shape.size() != 2)
      wrong(path, fmt::format("dataset {} has {} dimensions; expected 2: rows and columns",
                              dataset_.path, dataset_.shape.size()));
    const bool bytes = dataset_.type == Hdf5Dataset::Type::integer && dataset_.element_bytes == 1;
    if (!bytes && dataset_.type != Hdf5Dataset::Type::floating)
      wrong(path, "dataset " + dataset_.path +
                      " holds neither floating-point numbers nor 8-bit integers");
    rows = dataset_.shape[0];
    dimension = checked_dimension(path, dataset_.shape[1]);
    dtype = bytes ? DType::u8 : DType::f32;
  }

  void read(std::int64_t begin, std::int64_t count, std::span<std::byte> data) const override {
    if (dtype == DType::f32) {
      std::vector<float> values(std::size_t(count * dimension));
      file_.read_rows(dataset_, begin, count, std::span(values));
      std::memcpy(data.data(), values.data(), data.size());
      return;
    }
    std::vector<std::int32_t> values(std::size_t(count * dimension));
    file_.read_rows(dataset_, begin, count, std::span(values));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] < 0)
        wrong(path_, fmt::format("row {} of dataset {} has the element {}; expected 0 to 255",
                                 begin + std::int64_t(i) / dimension, dataset_.path, values[i]));
      data[i] = std::byte(values[i]);
    }
  }

 private:
  std::string listed() const {
    std::string names;
    for (const Hdf5Dataset& d : file_.datasets()) names += " " + d.path;
    return names;
  }

  std::filesystem::path path_;
  Hdf5Import file_;
  Hdf5Dataset dataset_;
};

std::string format_of(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  if (ending == ".h5") return "hdf5";
  const auto& formats = vector_formats();
  if (ending.empty() ||
      std::find(formats.begin(), formats.end(), ending.substr(1)) == formats.end())
    wrong(path, "the ending names no vector format", "set input.format, such as \"vectors:fvecs\"");
  return ending.substr(1);
}

std::unique_ptr<VectorFile::Source> open_source(const std::filesystem::path& path,
                                                const std::string& format,
                                                const std::string& dataset) {
  static const std::pair<const char*, DType> row_headers[] = {
      {"fvecs", DType::f32}, {"ivecs", DType::i32}, {"bvecs", DType::u8}};
  static const std::pair<const char*, DType> big_ann[] = {{"fbin", DType::f32},
                                                          {"f16bin", DType::f16},
                                                          {"u8bin", DType::u8},
                                                          {"i8bin", DType::i8},
                                                          {"ibin", DType::i32}};
  for (const auto& [name, type] : row_headers)
    if (format == name) return std::make_unique<RowHeaderSource>(path, type);
  for (const auto& [name, type] : big_ann)
    if (format == name) return BlockSource::big_ann(path, type);
  if (format == "npy") return BlockSource::npy(path);
  CHECK(format == "hdf5", format);
  return std::make_unique<Hdf5Source>(path, dataset);
}

}  // namespace

const std::vector<std::string>& vector_formats() {
  static const std::vector<std::string> formats = {"fvecs", "ivecs", "bvecs", "fbin", "f16bin",
                                                   "u8bin", "i8bin", "ibin",  "npy",  "hdf5"};
  return formats;
}

VectorFile::VectorFile(std::filesystem::path path, const std::string& format,
                       const std::string& dataset)
    : path_(std::move(path)) {
  std::error_code unreadable;
  if (std::filesystem::file_size(path_, unreadable) == 0 && !unreadable)
    wrong(path_, "the file is empty");
  source_ = open_source(path_, format.empty() ? format_of(path_) : format, dataset);
  rows_ = source_->rows;
  dimension_ = source_->dimension;
  dtype_ = source_->dtype;
  if (rows_ == 0) wrong(path_, "the file holds no rows");
}

VectorFile::~VectorFile() = default;
VectorFile::VectorFile(VectorFile&&) noexcept = default;

void VectorFile::read_rows(std::int64_t begin, std::int64_t count, std::span<std::byte> data,
                           std::vector<std::int64_t>* bad) const {
  CHECK(begin >= 0 && count >= 0 && begin + count <= rows_);
  CHECK(std::int64_t(data.size()) == count * row_bytes());
  if (count == 0) return;
  source_->read(begin, count, data);
  const auto next_bad = [&](std::int64_t from) {
    const std::int64_t elements = count * dimension_;
    if (dtype_ == DType::f32)
      return find_non_finite<std::uint32_t, 0x7F800000u>(data.data(), from, elements);
    if (dtype_ == DType::f16)
      return find_non_finite<std::uint16_t, 0x7C00u>(data.data(), from, elements);
    return elements;
  };
  for (std::int64_t i = 0; (i = next_bad(i)) < count * dimension_;) {
    const std::int64_t row = i / dimension_;
    if (!bad)
      wrong(path_,
            fmt::format("row {}, element {} is not a finite number", begin + row, i % dimension_),
            "mend the vectors, or set on_bad_record = \"skip\"");
    bad->push_back(begin + row);
    i = (row + 1) * dimension_;
  }
}

}  // namespace tutti
