#!/bin/bash
# check_includes.sh passes a clean tree and finds each kind of breach, at its file and line.
set -euo pipefail
check=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/check_includes.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

clean() {
  rm -rf "${tree:?}"/*
  mkdir -p "$tree"/kernels/{core,ops} "$tree"/runtime/{base,comm,io,data} "$tree/jobs"
  cat >"$tree/kernels/ops/softmax.h" <<'END'
#include <cmath>
#include <immintrin.h>
#include <oneapi/dnnl/dnnl.hpp>
#include "kernels/core/view.h"
END
  cat >"$tree/kernels/ops/softmax.cpp" <<'END'
#include "softmax.h"
/* MPI_Send and getenv("HOME") are words
   here: MPI_Recv */
const char* text = "MPI_Send";  // fopen("x")
END
  printf '#include <mpi.h>\nint f() { return MPI_Init(0, 0); }\n' >"$tree/runtime/comm/world.cpp"
  printf '#include <hdf5.h>\n#include "runtime/base/error.h"\n' >"$tree/runtime/io/file.cpp"
  printf '#include "runtime/io/file.h"\n' >"$tree/runtime/data/shard.cpp"
  printf '#include "runtime/comm/world.h"\n#include "kernels/ops/softmax.h"\n' >"$tree/jobs/train.cpp"
  cat >"$tree/runtime/comm/CMakeLists.txt" <<'END'
add_library(tutti_comm world.cpp)
target_link_libraries(tutti_comm
  PUBLIC tutti_base
  PRIVATE MPI::MPI_CXX)
END
  printf 'target_link_libraries(tutti_kernels PUBLIC tutti_options DNNL::dnnl)\n' \
    >"$tree/kernels/CMakeLists.txt"
}

expect() { # LINE FILE TEXT: the text, added to the file, is found at file:line
  clean
  mkdir -p "$(dirname "$tree/$2")"
  printf '%b\n' "$3" >>"$tree/$2"
  local found
  if found=$("$check" "$tree") || [[ $found != *"$2:$1: "* ]]; then
    echo "FAILED: no breach at $2:$1 for: $3${found:+; found $found}" >&2
    failures=$((failures + 1))
  fi
}

clean
if ! "$check" "$tree"; then
  echo "FAILED: the clean tree does not pass" >&2
  failures=$((failures + 1))
fi

expect 5 kernels/ops/softmax.h '#include <mpi.h>'
expect 5 kernels/ops/softmax.h '#include <fstream>'
expect 5 kernels/ops/softmax.h '#include <chrono>'
expect 5 kernels/ops/softmax.h '#include <spdlog/spdlog.h>'
expect 5 kernels/ops/softmax.h '#include "runtime/base/error.h"'
expect 5 kernels/ops/softmax.h '#include "kernels/model/encoder.h"'
expect 5 kernels/ops/softmax.h '#include "../core/view.h"'
expect 5 kernels/ops/softmax.h '#include "absent.h"'
expect 5 kernels/ops/softmax.cpp 'auto home = std::getenv("HOME");'
expect 6 kernels/ops/softmax.cpp '/* a comment\n   ends */ auto file = fopen("x", "r");'
expect 1 kernels/core/device.cpp '#include <hdf5.h>'
expect 1 kernels/core/view.h '#include "kernels/ops/softmax.h"'
expect 1 kernels/other/new.h '#pragma once'
expect 3 runtime/io/file.cpp '#include "runtime/comm/world.h"'
expect 3 runtime/io/file.cpp '#  include <mpi.h>'
expect 1 runtime/base/log.cpp '#include "kernels/core/view.h"'
expect 2 runtime/data/shard.cpp '#include <H5Dpublic.h>'
expect 2 runtime/data/shard.cpp '#include <hwloc.h>'
expect 2 runtime/data/shard.cpp '#include "runtime/checkpoint/commit.h"'
expect 3 jobs/train.cpp 'int size; MPI_Comm_size(comm, &size);'
expect 3 jobs/train.cpp '#include <mpi.h>'
expect 2 kernels/CMakeLists.txt 'target_link_libraries(tutti_kernels PRIVATE MPI::MPI_CXX)'
expect 4 kernels/CMakeLists.txt 'target_link_libraries(tutti_kernels\n  PRIVATE\n    hdf5::hdf5)'
expect 2 kernels/CMakeLists.txt 'target_link_libraries(tutti_kernels PRIVATE tutti_base)'
expect 1 runtime/data/CMakeLists.txt 'target_link_libraries(tutti_data PRIVATE PkgConfig::hwloc)'
expect 1 runtime/io/CMakeLists.txt 'target_link_libraries(tutti_io PRIVATE tutti_comm)'

((failures == 0)) && echo "all breaches found"
exit $((failures > 0))
