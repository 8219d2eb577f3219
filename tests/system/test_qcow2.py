# SPDX-License-Identifier: Apache-2.0
"""qcow2 beside qemu-img and qemu-io: what one makes the other checks, reads and
writes, over the shapes that the format has; damage is found and mended."""
import json
import os
import pathlib
import shutil
import struct
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("LODGE_BUILD", "build"))
TOOL = BUILD / "tests/system/disk-tool"
LODGE = BUILD / "lodge"
WRONG = 4  # of lodge disk check, when an image is damaged
MIB = 1 << 20
SIZE = 12 * MIB + 3 * 512

SHAPES = [
    [], ["cluster_size=512"], ["cluster_size=4K", "refcount_bits=64"],
    ["cluster_size=2M"], ["refcount_bits=1"], ["refcount_bits=2"],
    ["refcount_bits=4"], ["refcount_bits=8"], ["refcount_bits=32"],
    ["compat=0.10"], ["extended_l2=on"],
    ["extended_l2=on", "cluster_size=16K", "preallocation=metadata"],
    ["preallocation=falloc"], ["lazy_refcounts=on"],
]
PACKED = [
    ["compression_type=zlib"], ["compression_type=zstd"],
    ["compression_type=zlib", "cluster_size=4K"],
    ["compression_type=zstd", "cluster_size=2M"],
    ["compression_type=zstd", "extended_l2=on"], ["compat=0.10"],
]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=",".join)
pytestmark = pytest.mark.skipif(
    not (shutil.which("qemu-img") and shutil.which("qemu-io")),
    reason="qemu-img or qemu-io is missing")


def run(*words, status=0):
    done = subprocess.run([str(w) for w in words], capture_output=True,
                          text=True, timeout=300, check=False)
    assert done.returncode == status, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr


def make(path, shape, size=SIZE, backing=None):
    run(TOOL, "create", "qcow2", path, size, *shape,
        *([f"backing={backing}"] if backing else []))


def qemu_make(path, shape, size=SIZE):
    run("qemu-img", "create", "-q", "-f", "qcow2",
        *(["-o", ",".join(shape)] if shape else []), path, size)


def make_raw(path, size=SIZE):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def change(image, model, seed, count=60):
    run(TOOL, "random", "qcow2", image, model, count, seed)


def qemu_change(image, model, at):
    """The same by qemu-io: data, zeros, a discard (which then reads zeros)."""
    for path, kind, discard in ((image, "qcow2", "discard"),
                                (model, "raw", "write -z")):
        run("qemu-io", "-f", kind, "-c", f"write -P 7 {at} 700k", "-c",
            f"write -P 9 {at + 5 * MIB} 9k", "-c",
            f"write -z {at + 3 * MIB} 100k", "-c", f"write -z {2 * MIB} 2M",
            "-c", f"{discard} {2 * MIB} 2M", path)


def same(image, model):
    run("qemu-img", "check", "-q", "-f", "qcow2", image)
    run(TOOL, "check", "qcow2", image)
    run("qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", image, model)
    run(TOOL, "compare", "qcow2", image, "raw", model)


@each_shape
@pytest.mark.parametrize("maker", [make, qemu_make])
def test_written_in_turns(tmp_path, shape, maker):
    image, model = tmp_path / "disk.qcow2", make_raw(tmp_path / "raw")
    maker(image, shape)
    same(image, model)
    for turn in range(2):
        change(image, model, turn)
        same(image, model)
        qemu_change(image, model, turn * 12345 * 512)
    change(image, model, 5)
    same(image, model)


@pytest.mark.parametrize("shape", PACKED, ids=",".join)
def test_compressed(tmp_path, shape):
    model = make_raw(tmp_path / "raw")
    text = pathlib.Path(shutil.which("qemu-img")).read_bytes()[:5 * MIB]
    with open(model, "r+b") as file:
        file.write(text)
        file.seek(7 * MIB)
        file.write(os.urandom(MIB))
    theirs, ours = tmp_path / "theirs.qcow2", tmp_path / "ours.qcow2"
    run("qemu-img", "convert", "-c", "-O", "qcow2", "-o", ",".join(shape),
        model, theirs)
    make(ours, shape)
    run(TOOL, "copy", "raw", model, "qcow2", ours, "packed")
    assert os.stat(ours).st_size < 1.2 * os.stat(theirs).st_size
    same(ours, model)
    same(theirs, model)
    for image in (ours, theirs):
        now = tmp_path / "now"
        shutil.copy(model, now)
        change(image, now, 3)
        same(image, now)


def snapshot(by_qemu, what, image, name):
    if by_qemu:
        run("qemu-img", "snapshot", f"-{what[0]}", name, image)
    else:
        run(LODGE, "disk", "snapshot", what, image, name)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("shape", [[], ["cluster_size=512"],
                                   ["extended_l2=on"], ["compat=0.10"]],
                         ids=",".join)
def test_snapshots(tmp_path, shape, first):
    """One takes them, the other goes back to them and deletes them."""
    image, now = tmp_path / "disk.qcow2", make_raw(tmp_path / "now")
    one, two = tmp_path / "one", tmp_path / "two"
    make(image, shape)
    change(image, now, 1)
    shutil.copy(now, one)
    snapshot(first, "create", image, "one")
    same(image, now)
    change(image, now, 2)
    shutil.copy(now, two)
    snapshot(not first, "create", image, "two")
    change(image, now, 3)
    same(image, now)
    snapshot(not first, "apply", image, "one")
    same(image, one)
    change(image, one, 4)
    same(image, one)
    snapshot(first, "delete", image, "one")
    same(image, one)
    snapshot(first, "apply", image, "two")
    same(image, two)
    snapshot(not first, "delete", image, "two")
    same(image, two)
    info = json.loads(run("qemu-img", "info", "--output=json", image))
    assert not info.get("snapshots")


@pytest.mark.parametrize("size", [5 * MIB + 512, 20 * MIB])
@pytest.mark.parametrize("shape", [[], ["extended_l2=on"], ["compat=0.10"],
                                   ["cluster_size=2M"]], ids=",".join)
def test_backing_of_another_size(tmp_path, shape, size):
    base, image = tmp_path / "base.qcow2", tmp_path / "disk.qcow2"
    model = make_raw(tmp_path / "raw", max(size, SIZE))
    make(base, [], size)
    below = make_raw(tmp_path / "below", size)
    change(base, below, 1)
    shutil.copy(below, model)
    with open(model, "r+b") as file:
        file.truncate(SIZE)
    make(image, shape, backing="base.qcow2")
    same(image, model)
    for seed in (2, 3):
        change(image, model, seed)
        same(image, model)
    # Growing shows zeros, never the longer backing file.
    run(TOOL, "resize", "qcow2", image, SIZE + 4 * MIB)
    with open(model, "r+b") as file:
        file.truncate(SIZE + 4 * MIB)
    same(image, model)
    same(base, below)


@pytest.mark.parametrize("shape", [[], ["cluster_size=512"],
                                   ["extended_l2=on"]], ids=",".join)
def test_another_size(tmp_path, shape):
    image, model = tmp_path / "disk.qcow2", make_raw(tmp_path / "raw")
    make(image, shape)
    change(image, model, 1)
    for seed, size in enumerate((SIZE + 40 * MIB, 3 * MIB + 512, 9 * MIB)):
        run(TOOL, "resize", "qcow2", image, size)
        with open(model, "r+b") as file:
            file.truncate(size)
        same(image, model)
        change(image, model, seed + 2)
        same(image, model)
    run("qemu-img", "resize", "-q", image, str(30 * MIB))
    with open(model, "r+b") as file:
        file.truncate(30 * MIB)
    same(image, model)


@pytest.mark.parametrize("raw", ["off", "on"])
@pytest.mark.parametrize("maker", [make, qemu_make])
def test_data_file(tmp_path, raw, maker):
    image, model = tmp_path / "disk.qcow2", make_raw(tmp_path / "raw")
    data = tmp_path / "data"
    maker(image, [f"data_file={data}", f"data_file_raw={raw}"])
    for turn in range(2):
        change(image, model, turn)
        same(image, model)
        qemu_change(image, model, turn * MIB)
    same(image, model)
    if raw == "on":
        run("qemu-img", "compare", "-q", "-f", "raw", "-F", "raw", data, model)
    os.remove(data)
    assert "missing" in run(LODGE, "disk", "info", image, status=1)


def be(file, at, size):
    file.seek(at)
    return int.from_bytes(file.read(size), "big")


def bitmap_of(path, granularity):
    """The bytes of the only bitmap, and its flags."""
    with open(path, "rb") as file:
        cluster = 1 << be(file, 20, 4)
        at = be(file, 100, 4)
        while be(file, at, 4) != 0x23852875:
            at += 8 + (be(file, at + 4, 4) + 7) // 8 * 8
        assert be(file, 88, 8) & 1
        entry = be(file, at + 24, 8)
        table, count, flags = struct.unpack(
            ">QII", (file.seek(entry), file.read(16))[1])
        bits = b""
        for i in range(count):
            place = be(file, table + 8 * i, 8)
            if place & ~1:
                file.seek(place)
                bits += file.read(cluster)
            else:
                bits += (b"\xff" if place else b"\0") * cluster
    return bits[:-(-SIZE // granularity // 8)], flags


def test_bitmaps_follow_writes(tmp_path):
    image, model = tmp_path / "disk.qcow2", make_raw(tmp_path / "raw")
    qemu_make(image, ["cluster_size=4K"])
    change(image, model, 1)
    run("qemu-img", "bitmap", "--add", "-g", "64K", image, "since")
    before = model.read_bytes()
    change(image, model, 2)
    same(image, model)
    after = model.read_bytes()
    bits, flags = bitmap_of(image, 65536)
    assert flags == 2 and any(bits)
    for part in range(0, SIZE, 65536):
        if before[part:part + 65536] != after[part:part + 65536]:
            assert bits[part // 65536 // 8] >> (part // 65536 % 8) & 1
    info = json.loads(run("qemu-img", "info", "--output=json", image))
    shown = info["format-specific"]["data"]["bitmaps"]
    assert shown[0]["flags"] == ["auto"]


def entries_of(path):
    """Where the first L1, L2 and refcount block entries lie."""
    with open(path, "rb") as file:
        l1 = be(file, 40, 8)
        l2 = be(file, l1, 8) & ((1 << 56) - 512)
        block = be(file, be(file, 48, 8), 8)
    return l1, l2, block


def put(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("damage", ["count", "leak", "flag", "beyond",
                                    "overlap", "block", "unaligned", "marks"])
def test_damage_is_mended(tmp_path, damage):
    image, model = tmp_path / "disk.qcow2", make_raw(tmp_path / "raw")
    make(image, [])
    change(image, model, 1)
    run("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 64k", image)
    l1, l2, block = entries_of(image)
    with open(image, "rb") as file:
        entry = be(file, l2, 8)
        host = (entry & ((1 << 56) - 512)) >> 16
        reftable = be(file, 48, 8)
    at, data = {
        "count": (block + 2 * host, b"\0\0"),
        "leak": (block + 2 * host, b"\0\7"),
        "flag": (l2, (entry & ~(1 << 63)).to_bytes(8, "big")),
        "beyond": (l2, (1 << 63 | 1 << 40).to_bytes(8, "big")),
        "overlap": (l2, (1 << 63 | l1).to_bytes(8, "big")),
        "block": (reftable, (1 << 50).to_bytes(8, "big")),
        "unaligned": (l2, (entry | 512).to_bytes(8, "big")),
        "marks": (79, b"\3"),
    }[damage]
    put(image, at, data)
    if damage not in ("marks", "leak", "flag"):
        run(LODGE, "disk", "check", image, status=WRONG)
    if damage == "marks":
        assert "mend it" in run("sh", "-c", f"{TOOL} random qcow2 {image} "
                                f"{model} 1 1 2>&1", status=1)
    run(LODGE, "disk", "check", "--repair", image)
    run("qemu-img", "check", "-q", image)
    run(LODGE, "disk", "check", image)
    if damage in ("count", "leak", "flag", "marks", "block"):
        run("qemu-io", "-f", "raw", "-c", "write -P 1 0 64k", model)
        same(image, model)


def test_late_refcounts_of_others(tmp_path):
    """A crash of one that counts late: what it left is counted anew."""
    image, model = tmp_path / "disk.qcow2", make_raw(tmp_path / "raw")
    qemu_make(image, ["lazy_refcounts=on"])
    change(image, model, 1)
    for path, kind in ((model, "raw"), (image, "qcow2")):
        done = subprocess.run(["qemu-io", "-f", kind, "-c", "write -P 1 1M 3M",
                               "-c", "flush",
                               *(["-c", "abort"] if kind == "qcow2" else []),
                               str(path)], check=False, capture_output=True)
        assert done.returncode == (0 if kind == "raw" else -6)
    with open(image, "rb") as file:
        assert be(file, 72, 8) == 1
    change(image, model, 2)
    with open(image, "rb") as file:
        assert be(file, 72, 8) == 0
    same(image, model)


def test_what_is_not_known_is_named(tmp_path):
    image = tmp_path / "disk.qcow2"
    make(image, [])
    put(image, 72, (1 << 40).to_bytes(8, "big"))
    assert "bit 40" in run(LODGE, "disk", "info", image, status=1)
    put(image, 72, bytes(8))
    put(image, 32, (1).to_bytes(4, "big"))
    assert "AES" in run(LODGE, "disk", "info", image, status=1)


def test_large_and_quick(tmp_path):
    """An image of 1 TiB takes no room, and its tables are not read."""
    image = tmp_path / "disk.qcow2"
    make(image, [], 1 << 40)
    assert os.stat(image).st_blocks * 512 < MIB
    run("qemu-img", "check", "-q", image)
    assert "too large" in run(TOOL, "create", "qcow2", tmp_path / "small",
                              1 << 40, "cluster_size=512", status=1)
