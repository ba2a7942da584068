// The header of NumPy's .npy files, versions 1 to 3.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/io/file.h"

namespace tutti {

struct NpyHeader {
  std::string descr;  // "<f4"
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::int64_t data_offset = 0;  // of the first element in the file
};

// Local. Throws Error(data) naming the file and what was expected where it is no .npy file or its
// header is cut or malformed. Says nothing of the data behind it.
NpyHeader read_npy_header(const File& file);

}  // namespace tutti
