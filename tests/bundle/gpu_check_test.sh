#!/bin/bash
# scripts/gpu-check without a GPU, and with a bundle of scripts in place of programs.
#
#   gpu_check_test.sh SOURCE
set -euo pipefail
check=$1/scripts/gpu-check
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() { echo "gpu_check_test: $*" >&2 && exit 1; }
expect() { # EXIT-CODE COMMAND...
  local wanted=$1 status=0
  shift
  "$@" >out 2>&1 </dev/null || status=$?
  ((status == wanted)) || { cat out && fail "$* ended with $status, not $wanted"; }
}
program() { # NAME, with its text from standard input
  cat >"$1"
  chmod +x "$1"
}
mkdir -p none some

# No GPU, whatever this machine has.
printf '#!/bin/sh\nexit 9\n' | program none/nvidia-smi
expect 69 env PATH="$folder/none:$PATH" "$check" --bundle nowhere
grep -q "no NVIDIA GPU" out || fail "it does not say what is missing"
expect 64 "$check" --seconds soon

printf '#!/bin/sh\necho "NVIDIA H200, 580.1, 143771 MiB"\n' | program some/nvidia-smi
printf '#!/bin/sh\nshift 6\nexec "$@"\n' | program some/compute-sanitizer
export PATH=$folder/some:$PATH
mkdir -p bundle/bin bundle/share
printf '#!/bin/sh\necho "tutti 1\nwith \\"quotes\\""\n' | program bundle/bin/tutti
printf '#!/bin/sh\necho "[       OK ] A.B (1 ms)"\n' | program bundle/bin/tests_cuda
printf '#!/bin/sh\necho "claim gpu.$1 ratio=0.5 target=0.4 machine=m detail=d"\n' |
  program bundle/bin/bench_gpu
printf 'tests tests_cuda\nclaims bench_gpu one two\n' >bundle/share/gpu-check
expect 64 "$check" --bundle none
expect 0 "$check" --bundle bundle --output found
python3 - found/result.json <<'END' || fail "result.json is not as it should be"
import json, sys
result = json.load(open(sys.argv[1]))
assert result["passed"] and "H200" in result["gpus"] and '"quotes"' in result["tutti"], result
assert [p["result"] for p in result["parts"]] == ["passed"] * 4, result
assert result["parts"][0]["detail"] == "1 tests passed", result
assert result["claims"] == ["claim gpu.one ratio=0.5 target=0.4 machine=m detail=d"], result
END
tar -cf bundle.tar bundle
expect 0 "$check" --bundle bundle.tar --output found
grep -q '^tests *tests_cuda *passed' found/table.txt || fail "the table lacks the tests"

printf '#!/bin/sh\necho "[  FAILED  ] A.B (1 ms)"\nexit 1\n' | program bundle/bin/tests_cuda
expect 1 "$check" --bundle bundle --output found
grep -q 'failed: A.B' found/table.txt || fail "the table does not name what failed"
printf '#!/bin/sh\nsleep 100\n' | program bundle/bin/tests_cuda
expect 1 "$check" --bundle bundle --output found --seconds 20
grep -q 'timed out' found/table.txt || fail "the table does not tell that time ran out"
echo "gpu_check_test: passed"
