#!/usr/bin/env python3
"""Loads indexes that `tutti export` wrote with the Python package `faiss` and compares what both find.

    compare_faiss.py TUTTI

TUTTI is the binary. Indexes random vectors around centres on two ranks under each metric, from f32 and from bf16 lists,
exports the index, and searches it with faiss at the same nprobe as `tutti search`; so with the vectors as a flat index
against an exact search. Where all lists are probed, and in the flat index, both must find the same at the same
distances up to rounding. Which lists are nearest tutti tells by codes: of those that are about equally far it may take
another one, so at least 97 % of the neighbours must be the same there, and recall as good to 0.01. Exports the index as
codes, too, of which faiss must find as large a share of the neighbours as by codes of its own, of as many lists and
bytes, trained on the same vectors: to 0.01. Also reads the vectors back with numpy and h5py, in each format. Ends with 1 where something differs. Needs `faiss`, `numpy` and `h5py`;
prints why it skips, and ends with 77, where something is missing.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

COUNT, DIM, QUERIES, K, LISTS, CODE_PARTS = 20000, 48, 500, 10, 128, 12
NPROBES = (1, 4, 16, LISTS)


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def run(tutti, ranks, *arguments):
    command = ["mpirun", "--oversubscribe", "-n", str(ranks), tutti, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


def neighbors_of(folder):
    import h5py

    with h5py.File(f"{folder}/neighbors.h5") as file:
        return file["neighbors"][:], file["distances"][:]


def common(ids, others):
    """The share of each row's ids that the other's row has, too."""
    return sum(len(set(a) & set(b)) for a, b in zip(ids, others)) / ids.size


def faiss_found(index, queries, metric):
    """Ids and distances as tutti counts them."""
    import numpy

    scores, ids = index.search(queries, K)
    # faiss squares distances, and knows products where we have 1 - the product, or its negative.
    if metric == "l2":
        return ids, numpy.sqrt(numpy.maximum(scores, 0))
    return ids, (1 if metric == "cosine" else 0) - scores


def compare(tutti, name, folder, index, queries, metric, truth, *search):
    """What tutti finds in `folder` beside what `index`, loaded by faiss, finds; `truth` are the ids that are right,
    or None where both search everything."""
    import numpy

    run(tutti, 2, "search", "--run", "found", "--set", f"index={folder}", "--set", "query.file=queries.npy",
        "--set", f"search.k={K}", *search)
    ids, distances = neighbors_of("found")
    faiss_ids, faiss_distances = faiss_found(index, queries, metric)
    alike = common(ids, faiss_ids)
    if truth is None:
        close = numpy.allclose(distances, faiss_distances, rtol=1e-4, atol=1e-4)
        print(f"{name}: {alike:.2%} of the ids the same, distances {'the same' if close else 'DIFFERENT'}")
        return close and alike > 0.999
    recall, theirs = common(ids, truth), common(faiss_ids, truth)
    print(f"{name}: {alike:.2%} of the ids the same, recall {recall:.4f} and faiss {theirs:.4f}")
    return alike >= 0.97 and abs(recall - theirs) <= 0.01


def compare_codes(tutti, folder, vectors, asked, metric, truth):
    """Recall of an index of codes that tutti exports, and of one that faiss makes."""
    import faiss

    run(tutti, 2, "export", "--run", f"{folder}-codes", "--set", f"export.from={folder}", "--set",
        f"export.code_parts={CODE_PARTS}")
    ours = faiss.read_index(f"{folder}-codes/index.faiss")
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    theirs = faiss.index_factory(DIM, f"IVF{LISTS},PQ{CODE_PARTS}", kind)
    if metric == "cosine":
        vectors = vectors.copy()
        faiss.normalize_L2(vectors)
    theirs.train(vectors)
    theirs.add(vectors)
    good = ours.ntotal == COUNT and ours.pq.M == CODE_PARTS
    for nprobe in (4, 16, LISTS):
        recalls = []
        for index in (ours, theirs):
            index.nprobe = nprobe
            recalls.append(common(index.search(asked, K)[1], truth))
        print(f"{folder}, codes of {CODE_PARTS} bytes, nprobe {nprobe}: recall {recalls[0]:.4f} and faiss's own "
              f"{recalls[1]:.4f}")
        good = good and recalls[0] > recalls[1] - 0.01
    return good


def read_back(tutti, vectors):
    """The vectors' own formats, as numpy and h5py see them."""
    import h5py
    import numpy

    good = True
    for name in ("fvecs", "fbin", "npy", "hdf5"):
        run(tutti, 1, "export", "--run", f"as-{name}", "--set", "export.from=vectors", "--set", f"export.format={name}")
        path = f"as-{name}/vectors.{name}"
        if name == "fvecs":
            found = numpy.fromfile(path, "<f4").reshape(-1, DIM + 1)[:, 1:]
        elif name == "fbin":
            found = numpy.fromfile(path, "<f4", offset=8).reshape(-1, DIM)
        elif name == "npy":
            found = numpy.load(path)
        else:
            with h5py.File(path) as file:
                found = file["train"][:]
        equal = numpy.array_equal(found, vectors)
        print(f"{name}: {'the same vectors' if equal else 'DIFFERENT'}")
        good = good and equal
    return good


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    tutti = str(pathlib.Path(sys.argv[1]).resolve())
    for package in ("faiss", "numpy", "h5py"):
        if importlib.util.find_spec(package) is None:
            skip(f"the Python package {package} is not installed")
    import faiss
    import numpy

    print(f"faiss {faiss.__version__}")
    random = numpy.random.default_rng(1)
    centres = random.normal(size=(300, DIM))
    vectors, queries = ((centres[random.integers(0, 300, n)] + random.normal(size=(n, DIM))).astype("f4")
                        for n in (COUNT, QUERIES))
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        numpy.save("base.npy", vectors)
        numpy.save("queries.npy", queries)
        run(tutti, 2, "shard", "--run", "vectors", "--set", 'input.paths=["base.npy"]')
        good = read_back(tutti, vectors)
        for metric in ("l2", "inner_product", "cosine"):
            asked = queries.copy()
            if metric == "cosine":
                faiss.normalize_L2(asked)
            for storage in ("f32", "bf16"):
                folder = f"{metric}-{storage}"
                run(tutti, 2, "index", "--run", folder, "--set", "vectors=vectors", "--set", f"index.nlist={LISTS}",
                    "--set", f"index.metric={metric}", "--set", f"index.storage={storage}")
                run(tutti, 2, "export", "--run", f"{folder}-out", "--set", f"export.from={folder}")
                index = faiss.read_index(f"{folder}-out/index.faiss")
                good = good and index.ntotal == COUNT and index.is_trained
                index.nprobe = LISTS
                truth = index.search(asked, K)[1]
                for nprobe in NPROBES:
                    index.nprobe = nprobe
                    good &= compare(tutti, f"{folder}, nprobe {nprobe}", folder, index, asked, metric,
                                    truth if nprobe < LISTS else None, "--set", f"search.nprobe={nprobe}")
                good &= compare_codes(tutti, folder, vectors, asked, metric, truth)
        run(tutti, 1, "export", "--run", "flat", "--set", "export.from=vectors", "--set", "export.format=faiss")
        flat = faiss.read_index("flat/index.faiss")
        good &= compare(tutti, "flat", "l2-f32", flat, queries, "l2", None, "--set", "search.mode=exact")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
