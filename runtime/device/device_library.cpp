#include "runtime/device/device_library.h"

#include <cstdlib>
#include <filesystem>

#include <dlfcn.h>
#include <fmt/format.h>

namespace tutti {
namespace {

constexpr const char *kLibrary = "libtutti_cuda.so", *kLibraryVariable = "TUTTI_CUDA_LIBRARY";
constexpr std::string_view kBuiltWith = TUTTI_CUDA_VERSION;  // empty: built without

// TUTTI_CUDA_LIBRARY names another one.
std::filesystem::path library_path() {
  if (const char* path = std::getenv(kLibraryVariable)) return path;
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / kLibrary;
}

Error unavailable(const std::string& problem, const std::string& place, const std::string& remedy) {
  return {ExitCode::unavailable, "device = \"cuda\", but " + problem, place, remedy};
}

DeviceBackend& open_library() {
  const std::filesystem::path path = library_path();
  if (!std::filesystem::exists(path)) {
    if (kBuiltWith.empty())
      throw unavailable("this binary was built without CUDA", "device",
                        "use device = \"cpu\", or build with -DTUTTI_CUDA=ON");
    throw unavailable("its library is not there", path.string(),
                      fmt::format("put {} beside the binary again", kLibrary));
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw unavailable(fmt::format("its library cannot be opened: {}", dlerror()), path.string(),
                      "add the folder of CUDA's libraries to LD_LIBRARY_PATH");
  const auto factory = reinterpret_cast<DeviceFactory>(dlsym(library, kDeviceFactory));
  DeviceBackend* backend = factory != nullptr ? factory(kDeviceInterface) : nullptr;
  if (backend == nullptr)
    throw unavailable("its library is of another version of Tutti", path.string(),
                      "install binary and library together");
  return *backend;
}

std::string found_text() {
  try {
    DeviceBackend& backend = load_device_library();
    std::string text = backend.libraries();
    for (const DeviceDescription& device : backend.devices())
      text += fmt::format("; {} with {:.0f} GB", device.name, double(device.memory_bytes) / 1e9);
    return text;
  } catch (const Error& e) {
    return e.problem();
  } catch (const DeviceError& e) {
    return e.what();
  }
}

}  // namespace

DeviceBackend& load_device_library() {
  static DeviceBackend& backend = open_library();
  return backend;
}

std::string device_library_text() {
  const bool tells = kBuiltWith.empty() && std::getenv(kLibraryVariable) == nullptr;
  return tells ? "built without CUDA"
               : fmt::format("built with {}; found: {}", kBuiltWith, found_text());
}

Error error_of(const DeviceError& e) {
  switch (e.kind()) {
    case DeviceError::Kind::missing:
      return {ExitCode::unavailable, e.what(), "device", "use device = \"cpu\" here"};
    case DeviceError::Kind::full:
      return {ExitCode::unavailable, e.what(), "device",
              "end what else runs on the GPU, lower batch.micro, or set train.recompute = true"};
    default:
      return {ExitCode::io, e.what(), "device",
              "the last checkpoint is intact: submit the same command again, on another node if "
              "this comes back"};
  }
}

}  // namespace tutti
