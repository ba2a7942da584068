#include "runtime/topology/hardware.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>

#include <hwloc.h>
#include <omp.h>
#include <unistd.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

std::string vector_units() {
  std::string text;
#if defined(__x86_64__)
  const auto add = [&](bool has, const char* name) {
    if (has) text += (text.empty() ? "" : " ") + std::string(name);
  };
  __builtin_cpu_init();
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512vnni"), "avx512_vnni");
  add(__builtin_cpu_supports("avx512bf16"), "avx512_bf16");
  unsigned a = 7, b = 0, c = 0, d = 0;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  add((d >> 22) & 1, "amx_bf16");
  add((d >> 25) & 1, "amx_int8");
#endif
  return text;
}

std::string text_of(hwloc_const_bitmap_t set) {
  char* raw = nullptr;
  hwloc_bitmap_list_asprintf(&raw, set);
  std::string text = raw ? raw : "";
  std::free(raw);
  return text;
}

}  // namespace

Hardware find_hardware() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0 || hwloc_topology_load(raw) != 0)
    throw Error(ExitCode::unavailable, "hwloc cannot read this machine's topology");
  const std::unique_ptr<hwloc_topology, void (*)(hwloc_topology_t)> topology(
      raw, hwloc_topology_destroy);
  const std::unique_ptr<hwloc_bitmap_s, void (*)(hwloc_bitmap_t)> bound(hwloc_bitmap_alloc(),
                                                                        hwloc_bitmap_free);
  if (hwloc_get_cpubind(raw, bound.get(), HWLOC_CPUBIND_PROCESS) != 0 ||
      hwloc_bitmap_iszero(bound.get()))
    hwloc_bitmap_copy(bound.get(), hwloc_topology_get_allowed_cpuset(raw));
  hwloc_bitmap_and(bound.get(), bound.get(), hwloc_topology_get_allowed_cpuset(raw));

  Hardware found;
  found.cores =
      std::max(1, hwloc_get_nbobjs_inside_cpuset_by_type(raw, bound.get(), HWLOC_OBJ_CORE));
  found.machine_cores = std::max(1, hwloc_get_nbobjs_by_type(raw, HWLOC_OBJ_CORE));
  found.numa_nodes = std::max(1, hwloc_get_nbobjs_by_type(raw, HWLOC_OBJ_NUMANODE));
  found.memory_gib =
      double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGESIZE)) / double(1 << 30);
  found.binding = text_of(bound.get());
  if (hwloc_obj_t package = hwloc_get_obj_by_type(raw, HWLOC_OBJ_PACKAGE, 0))
    if (const char* name = hwloc_obj_get_info_by_name(package, "CPUModel")) found.processor = name;
  found.vector_units = vector_units();
  return found;
}

std::string processor_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line) && !line.empty();)
    if (line.starts_with("model name"))
      if (const std::size_t colon = line.find(": "); colon != std::string::npos)
        return line.substr(colon + 2);
  return {};
}

int threads_for(int cores, int sharing) { return std::max(1, cores / std::max(1, sharing)); }

void use_threads(int threads) { omp_set_num_threads(threads); }

}  // namespace tutti
