#!/usr/bin/env python3
"""Compares our tokenizers with the Python package `tokenizers`, on hard texts, every code point, and random ones.

    compare_tokenizers.py [--texts N] [--seed S] [--step K] TOOL [TOKENIZER.json]...

TOOL is the program of tokenizer_tool.cpp; the tokenizers are those of tokenizer_cases.py and the files named.
"""

import argparse
import json
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import tokenizer_cases as cases
import tokenizers
from tokenizers import Tokenizer


def expected(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    return {
        "ids": ids,
        "framed": tokenizer.encode(text).ids,
        "places": ids,
        "text": tokenizer.decode(ids, skip_special_tokens=False),
        "plain": tokenizer.decode(ids),
    }


def compare(tool, name, tokenizer, texts):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(tokenizer.to_str())
        file.flush()
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        run = subprocess.run([tool, file.name], input=lines, capture_output=True, text=True)
    if run.returncode:
        print(f"{name}: {run.stderr}")
        return 1
    bad = 0
    for text, line in zip(texts, run.stdout.split("\n")):
        theirs, ours = expected(tokenizer, text), json.loads(line)
        for key in theirs:
            if ours[key] == theirs[key]:
                continue
            bad += 1
            if bad <= 5:
                print(f"{name}: {key} of {text!r}:\n  ours   {ours[key]!r}\n  theirs {theirs[key]!r}")
            break
    print(f"{name}: {len(texts)} texts, {bad} differ")
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--step", type=int, default=1, help="try each STEP-th code point")
    options = parser.parse_args()
    texts = (
        cases.HARD
        + cases.corpus()
        + cases.every_character(options.step)
        + cases.random_texts(options.texts, options.seed)
    )
    print(f"tokenizers {tokenizers.__version__}")
    bad = sum(compare(options.tool, name, make(), texts) for name, make in cases.ALL.items())
    bad += sum(compare(options.tool, name, Tokenizer.from_file(name), texts) for name in options.files)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
