#include "runtime/io/hdf5_skeleton.h"

#include <cerrno>

#include <sys/mman.h>
#include <unistd.h>

#include "runtime/base/check.h"
#include "runtime/io/hdf5_handle.h"
#include "runtime/io/page_buffer.h"

namespace tutti {
namespace {

// What HDF5 is asked to do here cannot fail by the input: it is out of memory, or a bug.
hid_t made(hid_t id, const char* what) {
  if (id < 0)
    throw Error(ExitCode::io, std::string("HDF5 cannot make ") + what + ": " + hdf5_problem());
  return id;
}

void done(herr_t status, const char* what) { made(status, what); }

// Closes a property list or a type of ours at the end of its scope.
Hdf5Handle property_list(hid_t kind) {
  return {made(H5Pcreate(kind), "a property list"), H5Pclose};
}

Hdf5Handle small_float(int exponent_bits, int mantissa_bits) {
  Hdf5Handle type(made(H5Tcopy(H5T_IEEE_F32LE), "a type"), H5Tclose);
  done(H5Tset_fields(type.get(), 15, std::size_t(mantissa_bits), std::size_t(exponent_bits), 0,
                     std::size_t(mantissa_bits)),
       "a type");
  done(H5Tset_size(type.get(), 2), "a type");
  done(H5Tset_ebias(type.get(), (std::size_t(1) << (exponent_bits - 1)) - 1), "a type");
  return type;
}

Hdf5Handle type_of(DType dtype) {
  const auto copy = [](hid_t type) { return Hdf5Handle(made(H5Tcopy(type), "a type"), H5Tclose); };
  switch (dtype) {
    case DType::f32:
      return copy(H5T_IEEE_F32LE);
    case DType::bf16:
      return small_float(8, 7);
    case DType::f16:
      return small_float(5, 10);
    case DType::u8:
      return copy(H5T_STD_U8LE);
    case DType::i8:
      return copy(H5T_STD_I8LE);
    case DType::i32:
      return copy(H5T_STD_I32LE);
    case DType::i64:
      return copy(H5T_STD_I64LE);
    case DType::f64:
      return copy(H5T_IEEE_F64LE);
  }
  CHECK(false);
}

Hdf5Handle space_of(const std::vector<std::int64_t>& shape) {
  std::vector<hsize_t> extents(shape.begin(), shape.end());
  return {made(H5Screate_simple(int(extents.size()), extents.data(), nullptr), "a dataspace"),
          H5Sclose};
}

void write_attribute(hid_t object, const std::string& name, const AttributeValue& value) {
  Hdf5Handle type;
  const void* data = nullptr;
  const char* characters = nullptr;
  if (const auto* text = std::get_if<std::string>(&value)) {
    // Of variable length, which h5py hands out as str; of fixed length it would be bytes.
    type = {made(H5Tcopy(H5T_C_S1), "a type"), H5Tclose};
    done(H5Tset_size(type.get(), H5T_VARIABLE), "a type");
    done(H5Tset_cset(type.get(), H5T_CSET_UTF8), "a type");
    characters = text->c_str();
    data = &characters;
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    type = {made(H5Tcopy(H5T_STD_I64LE), "a type"), H5Tclose};
    data = integer;
  } else {
    type = {made(H5Tcopy(H5T_IEEE_F64LE), "a type"), H5Tclose};
    data = &std::get<double>(value);
  }
  const Hdf5Handle space(made(H5Screate(H5S_SCALAR), "a dataspace"), H5Sclose);
  const Hdf5Handle attribute(
      made(H5Acreate2(object, name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
           "an attribute"),
      H5Aclose);
  done(H5Awrite(attribute.get(), type.get(), data), "an attribute");
}

Hdf5Handle create_file(const std::string& path) {
  const Hdf5Handle access = property_list(H5P_FILE_ACCESS);
  // The default driver resolves links in a name, and a file in memory has none to resolve to.
  done(H5Pset_fapl_stdio(access.get()), "a file");
  done(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_LATEST), "a file");
  done(H5Pset_alignment(access.get(), hsize_t(kPageBytes), hsize_t(kPageBytes)), "a file");
  const Hdf5Handle creation = property_list(H5P_FILE_CREATE);
  done(H5Pset_obj_track_times(creation.get(), false), "a file");
  return {made(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), "a file"),
          H5Fclose};
}

// The groups on the way to a dataset, made one by one so that none keeps the time.
void create_groups(hid_t file, const std::string& dataset) {
  CHECK(dataset.size() > 1 && dataset.front() == '/', dataset);
  const Hdf5Handle creation = property_list(H5P_GROUP_CREATE);
  done(H5Pset_obj_track_times(creation.get(), false), "a group");
  for (auto slash = dataset.find('/', 1); slash != dataset.npos;
       slash = dataset.find('/', slash + 1)) {
    const std::string group = dataset.substr(0, slash);
    if (H5Lexists(file, group.c_str(), H5P_DEFAULT) > 0) continue;
    const Hdf5Handle made_group(
        made(H5Gcreate2(file, group.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), "a group"),
        H5Gclose);
  }
}

Hdf5Handle create_dataset(hid_t file, const std::string& name, DType dtype, const Hdf5Handle& space,
                          const Hdf5Handle& creation) {
  create_groups(file, name);
  done(H5Pset_obj_track_times(creation.get(), false), "a dataset");
  return {made(H5Dcreate2(file, name.c_str(), type_of(dtype).get(), space.get(), H5P_DEFAULT,
                          creation.get(), H5P_DEFAULT),
               "a dataset"),
          H5Dclose};
}

std::int64_t create_column(hid_t file, const ColumnSpec& column) {
  const Hdf5Handle creation = property_list(H5P_DATASET_CREATE);
  done(H5Pset_layout(creation.get(), H5D_CONTIGUOUS), "a dataset");
  done(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), "a dataset");
  done(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), "a dataset");
  const Hdf5Handle dataset =
      create_dataset(file, column.dataset, column.dtype, space_of(column.shape), creation);
  for (const auto& [name, value] : column.attributes) write_attribute(dataset.get(), name, value);
  const haddr_t offset = H5Dget_offset(dataset.get());
  return offset == HADDR_UNDEF ? 0 : std::int64_t(offset);
}

Hdf5Handle rows_space(std::int64_t rows, std::int64_t width) {
  return width == 0 ? space_of({rows}) : space_of({rows, width});
}

void create_virtual_column(hid_t file, const VirtualColumn& column) {
  std::int64_t rows = 0;
  for (const auto& source : column.sources) rows += source.rows;
  const Hdf5Handle space = rows_space(rows, column.width);
  const Hdf5Handle creation = property_list(H5P_DATASET_CREATE);
  const hsize_t width = hsize_t(column.width);
  hsize_t begin[2] = {0, 0};
  for (const auto& source : column.sources) {
    if (source.rows == 0) continue;
    const hsize_t count[2] = {hsize_t(source.rows), width};
    const hsize_t origin[2] = {0, 0};
    const Hdf5Handle from = rows_space(source.source_rows, column.width);
    done(H5Sselect_hyperslab(from.get(), H5S_SELECT_SET, origin, nullptr, count, nullptr),
         "a selection");
    done(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, begin, nullptr, count, nullptr),
         "a selection");
    done(H5Pset_virtual(creation.get(), space.get(), source.file.c_str(), source.dataset.c_str(),
                        from.get()),
         "a virtual dataset");
    begin[0] += count[0];
  }
  done(H5Sselect_all(space.get()), "a selection");
  create_dataset(file, column.dataset, column.dtype, space, creation);
}

// HDF5 opens files by name only; a file in memory has one under /proc.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("tutti-hdf5-skeleton", MFD_CLOEXEC)) {
    if (descriptor_ < 0) throw_file_error("make a file in memory", path(), errno);
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

}  // namespace

Hdf5Skeleton make_hdf5_skeleton(const std::vector<ColumnSpec>& columns,
                                const Attributes& attributes,
                                const std::vector<VirtualColumn>& virtual_columns) {
  const MemoryFile memory;
  std::vector<std::int64_t> offsets;
  {
    const Hdf5Lock lock;
    Hdf5Handle file = create_file(memory.path());
    for (const auto& [name, value] : attributes) write_attribute(file.get(), name, value);
    for (const auto& column : columns) offsets.push_back(create_column(file.get(), column));
    for (const auto& column : virtual_columns) create_virtual_column(file.get(), column);
    done(file.reset() ? 0 : -1, "a file");
  }
  File image(memory.path(), FileMode::read);
  const std::int64_t bytes = image.size();
  return {std::move(image), bytes, std::move(offsets)};
}

}  // namespace tutti
