#!/usr/bin/env python3
"""Loads indexes that `tutti export` wrote with the Python package `hnswlib` and compares what both find.

    compare_hnswlib.py TUTTI

TUTTI is the binary. Indexes random vectors around centres on two ranks with a graph under each metric, from f32 and from
bf16 lists, deletes some of them, exports the index, and searches it with hnswlib at the same breadth as `tutti search`.
Both walk by the same edges, but begin elsewhere, and tutti by codes: recall must be as good to 0.02, what hnswlib says
of a neighbour's distance must be what tutti says, and what was deleted must not be found. Ends with 1 where something
differs. Needs `hnswlib`, `numpy` and `h5py`; prints why it skips, and ends with 77, where something is missing.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

COUNT, DIM, QUERIES, K, LISTS, DELETED = 20000, 48, 500, 10, 128, 100
BREADTHS = (20, 100)
SPACES = {"l2": "l2", "inner_product": "ip", "cosine": "cosine"}


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def run(tutti, ranks, *arguments):
    command = ["mpirun", "--oversubscribe", "-n", str(ranks), tutti, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


def search(tutti, folder, *options):
    import h5py

    run(tutti, 2, "search", "--run", "found", "--set", f"index={folder}", "--set", "query.file=queries.npy",
        "--set", f"search.k={K}", *options)
    with h5py.File("found/neighbors.h5") as file:
        return file["neighbors"][:], file["distances"][:]


def recall_of(ids, truth):
    return sum(len(set(a) & set(b)) for a, b in zip(ids, truth)) / truth.size


def hnswlib_found(index, queries, metric):
    """Ids and distances as tutti counts them."""
    import numpy

    ids, scores = index.knn_query(queries, K)
    if metric == "l2":
        return ids, numpy.sqrt(numpy.maximum(scores, 0))
    return ids, scores if metric == "cosine" else scores - 1


def same_distances(found, others):
    """Whether both say the same of what both found."""
    import numpy

    for ids, distances, other_ids, other_distances in zip(*found, *others):
        theirs = dict(zip(other_ids, other_distances))
        for name, distance in zip(ids, distances):
            if name in theirs and not numpy.isclose(distance, theirs[name], rtol=1e-4, atol=1e-4):
                return False
    return True


def compare(tutti, folder, metric, queries):
    import hnswlib

    index = hnswlib.Index(SPACES[metric], DIM)
    index.load_index(f"{folder}-out/index.hnswlib")
    good = index.get_current_count() == COUNT
    truth = search(tutti, folder, "--set", "search.mode=exact")[0]
    for breadth in BREADTHS:
        index.set_ef(breadth)
        theirs = hnswlib_found(index, queries, metric)
        ours = search(tutti, folder, "--set", "search.by=graph", "--set", f"search.breadth={breadth}")
        recalls = recall_of(ours[0], truth), recall_of(theirs[0], truth)
        same, gone = same_distances(ours, theirs), (theirs[0] < DELETED).any() or (ours[0] < DELETED).any()
        print(f"{folder}, breadth {breadth}: recall {recalls[0]:.4f} and hnswlib {recalls[1]:.4f}, distances "
              f"{'the same' if same else 'DIFFERENT'}{', DELETED VECTORS' if gone else ''}")
        good = good and same and not gone and recalls[1] >= recalls[0] - 0.02
    return good


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    tutti = str(pathlib.Path(sys.argv[1]).resolve())
    for package in ("hnswlib", "numpy", "h5py"):
        if importlib.util.find_spec(package) is None:
            skip(f"the Python package {package} is not installed")
    import numpy

    random = numpy.random.default_rng(1)
    centres = random.normal(size=(300, DIM))
    vectors, queries = ((centres[random.integers(0, 300, n)] + random.normal(size=(n, DIM))).astype("f4")
                        for n in (COUNT, QUERIES))
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        numpy.save("base.npy", vectors)
        numpy.save("queries.npy", queries)
        pathlib.Path("gone").write_text("".join(f"{i}\n" for i in range(DELETED)))
        run(tutti, 2, "shard", "--run", "vectors", "--set", 'input.paths=["base.npy"]')
        for metric in SPACES:
            for storage in ("f32", "bf16"):
                folder = f"{metric}-{storage}"
                run(tutti, 2, "index", "--run", folder, "--set", "vectors=vectors", "--set", f"index.nlist={LISTS}",
                    "--set", f"index.metric={metric}", "--set", f"index.storage={storage}",
                    "--set", "index.graph=true")
                run(tutti, 2, "update", "--run", f"{folder}-change", "--set", f"index={folder}",
                    "--set", "update.delete=gone")
                run(tutti, 1, "export", "--run", f"{folder}-out", "--set", f"export.from={folder}",
                    "--set", "export.format=hnswlib")
                good &= compare(tutti, folder, metric, queries)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
