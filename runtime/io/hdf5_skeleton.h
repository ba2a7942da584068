// The metadata of an HDF5 file, laid out in memory before a byte of it is on disk. Used by
// ExtentWriter.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/io/extent_file.h"
#include "runtime/io/file.h"

namespace tutti {

struct Hdf5Skeleton {
  File image;              // an anonymous, sparse file in memory: all that is not a column's bytes
  std::int64_t bytes = 0;  // of the whole file
  std::vector<std::int64_t> offsets;  // of each column; 0 for a column without elements
};

// Lets HDF5 lay out contiguous, early allocated, never filled datasets, aligned to 4096 from 4096
// bytes on. No time or name goes into the image: the same input gives the same bytes. Throws
// Error(io).
Hdf5Skeleton make_hdf5_skeleton(const std::vector<ColumnSpec>& columns,
                                const Attributes& attributes,
                                const std::vector<VirtualColumn>& virtual_columns);

}  // namespace tutti
