#include "runtime/io/hdf5_handle.h"

namespace tutti {
namespace {

std::mutex hdf5_mutex;

herr_t keep_description(unsigned, const H5E_error2_t* entry, void* text) {
  if (entry->desc != nullptr) *static_cast<std::string*>(text) = entry->desc;
  return 1;  // the first one is enough
}

}  // namespace

Hdf5Lock::Hdf5Lock() : guard_(hdf5_mutex) { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

bool Hdf5Handle::reset() {
  const hid_t id = std::exchange(id_, H5I_INVALID_HID);
  return id < 0 || close_(id) >= 0;
}

std::string hdf5_problem() {
  std::string text = "no reason given";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_description, &text);
  return text;
}

}  // namespace tutti
