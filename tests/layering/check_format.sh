#!/bin/bash
# Every source file is as clang-format writes it. Versions of clang-format differ, so that of Debian 12 counts; without
# it the test is skipped.
set -euo pipefail
cd "$1"
version=$(clang-format --version 2>/dev/null | sed -nE 's/.*version ([0-9]+).*/\1/p')
if [[ $version != 14 ]]; then
  echo "skipped: clang-format 14 is not here"
  exit 77
fi
mapfile -t files < <(find runtime kernels jobs tests bench -name '*.cpp' -o -name '*.cu' -o -name '*.h' -o -name '*.c' | sort)
clang-format --dry-run --Werror "${files[@]}"
