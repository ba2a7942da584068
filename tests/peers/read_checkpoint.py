#!/usr/bin/env python3
"""Opens a checkpoint as runtime/checkpoint/FORMAT.md says, with h5py alone, and puts an array together:

    read_checkpoint.py GENERATION ARRAY [FILE.npy]

GENERATION is the folder of one generation, ARRAY the name of one of its arrays ("parameters"), or of
one tensor of the model that a training saved. Every checksum is compared first. Prints type, shape and
the SHA-256 of the bytes; with FILE.npy, ends with 1 where that holds another array. Damage ends it with
65. Prints why it skips, and ends with 77, where h5py is missing.
"""
import hashlib
import json
import os
import sys

BLOCK = 4 << 20


def make_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = make_table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def check(good, what):
    if not good:
        print(f"damaged: {what}")
        sys.exit(65)


def read_manifest(folder):
    with open(os.path.join(folder, "manifest.json"), "rb") as file:
        data = file.read()
    check(data.startswith(b'{"crc32c":"'), "manifest.json is not sealed")
    check(crc32c(data[:11] + b"00000000" + data[19:]) == int(data[11:19], 16), "manifest.json")
    manifest = json.loads(data)
    check(manifest["kind"] == "checkpoint" and manifest["format_version"] == 1, "the manifest's kind or version")
    return manifest


def check_header(path, record):
    """All bytes outside of datasets, in order of their place, as one piece."""
    with open(path, "rb") as file:
        data = file.read()
    check(len(data) == record["bytes"], f"{path}: {len(data)} bytes instead of {record['bytes']}")
    crc, at = 0, 0
    for extent in sorted((e for e in record["extents"] if e["bytes"]), key=lambda e: e["offset"]):
        crc = crc32c(data[at:extent["offset"]], crc)
        at = extent["offset"] + extent["bytes"]
    check(crc32c(data[at:], crc) == int(record["header_crc32c"], 16), f"{path}: the header")


def read_slice(h5py, folder, record, piece):
    import numpy  # h5py stands on it

    path = os.path.join(folder, record["name"])
    extent = next(e for e in record["extents"] if e["dataset"] == "/" + piece["array"])
    with h5py.File(path, "r") as file:
        dataset = file[extent["dataset"]]
        check(dataset.attrs["first_element"] == piece["begin"], f"{path}: first_element")
        values = numpy.asarray(dataset[...])
    data = values.tobytes()
    check(len(data) == extent["bytes"], f"{path}: {extent['dataset']}")
    for block, expected in enumerate(extent["crc32c"]):
        found = crc32c(data[block * BLOCK:(block + 1) * BLOCK])
        check(found == int(expected, 16), f"{path}: dataset {extent['dataset']}, block {block}")
    return values


def read_array(h5py, folder, manifest, name):
    import numpy

    size = next(a["size"] for a in manifest["arrays"] if a["name"] == name)
    whole = None
    covered = 0
    for part in manifest["parts"]:
        for piece in part["slices"]:
            if piece["array"] != name:
                continue
            values = read_slice(h5py, folder, part["file"], piece)
            whole = numpy.zeros(size, values.dtype) if whole is None else whole
            whole[piece["begin"]:piece["end"]] = values
            covered += len(values)
    check(covered == size, f"the parts have {covered} of {size} elements of {name}")
    return whole


def read_tensor(h5py, folder, manifest, name):
    if any(array["name"] == name for array in manifest["arrays"]):
        return read_array(h5py, folder, manifest, name)
    model = manifest["state"].get("model", {})
    for parameter in model.get("parameters", []):
        if parameter["name"] == name:
            size = 1
            for extent in parameter["shape"]:
                size *= extent
            array = read_array(h5py, folder, manifest, model["array"])
            return array[parameter["begin"]:parameter["begin"] + size].reshape(parameter["shape"])
    sys.exit(f"no array and no tensor is called {name}")


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    try:
        import h5py
        import numpy
    except ImportError as missing:
        print(f"skipped: {missing}")
        sys.exit(77)
    folder, name = sys.argv[1:3]
    manifest = read_manifest(folder)
    for part in manifest["parts"]:
        check_header(os.path.join(folder, part["file"]["name"]), part["file"])
    tensor = read_tensor(h5py, folder, manifest, name)
    print(f"{name}: {tensor.dtype} {list(tensor.shape)} {hashlib.sha256(tensor.tobytes()).hexdigest()}")
    if len(sys.argv) == 4:
        expected = numpy.load(sys.argv[3])
        same = expected.dtype == tensor.dtype and expected.tobytes() == tensor.tobytes()
        print("the same" if same else "another array")
        sys.exit(not same)


if __name__ == "__main__":
    main()
