#!/bin/bash
# Whether nvcc made of the hot kernels what they are written for: nothing that was meant for
# registers stands in memory, and products run on the tensor cores.
#
#   check_resources.sh LIBRARY
#
# CUOBJDUMP names NVIDIA's cuobjdump, beside which nvdisasm stands. Exit code 77: it is not here.
set -euo pipefail
export LC_ALL=C
tool=$(command -v "${CUOBJDUMP:-cuobjdump}" || ls /usr/local/cuda/bin/cuobjdump 2>/dev/null) ||
  { echo "no cuobjdump" && exit 77; }
PATH=$(dirname "$tool"):$PATH
command -v nvdisasm >/dev/null || { echo "no nvdisasm" && exit 77; }

# Kernels by a part of their names, and what each must have, if anything.
hot='
scan_tiles_kernel HMMA
measure_kernel
keep_kernel
prepare_kernel
'
bad=0
resources=$("$tool" --dump-resource-usage "$1")
code=$("$tool" --dump-sass "$1")
while read -r kernel instruction; do
  [[ -n $kernel ]] || continue
  uses=$(grep -A1 "Function .*$kernel" <<<"$resources" | grep 'REG:' || true)
  if [[ -z $uses ]]; then
    echo "there is no kernel $kernel in $1"
    bad=1
  elif grep -vE 'STACK:0 .*LOCAL:0 ' <<<"$uses"; then
    echo "$kernel keeps something in local memory"
    bad=1
  fi
  [[ -n $instruction ]] || continue
  without=$(awk -v kernel="$kernel" -v instruction="$instruction" '
    /Function :/ { check(); name = index($0, kernel) ? $3 : ""; found = 0 }
    name != "" && index($0, instruction) { found = 1 }
    END { check() }
    function check() { if (name != "" && !found) print name }' <<<"$code")
  if [[ -n $without ]]; then
    echo "no $instruction in $without"
    bad=1
  fi
done <<<"$hot"
exit "$bad"
