// How this folder's sources hold HDF5's objects. Not for anyone else: nothing outside runtime/io
// sees <hdf5.h>.
#pragma once

#include <mutex>
#include <string>
#include <utility>

#include <hdf5.h>

namespace tutti {

// HDF5 as packaged is not thread-safe: hold this around every use of it, closing included. Silences
// HDF5's own printing of errors.
class Hdf5Lock {
 public:
  Hdf5Lock();

 private:
  std::lock_guard<std::mutex> guard_;
};

// An HDF5 object, closed at the end of its scope. False where HDF5 failed to make it. Movable.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);

  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Hdf5Handle() { reset(); }
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }

  explicit operator bool() const { return id_ >= 0; }
  hid_t get() const { return id_; }
  // Closes it now; false where HDF5 reports a failure, which for a file means that it was not
  // written.
  bool reset();

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

// What HDF5 says of its last failure: the innermost entry of its error stack.
std::string hdf5_problem();

}  // namespace tutti
