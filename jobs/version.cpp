#include "jobs/version.h"

#include <fmt/format.h>

#include "kernels/ops/product.h"
#include "runtime/comm/comm.h"
#include "runtime/device/device_library.h"
#include "runtime/io/hdf5_import.h"
#include "runtime/topology/hardware.h"

namespace tutti {

std::string version_text() {
  const Hardware hardware = find_hardware();
  return fmt::format(
      "tutti {}\n"
      "compiler    {}\n"
      "MPI         {}\n"
      "HDF5        {}\n"
      "products    {}, in {} on this machine\n"
      "processor   {} ({})\n"
      "CUDA        {}",
      kVersion, __VERSION__, mpi_library(), hdf5_library(), product_library(),
      name_of(preferred_compute_dtype()), hardware.processor, hardware.vector_units,
      device_library_text());
}

}  // namespace tutti
