#include "runtime/io/hdf5_import.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "runtime/io/hdf5_handle.h"

namespace tutti {
namespace {

// A text attribute longer than this is none that we know what to do with.
constexpr std::size_t kMostAttributeBytes = 65536;

Hdf5Dataset describe(hid_t dataset, const std::string& path) {
  Hdf5Dataset found;
  found.path = path;
  const Hdf5Handle type(H5Dget_type(dataset), H5Tclose);
  const Hdf5Handle space(H5Dget_space(dataset), H5Sclose);
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind == H5T_FLOAT) found.type = Hdf5Dataset::Type::floating;
  if (kind == H5T_INTEGER) found.type = Hdf5Dataset::Type::integer;
  found.element_bytes = int(H5Tget_size(type.get()));
  const int dimensions = std::max(0, H5Sget_simple_extent_ndims(space.get()));
  std::vector<hsize_t> extents(std::size_t(dimensions), 0);
  if (dimensions > 0) H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
  found.shape.assign(extents.begin(), extents.end());
  return found;
}

herr_t collect_dataset(hid_t root, const char* name, const H5O_info_t* info, void* list) {
  if (info->type != H5O_TYPE_DATASET) return 0;
  const Hdf5Handle dataset(H5Dopen2(root, name, H5P_DEFAULT), H5Dclose);
  if (!dataset) return -1;
  static_cast<std::vector<Hdf5Dataset>*>(list)->push_back(
      describe(dataset.get(), std::string("/") + name));
  return 0;
}

std::optional<std::string> read_text(hid_t attribute, hid_t type) {
  const Hdf5Handle memory(H5Tcopy(type), H5Tclose);
  if (H5Tis_variable_str(type) > 0) {
    char* text = nullptr;
    if (H5Aread(attribute, memory.get(), &text) < 0 || text == nullptr) return std::nullopt;
    std::string value(text);
    H5free_memory(text);
    return value;
  }
  const std::size_t bytes = H5Tget_size(type);
  if (bytes > kMostAttributeBytes) return std::nullopt;
  std::string value(bytes, '\0');
  if (H5Aread(attribute, memory.get(), value.data()) < 0) return std::nullopt;
  value.resize(std::min(value.find('\0'), value.size()));  // padded with zeros
  return value;
}

std::optional<std::string> read_attribute(hid_t attribute) {
  const Hdf5Handle type(H5Aget_type(attribute), H5Tclose);
  const Hdf5Handle space(H5Aget_space(attribute), H5Sclose);
  if (H5Sget_simple_extent_npoints(space.get()) != 1) return std::nullopt;
  switch (H5Tget_class(type.get())) {
    case H5T_STRING:
      return read_text(attribute, type.get());
    case H5T_INTEGER: {
      long long value = 0;
      if (H5Aread(attribute, H5T_NATIVE_LLONG, &value) < 0) return std::nullopt;
      return std::to_string(value);
    }
    case H5T_FLOAT: {
      double value = 0;
      if (H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) < 0) return std::nullopt;
      return std::to_string(value);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string hdf5_library() {
  const Hdf5Lock lock;
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

struct Hdf5Import::State {
  std::filesystem::path path;
  Hdf5Handle file;
  std::vector<Hdf5Dataset> datasets;

  ~State() {
    const Hdf5Lock lock;
    file.reset();
  }
  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(ExitCode::data, problem, path.string());
  }
  void read(const Hdf5Dataset& dataset, std::int64_t begin, std::int64_t count,
            std::size_t elements, hid_t memory_type, void* data) const;
};

Hdf5Import::Hdf5Import(std::filesystem::path path) : state_(std::make_unique<State>()) {
  const File readable(path, FileMode::read);  // says better than HDF5 why it is not
  state_->path = std::move(path);
  const Hdf5Lock lock;
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_file_locking(access.get(), false, true);  // we only read, and some file systems have none
  state_->file = {H5Fopen(state_->path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose};
  const std::string problem = state_->file ? "" : hdf5_problem();
  if (!state_->file) state_->fail("not a readable HDF5 file: " + problem);
  if (H5Ovisit(state_->file.get(), H5_INDEX_NAME, H5_ITER_INC, collect_dataset, &state_->datasets) <
      0)
    state_->fail("cannot list its datasets: " + hdf5_problem());
  std::sort(state_->datasets.begin(), state_->datasets.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
}

Hdf5Import::~Hdf5Import() = default;
Hdf5Import::Hdf5Import(Hdf5Import&&) noexcept = default;

const std::vector<Hdf5Dataset>& Hdf5Import::datasets() const { return state_->datasets; }

const Hdf5Dataset* Hdf5Import::find(const std::string& path) const {
  const std::string absolute = path.starts_with('/') ? path : "/" + path;
  for (const auto& dataset : state_->datasets)
    if (dataset.path == absolute) return &dataset;
  return nullptr;
}

std::optional<std::string> Hdf5Import::attribute(const std::string& name) const {
  const Hdf5Lock lock;
  if (H5Aexists(state_->file.get(), name.c_str()) <= 0) return std::nullopt;
  const Hdf5Handle attribute(H5Aopen(state_->file.get(), name.c_str(), H5P_DEFAULT), H5Aclose);
  return attribute ? read_attribute(attribute.get()) : std::nullopt;
}

void Hdf5Import::State::read(const Hdf5Dataset& dataset, std::int64_t begin, std::int64_t count,
                             std::size_t elements, hid_t memory_type, void* data) const {
  const std::size_t dimensions = dataset.shape.size();
  if (dimensions < 1 || dimensions > 2 || dataset.type == Hdf5Dataset::Type::other)
    fail("dataset " + dataset.path + " is not an array of numbers of one or two dimensions");
  const std::int64_t width = dimensions == 2 ? dataset.shape[1] : 1;
  CHECK(begin >= 0 && count >= 0 && begin + count <= dataset.shape[0], dataset.path);
  CHECK(std::int64_t(elements) == count * width, dataset.path);
  if (elements == 0) return;

  const Hdf5Handle source(H5Dopen2(file.get(), dataset.path.c_str(), H5P_DEFAULT), H5Dclose);
  const Hdf5Handle space(H5Dget_space(source.get()), H5Sclose);
  const hsize_t offset[2] = {hsize_t(begin), 0}, extent[2] = {hsize_t(count), hsize_t(width)};
  const Hdf5Handle memory(H5Screate_simple(int(dimensions), extent, nullptr), H5Sclose);
  if (H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, offset, nullptr, extent, nullptr) < 0 ||
      H5Dread(source.get(), memory_type, memory.get(), space.get(), H5P_DEFAULT, data) < 0)
    fail("cannot read rows " + std::to_string(begin) + " to " + std::to_string(begin + count) +
         " of dataset " + dataset.path + ": " + hdf5_problem());
}

void Hdf5Import::read_rows(const Hdf5Dataset& dataset, std::int64_t begin, std::int64_t count,
                           std::span<float> data) const {
  const Hdf5Lock lock;
  state_->read(dataset, begin, count, data.size(), H5T_NATIVE_FLOAT, data.data());
}
void Hdf5Import::read_rows(const Hdf5Dataset& dataset, std::int64_t begin, std::int64_t count,
                           std::span<std::uint8_t> data) const {
  const Hdf5Lock lock;
  state_->read(dataset, begin, count, data.size(), H5T_NATIVE_UINT8, data.data());
}
void Hdf5Import::read_rows(const Hdf5Dataset& dataset, std::int64_t begin, std::int64_t count,
                           std::span<std::int32_t> data) const {
  const Hdf5Lock lock;
  state_->read(dataset, begin, count, data.size(), H5T_NATIVE_INT32, data.data());
}
void Hdf5Import::read_rows(const Hdf5Dataset& dataset, std::int64_t begin, std::int64_t count,
                           std::span<std::int64_t> data) const {
  const Hdf5Lock lock;
  state_->read(dataset, begin, count, data.size(), H5T_NATIVE_INT64, data.data());
}

}  // namespace tutti
