// What this process may run on: cores, memory nodes, vector units.
#pragma once

#include <string>

namespace tutti {

struct Hardware {
  int cores = 1;          // physical cores that this process is bound to
  int machine_cores = 1;  // of the whole machine
  int numa_nodes = 1;
  double memory_gib = 0;  // of the whole machine
  std::string binding;    // the processing units this process is bound to, as a list such as "0-3"
  std::string processor;  // its name
  std::string vector_units;  // such as "avx2 avx512f avx512_bf16 amx_bf16"
};

// Looks at the machine. Local.
Hardware find_hardware();

// The processor's name alone, in no time; empty where the system does not tell. Local.
std::string processor_name();

// The threads that a rank should use where `sharing` ranks of this machine are bound to the same
// `cores`.
int threads_for(int cores, int sharing);

// Sets the threads of parallel loops in this process.
void use_threads(int threads);

}  // namespace tutti
