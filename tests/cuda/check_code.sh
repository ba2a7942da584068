#!/bin/bash
# What nvcc made of the kernels: for each architecture, those that multiply matrices do so on the
# tensor cores, copy to shared memory asynchronously, and no kernel uses local memory.
#
#   tests/cuda/check_code.sh LIBRARY
#
# Needs cuobjdump (CUOBJDUMP names it); ends with 77, which counts as skipped, without.
set -euo pipefail
library=$1
cuobjdump=$(command -v "${CUOBJDUMP:-cuobjdump}" || true)
PATH=$PATH:$(dirname "${cuobjdump:-.}") # where nvdisasm stands, which it starts
if [[ -z $cuobjdump ]] || ! command -v nvdisasm >/dev/null; then
  echo "skipped: there is no cuobjdump, or no nvdisasm"
  exit 77
fi
failures=0
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
fail() {
  echo "check_code: $*" >&2
  failures=$((failures + 1))
}

while read -r line; do fail "$line"; done < <("$cuobjdump" --dump-resource-usage "$library" | awk '
  /Function/ { name = $2 }
  /STACK:/ { match($0, /STACK:[0-9]+/); stack = substr($0, RSTART + 6, RLENGTH - 6)
             match($0, /LOCAL:[0-9]+/); memory = substr($0, RSTART + 6, RLENGTH - 6)
             if (stack > 0 || memory > 0) print name, "stack", stack, "local", memory }')

for architecture in sm_80 sm_90a; do
  # Function by function: how many instructions of each kind.
  "$cuobjdump" --dump-sass --gpu-architecture "$architecture" "$library" | awk '
    /Function :/ { name = $3 }
    /HMMA|HGMMA/ { products[name]++ }
    /LDGSTS|UBLKCP|UTMALDG/ { copies[name]++ }
    /LDSM/ { loads[name]++ }
    END { for (n in products) print n, products[n], copies[n] + 0, loads[n] + 0 }' >"$counts"
  for kernel in forward_tilesILi64 forward_tilesILi128 query_gradientILi64 query_gradientILi128 \
    key_gradientILi64 key_gradientILi128; do
    line=$(grep "$kernel" "$counts" || true)
    read -r _ products copies loads <<<"${line:-- 0 0 0}"
    echo "$architecture $kernel: $products products, $copies copies, $loads loads of fragments"
    ((products >= 64 && copies >= 4 && loads >= 16)) ||
      fail "$architecture: $kernel is not on the tensor cores"
  done
  # Searches read their operands 16 bytes at a time, which needs no LDSM.
  for kernel in scan_tiles_kernelILb0 scan_tiles_kernelILb1; do
    line=$(grep "$kernel" "$counts" || true)
    read -r _ products copies loads <<<"${line:-- 0 0 0}"
    echo "$architecture $kernel: $products products, $copies copies"
    ((products >= 128 && copies >= 16)) ||
      fail "$architecture: $kernel is not on the tensor cores"
  done
done
exit $((failures > 0))
