#!/usr/bin/env python3
"""The other side of bench_tokenize_bpe: Hugging Face's tokenizers.

    tokenize_bpe.py prepare FOLDER    writes FOLDER/texts.jsonl (a JSON string a line) and FOLDER/tokenizer.json
    tokenize_bpe.py encode FOLDER     prints seconds of the quicker of encode_batch and encode_batch_fast, the number
                                      of tokens and the sum of their ids

Texts are what this machine has: manual pages, documentation, headers and Python's library. The tokenizer is a byte-level
BPE of 32768 pieces with the pattern of Llama 3, trained on them.
"""

import gzip
import json
import os
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "true"
os.environ.setdefault("RAYON_NUM_THREADS", "2")

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

BYTES = 8 << 20
LONGEST = 64 << 10
FOLDERS = ["/usr/share/man", "/usr/share/doc", "/usr/include", os.path.dirname(os.__file__)]
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def files(folder):
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix in (".gz", ".txt", ".md", ".h", ".py", ".rst", ".html", "") and path.is_file():
            yield path


def texts():
    """At most BYTES, an equal share from each folder that has so much."""
    for folder in FOLDERS:
        left = BYTES // len(FOLDERS)
        for path in files(folder):
            try:
                content = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
                text = content[:LONGEST].decode()
            except (OSError, EOFError, UnicodeDecodeError):
                continue
            if len(text) > 500 and "\0" not in text:
                yield text
                left -= len(text)
            if left < 0:
                break


def prepare(folder):
    found = list(texts())
    with open(folder / "texts.jsonl", "w") as out:
        for text in found:
            out.write(json.dumps(text) + "\n")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|begin_of_text|>", "<|end_of_text|>"]
    tokenizer.train_from_iterator(
        found,
        trainers.BpeTrainer(vocab_size=32768, initial_alphabet=alphabet, special_tokens=special, show_progress=False),
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def encode(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with open(folder / "texts.jsonl") as lines:
        batch = [json.loads(line) for line in lines]
    best = None
    for function in (tokenizer.encode_batch, getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)):
        function(batch)  # its cache is filled, as ours is
        start = time.perf_counter()
        encodings = function(batch)
        seconds = time.perf_counter() - start
        best = min(best or seconds, seconds)
    ids = [encoding.ids for encoding in encodings]
    print(best, sum(map(len, ids)), sum(map(sum, ids)), tokenizers.__version__)


if __name__ == "__main__":
    {"prepare": prepare, "encode": encode}[sys.argv[1]](Path(sys.argv[2]))
