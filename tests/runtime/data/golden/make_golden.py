#!/usr/bin/env python3
"""Writes beside itself a golden file for each tokenizer of tokenizer_cases.py, which tokenizer_json_test.cpp reads:

{"tokenizers": version, "tokenizer": a tokenizer.json, "cases": [{"text", "ids", "framed", "decoded", "plain"}]}

pip install tokenizers==0.23.3
tests/runtime/data/golden/make_golden.py
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import tokenizer_cases as cases
import tokenizers


def case_of(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    framed, decoded = tokenizer.encode(text).ids, tokenizer.decode(ids, skip_special_tokens=False)
    plain = tokenizer.decode(ids)
    case = {"text": text, "ids": ids}
    if len(ids) < 8:
        case["framed"] = framed
    if decoded != text:
        case["decoded"] = decoded
    if plain != decoded:
        case["plain"] = plain
    return case


def main():
    texts = cases.HARD + cases.LANGUAGES[:4] + cases.random_texts(20, 5) + cases.every_character(9973)
    for name, make in cases.ALL.items():
        tokenizer = make()
        golden = {
            "tokenizers": tokenizers.__version__,
            "tokenizer": json.loads(tokenizer.to_str()),
            "cases": [case_of(tokenizer, text) for text in texts],
        }
        path = Path(__file__).parent / f"{name}.json"
        path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
