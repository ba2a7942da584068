#!/bin/bash
# Checks who includes and links whom: the table below, over kernels/, runtime/ and jobs/.
#
#   tests/layering/check_includes.sh [REPOSITORY]
#
# Prints `file:line: rule` for every breach, and ends with 1 where there is one.
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/../..}"

# Folder: the folders of ours that it may include beside itself.
export TUTTI_TABLE='
kernels/core:
kernels/cuda:       kernels/core
kernels/ops:        kernels/core kernels/cuda
kernels/model:      kernels/core kernels/cuda kernels/ops
kernels/optim:      kernels/core kernels/cuda
kernels/vector:     kernels/core kernels/cuda
kernels/device:     kernels
runtime/base:
runtime/comm:       kernels/core runtime/base
runtime/device:     kernels/core kernels/device runtime/base runtime/comm
runtime/topology:   kernels/core runtime/base
runtime/io:         kernels/core runtime/base
runtime/data:       kernels/core runtime/base runtime/comm runtime/io
runtime/checkpoint: kernels/core runtime/base runtime/comm runtime/io
runtime/telemetry:  kernels/core runtime/base runtime/comm
jobs:               kernels runtime
'

# Library: its headers (a regular expression), the only folder that may include and link it, and
# its link targets.
export TUTTI_OWNERS='
MPI    ^(mpi\.h|mpi/.*|mpi-ext\.h)$  runtime/comm      (^|[^A-Za-z])MPI(::|_)
NCCL   ^nccl[a-z_]*\.h$              runtime/comm      [Nn][Cc][Cc][Ll]
HDF5   ^(hdf5|H5[A-Za-z]*|hdf5_hl)\.h$  runtime/io     ([Hh][Dd][Ff]5)
hwloc  ^(hwloc\.h|hwloc/.*)$         runtime/topology  hwloc
'

# Headers of the system and of libraries that kernels/ may include: the standard library without
# files, clocks and streams; intrinsics and the permission for AMX; the products.
export TUTTI_KERNEL_HEADERS='^([a-z0-9_]+|[a-z0-9]*intrin\.h|cpuid\.h|unistd\.h|asm/prctl\.h|'\
'sys/(syscall|mman)\.h|stddef\.h|stdint\.h|oneapi/dnnl/.*|dnnl.*|cblas\.h|omp\.h|mma\.h|cu[A-Za-z_]+\.h(pp)?)$'
export TUTTI_KERNEL_NEVER='^(fstream|filesystem|iostream|chrono|ctime|cstdio|thread|future|random)$'

sources() { find kernels runtime jobs -type f "$@" 2>/dev/null | LC_ALL=C sort; }

mapfile -t code < <(sources \( -name '*.h' -o -name '*.hpp' -o -name '*.inc' -o -name '*.cpp' \
  -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \))
mapfile -t lists < <(sources \( -name CMakeLists.txt -o -name '*.cmake' \))
if ((${#code[@]} == 0)); then
  echo "check_includes: nothing to check under $PWD" >&2
  exit 1
fi

awk '
  function breach(rule) { printf "%s:%d: %s\n", FILENAME, FNR, rule; breaches++ }

  # The folder of the table that a path belongs to.
  function folder(path,   parts) {
    split(path, parts, "/")
    return parts[1] == "jobs" ? "jobs" : parts[1] "/" parts[2]
  }

  function may(from, to,   i, n, allowed) {
    if (from == to) return 1
    n = split(table[from], allowed, " ")
    for (i = 1; i <= n; ++i)
      if (to == allowed[i] || index(to, allowed[i] "/") == 1) return 1
    return 0
  }

  # The line without comments and string literals; `inside` spans lines of a block comment.
  function bare(line,   out, i, two, c) {
    out = ""
    for (i = 1; i <= length(line); ++i) {
      c = substr(line, i, 1)
      two = substr(line, i, 2)
      if (inside) { if (two == "*/") { inside = 0; ++i } }
      else if (two == "//") break
      else if (two == "/*") { inside = 1; ++i }
      else if (c == "\"") {
        for (++i; i <= length(line) && substr(line, i, 1) != "\""; ++i)
          if (substr(line, i, 1) == "\\") ++i
        out = out "\"\""
      }
      else out = out c
    }
    return out
  }

  BEGIN {
    n = split(ENVIRON["TUTTI_TABLE"], rows, "\n")
    for (i = 1; i <= n; ++i)
      if (split(rows[i], pair, ":") > 1) { table[pair[1]] = pair[2]; known[pair[1]] = 1 }
    n = split(ENVIRON["TUTTI_OWNERS"], rows, "\n")
    for (i = 1; i <= n; ++i)
      if (split(rows[i], field, " ") == 4) {
        ++owners; library[owners] = field[1]; header[owners] = field[2]
        owner[owners] = field[3]; target[owners] = field[4]
      }
    kernel_headers = ENVIRON["TUTTI_KERNEL_HEADERS"]
    kernel_never = ENVIRON["TUTTI_KERNEL_NEVER"]
  }

  FNR == 1 {
    inside = linking = 0
    is_list = FILENAME ~ /(CMakeLists\.txt|\.cmake)$/
    here = folder(FILENAME)
    is_kernel = FILENAME ~ /^kernels\//
    # A list of a whole layer (runtime/CMakeLists.txt) has no place in the table.
    if (!is_list && !(here in known)) { breach("the table knows no folder " here) }
  }

  !is_list && /^[ \t]*#[ \t]*include[ \t]*[<"]/ && !inside {
    name = $0
    sub(/^[ \t]*#[ \t]*include[ \t]*/, "", name)
    quoted = substr(name, 1, 1) == "\""
    name = substr(name, 2)
    sub(/[>"].*/, "", name)
    if (name ~ /^(kernels|runtime|jobs|tests|bench)\//) {
      if (!may(here, folder(name))) breach(here " may not include " folder(name))
      next
    }
    if (name ~ /(^|\/)\.\.\//) { breach("include by the path from the top: " name); next }
    if (quoted) {
      beside = FILENAME
      sub(/[^\/]*$/, "", beside)
      if ((getline ignored < (beside name)) < 0) breach("include by the path from the top: " name)
      close(beside name)
      next
    }
    for (i = 1; i <= owners; ++i)
      if (name ~ header[i] && here != owner[i])
        breach("only " owner[i] " may include <" name "> (" library[i] ")")
    if (is_kernel && (name !~ kernel_headers || name ~ kernel_never))
      breach("kernels/ may not include <" name ">")
    next
  }

  !is_list {
    line = bare($0)
    if (here != "runtime/comm" && line ~ /(^|[^A-Za-z0-9_])(MPI|PMPI)_[A-Z]/)
      breach("only runtime/comm may use MPI_ names")
    if (is_kernel && line ~ /(^|[^A-Za-z0-9_])(secure_getenv|getenv|setenv|putenv)[ \t]*\(/)
      breach("kernels/ may not read the environment")
    if (is_kernel && line ~ /(^|[^A-Za-z0-9_])(clock_gettime|gettimeofday|omp_get_wtime|clock)[ \t]*\(/)
      breach("kernels/ may not read a clock")
    if (is_kernel && line ~ /(^|[^A-Za-z0-9_.>])(fopen|fdopen|freopen|mkstemp|opendir|openat)[ \t]*\(/)
      breach("kernels/ may not open a file")
    next
  }

  {
    sub(/#.*/, "")
    if (/^[ \t]*target_link_libraries[ \t]*\(/) linking = 1
    if (!linking) next
    for (i = 1; i <= owners; ++i)
      if ($0 ~ target[i] && here != owner[i])
        breach("only " owner[i] " may link " library[i])
    n = split($0, words, /[^A-Za-z0-9_:]+/)
    for (i = 1; i <= n; ++i) {
      if (words[i] !~ /^tutti(_|::)(base|comm|device|topology|io|data|checkpoint|telemetry)$/) continue
      part = words[i]
      sub(/^tutti(_|::)/, "", part)
      # What links everything together (an executable, a layer as a whole) stands in no row.
      if (is_kernel || (here in known && !may(here, "runtime/" part)))
        breach(here " may not link " words[i])
    }
    if (is_kernel && /(spdlog|fmt|toml|CLI11|nlohmann|sentencepiece|isal|xxhash)/)
      breach("kernels/ link only the products and OpenMP")
    if (/\)/) linking = 0
  }

  END { exit breaches > 0 }
' "${code[@]}" "${lists[@]}"
