#!/usr/bin/env python3
"""The peer of bench_vector_search: faiss and hnswlib on the same data, two threads.

    vector_search.py FOLDER [VECTORS.npy]

Writes FOLDER/base.npy (1M x 128) and FOLDER/queries.npy (10,000 x 128), or cuts both out of
VECTORS.npy: a tenth of its rows, at most 10,000, are the queries. Then answers commands, a line
each, by a line of JSON. Recall is of the 10 nearest, against faiss's exact search.
"""
import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "2"

import faiss  # noqa: E402
import numpy as np  # noqa: E402

VECTORS, DIM, QUERIES, K, LISTS = 1_000_000, 128, 10_000, 10, 4096
SLOW = 2_000  # queries that slow searches are timed by
FILTERED = 100  # one in so many passes the filter


def generate(count, stream):
    """x_j = cos(b_j + sum_i w_ij z_i) + 0.05 n_j, with 16 standard normals z a vector."""
    shared = np.random.default_rng([1, 0])
    weights = shared.normal(0, 0.2, (16, DIM)).astype("f4")
    phases = shared.uniform(0, 2 * np.pi, DIM).astype("f4")
    random = np.random.default_rng([1, stream])
    latent = random.standard_normal((count, 16), dtype="f4")
    noise = random.standard_normal((count, DIM), dtype="f4")
    return (np.cos(phases + latent @ weights) + np.float32(0.05) * noise).astype("f4")


def cut_out(path):
    """Vectors and queries apart from them."""
    rows = np.load(path).astype("f4")
    order = np.random.default_rng(1).permutation(len(rows))
    queries = min(QUERIES, len(rows) // 10)
    return rows[np.sort(order[queries:])], rows[order[:queries]]


def timed(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


class Peer:
    def __init__(self, folder, data=None):
        self.folder = folder
        faiss.omp_set_num_threads(2)
        if data:
            self.base, self.queries = cut_out(data)
        else:
            self.base, self.queries = generate(VECTORS, 1), generate(QUERIES, 2)
        self.dim = self.base.shape[1]
        np.save(os.path.join(folder, "base.npy"), self.base)
        np.save(os.path.join(folder, "queries.npy"), self.queries)
        np.save(os.path.join(folder, "few.npy"), self.queries[:1000])
        np.save(os.path.join(folder, "queries3.npy"), np.tile(self.queries, (3, 1)))
        with open(os.path.join(folder, "metadata.jsonl"), "w") as file:
            file.writelines(f'{{"bucket":{i % FILTERED}}}\n' for i in range(len(self.base)))
        self.flat = faiss.IndexFlatL2(self.dim)
        self.flat.add(self.base)
        self.truth = self.flat.search(self.queries, K)[1]
        self.indexes, self.chosen, self.graph = {}, {}, None

    def described(self):
        return {"faiss": faiss.__version__, "options": faiss.get_compile_options().strip(),
                "vectors": len(self.base), "dimension": self.dim, "queries": len(self.queries)}

    def recall_of(self, found):
        same = [len(np.intersect1d(a, b)) for a, b in zip(self.truth, found)]
        return float(np.mean(same)) / K

    def recall(self, path):
        import h5py

        with h5py.File(path) as file:
            return {"recall": self.recall_of(file["neighbors"][:len(self.queries), :K])}

    def exact(self):
        some = self.queries[:1000]
        seconds, _ = timed(lambda: self.flat.search(some, K))
        return {"qps": len(some) / seconds}

    def kmeans(self):
        """The faster of faiss's two ways, 10 iterations over all vectors."""
        answers = []
        for name in ("Kmeans", "SuperKmeans"):
            if not hasattr(faiss, name):
                continue
            try:
                clustering = getattr(faiss, name)(
                    DIM, LISTS, niter=10, seed=1, max_points_per_centroid=VECTORS)
                seconds, _ = timed(lambda: clustering.train(self.base))
            except Exception as error:  # of a version that wants other arguments
                print(f"{name}: {error}", file=sys.stderr)
                continue
            objective = float(np.asarray(clustering.obj)[-1]) / VECTORS
            answers.append({"seconds": seconds, "way": name, "mean_distance": objective})
        return min(answers, key=lambda a: a["seconds"])

    def index(self, key):
        if key not in self.indexes:
            made = faiss.index_factory(self.dim, key)
            made.train(self.base[:: max(1, len(self.base) // 262144)])
            made.add(self.base)
            self.indexes[key] = made
        return self.indexes[key]

    def keys(self):
        """faiss's kinds of index, the fastest first. 4 sqrt(n) lists of fewer vectors."""
        fine, coarse = LISTS, LISTS // 4
        if len(self.base) < VECTORS:
            fine = round(4 * len(self.base) ** 0.5)
            coarse = fine // 4
        return [f"IVF{coarse},PQ{self.dim // 2}x4fs,RFlat", f"IVF{fine},PQ{self.dim // 2}x4fs,RFlat",
                f"IVF{fine},SQ8", f"IVF{fine},Flat"]

    def set_up(self, key, probes, factor):
        made = self.index(key)
        if factor:
            made.k_factor = factor
            faiss.downcast_index(made.base_index).nprobe = probes
        else:
            made.nprobe = probes
        return made

    def tune(self, target):
        """The fastest of faiss's indexes and settings that reach the recall."""
        best = None
        for key in self.keys():
            for factor in (2, 3, 4, 6, 8) if key.endswith("RFlat") else (0,):
                for probes in (8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 192, 256):
                    made = self.set_up(key, probes, factor)
                    seconds, found = timed(lambda: made.search(self.queries, K))
                    if best and len(self.queries) / seconds < best["qps"]:
                        break  # more probes only cost more
                    recall = self.recall_of(found[1])
                    if recall >= target:
                        best = {"key": key, "probes": probes, "factor": factor,
                                "qps": len(self.queries) / seconds, "recall": recall}
                        break
        self.chosen[target] = best
        return best

    def ivf(self, target):
        chosen = self.chosen[target]
        made = self.set_up(chosen["key"], chosen["probes"], chosen["factor"])
        seconds, found = timed(lambda: made.search(self.queries, K))
        return {"qps": len(self.queries) / seconds, "recall": self.recall_of(found[1])}

    def filter_tune(self, target):
        """The fastest of faiss's indexes that reach the recall among what passes a filter."""
        passing = np.arange(0, VECTORS, FILTERED)
        some = faiss.IndexFlatL2(DIM)
        some.add(self.base[passing])
        self.filtered_truth = passing[some.search(self.queries, K)[1]]
        bits = np.packbits(np.arange(VECTORS) % FILTERED == 0, bitorder="little")
        self.selector = faiss.IDSelectorBitmap(bits)
        best = None
        for key in ("IVF1024,Flat", "IVF4096,SQ8", "IVF4096,Flat"):
            made = self.index(key)
            for probes in (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096):
                if probes > made.nlist:
                    break
                parameters = faiss.SearchParametersIVF(sel=self.selector, nprobe=probes)
                work = lambda: made.search(self.queries, K, params=parameters)  # noqa: E731
                seconds, found = timed(work)
                if best and QUERIES / seconds < best["qps"]:
                    break
                same = [len(np.intersect1d(a, b)) for a, b in zip(self.filtered_truth, found[1])]
                recall = float(np.mean(same)) / K
                if recall >= target:
                    best = {"key": key, "probes": probes, "qps": QUERIES / seconds,
                            "recall": recall}
                    self.filtered = work
                    break
        return best

    def filter_search(self):
        return {"qps": QUERIES / timed(self.filtered)[0]}

    def filter_recall(self, path):
        import h5py

        with h5py.File(path) as file:
            found = file["neighbors"][:QUERIES, :K]
        same = [len(np.intersect1d(a, b)) for a, b in zip(self.filtered_truth, found)]
        return {"recall": float(np.mean(same)) / K}

    def open_kept(self, folder):
        """For a curve: indexes that an earlier run left in the folder, else new ones."""
        import hnswlib

        os.makedirs(folder, exist_ok=True)
        for key in (self.keys()[0], self.keys()[3]):
            path = os.path.join(folder, key.replace(",", "-") + ".faiss")
            if os.path.exists(path):
                self.indexes[key] = faiss.read_index(path)
            else:
                faiss.write_index(self.index(key), path)
        path = os.path.join(folder, "graph.hnswlib")
        if os.path.exists(path):
            self.graph = hnswlib.Index("l2", self.dim)
            self.graph.load_index(path)
            self.graph.set_num_threads(2)
        else:
            self.graph_build()
            self.graph.save_index(path)
        return self.described()

    def curve(self):
        """Points of each line of a picture: name, setting, recall, queries a second."""
        quick, whole = self.keys()[0], self.keys()[3]
        points = []

        def add(name, setting, queries, work):
            seconds, found = timed(lambda: work(queries))
            recall = self.recall_of(found)  # of as many queries as were asked
            points.append({"name": name, "setting": setting, "recall": recall,
                           "qps": len(queries) / seconds})

        for probes in (6, 10, 16, 24, 32, 48, 64, 96):
            made = self.set_up(quick, probes, 6)
            add(f"faiss {quick}, k_factor 6", f"nprobe {probes}", self.queries,
                lambda queries: made.search(queries, K)[1])
        for probes in (8, 16, 32, 64, 128):
            made = self.set_up(whole, probes, 0)
            add(f"faiss {whole}", f"nprobe {probes}", self.queries[:SLOW],
                lambda queries: made.search(queries, K)[1])
        for breadth in (10, 20, 40, 60, 100, 160, 300):
            self.graph.set_ef(breadth)
            add("hnswlib M 16, ef_construction 200", f"ef {breadth}", self.queries,
                lambda queries: self.graph.knn_query(queries, K)[0])
        return points

    def graph_build(self):
        import hnswlib

        if self.graph:
            return self.graph_built
        self.graph = hnswlib.Index("l2", self.dim)
        self.graph.init_index(len(self.base), ef_construction=200, M=16)
        self.graph.set_num_threads(2)
        seconds, _ = timed(lambda: self.graph.add_items(self.base))
        path = os.path.join(self.folder, "graph.bin")
        self.graph.save_index(path)
        size = os.path.getsize(path)
        os.remove(path)
        self.graph_built = {"seconds": seconds, "bytes_per_vector": size / len(self.base)}
        return self.graph_built

    def graph_tune(self, target):
        for breadth in list(range(20, 200, 5)) + list(range(200, 1000, 20)):
            self.graph.set_ef(breadth)
            recall = self.recall_of(self.graph.knn_query(self.queries, K)[0])
            if recall >= target:
                return {"ef": breadth, "recall": recall}
        return {"ef": 0, "recall": recall}

    def graph_search(self, batch=QUERIES):
        some = self.queries[:QUERIES if batch > 100 else 1000]
        batches = [some[at:at + int(batch)] for at in range(0, len(some), int(batch))]
        seconds, _ = timed(lambda: [self.graph.knn_query(queries, K) for queries in batches])
        return {"qps": len(some) / seconds}


def main():
    peer = Peer(*sys.argv[1:])
    print(json.dumps(peer.described()), flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        values = [float(a) if a[0].isdigit() else a for a in arguments]
        print(json.dumps(getattr(peer, command)(*values)), flush=True)


if __name__ == "__main__":
    main()
