# SPDX-License-Identifier: Apache-2.0
"""lodge disk bitmap beside qemu-img bitmap: what one makes the other follows."""
import json
import shutil
import subprocess

import pytest

from test_disk_tool import MIB, disk, good
from test_usage import refused

KIB = 1 << 10
pytestmark = pytest.mark.skipif(
    not (shutil.which("qemu-img") and shutil.which("qemu-io")),
    reason="needs qemu-img and qemu-io")


def qemu(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def write(path, *pieces):
    """By qemu-io, which notes it in bitmaps that record."""
    qemu("qemu-io", "-f", "qcow2",
         *[w for at, size in pieces for w in ("-c", f"write {at} {size}")],
         path)


def listed(path):
    return {b["name"]: b for b in json.loads(good("bitmap", "list", "--json",
                                                  path))}


def shown(path, name):
    told = json.loads(good("bitmap", "show", "--json", path, name))
    assert told["marked"] == sum(e["length"] for e in told["extents"])
    return [(e["offset"], e["length"]) for e in told["extents"]]


def theirs(path):
    info = json.loads(qemu("qemu-img", "info", "--output=json", path))
    return {b["name"]: b for b in
            info["format-specific"]["data"].get("bitmaps", [])}


@pytest.fixture(name="image")
def fixture_image(tmp_path):
    path = tmp_path / "a.qcow2"
    good("create", path, "16M")
    return path


def test_ours_are_followed_by_qemu(image):
    good("bitmap", "create", image, "one")
    good("bitmap", "create", image, "two", "--granularity", "4K")
    assert listed(image)["two"] == {"name": "two", "granularity": 4096,
                                    "recording": True, "inconsistent": False}
    assert theirs(image)["one"]["granularity"] == 65536
    assert theirs(image)["one"]["flags"] == ["auto"]
    write(image, (0, 512), (5 * MIB, 70000), (16 * MIB - 512, 512))
    assert shown(image, "two") == [(0, 4096), (5 * MIB, 72 * KIB - 0),
                                   (16 * MIB - 4096, 4096)]
    assert shown(image, "one") == [(0, 65536), (5 * MIB, 2 * 65536),
                                   (16 * MIB - 65536, 65536)]
    good("bitmap", "clear", image, "one")
    assert shown(image, "one") == []
    write(image, (MIB, 1))
    assert shown(image, "one") == [(MIB, 65536)]
    good("bitmap", "delete", image, "two")
    assert list(theirs(image)) == ["one"]
    qemu("qemu-img", "check", image)
    good("check", image)


def test_theirs_are_followed_here(image, tmp_path):
    qemu("qemu-img", "bitmap", "--add", "-g", "32k", image, "a")
    qemu("qemu-img", "bitmap", "--add", "--disable", image, "b")
    assert listed(image)["a"]["recording"]
    assert not listed(image)["b"]["recording"]
    top = tmp_path / "top.qcow2"
    good("create", "--backing", image.name, top)
    write(top, (3 * MIB, 1000))
    good("commit", top)
    assert shown(image, "a") == [(3 * MIB, 65536)]
    assert shown(image, "b") == []
    assert "recording" in good("bitmap", "list", image)
    assert hex(3 * MIB) in good("bitmap", "show", image, "a")


@pytest.mark.parametrize("coarse, fine", [("128K", "4K"), ("64K", "64K"),
                                          ("4K", "1M")])
def test_merging(image, tmp_path, coarse, fine):
    other = tmp_path / "b.qcow2"
    for name, size in (("one", coarse), ("two", fine)):
        good("bitmap", "create", image, name, "--granularity", size)
        write(image, *([(MIB, 4096), (9 * MIB, 100_000)] if name == "one"
                       else [(12 * MIB, 1), (16 * MIB - 1, 1)]))
    good("bitmap", "clear", image, "one")
    write(image, (4 * MIB, 600_000))
    shutil.copy(image, other)
    good("bitmap", "merge", image, "one", "two")
    qemu("qemu-img", "bitmap", "--merge", "two", other, "one")
    assert shown(image, "one") == shown(other, "one")
    assert shown(image, "two") == shown(other, "two")
    good("bitmap", "merge", image, "one", "one")
    assert shown(image, "one") == shown(other, "one")
    qemu("qemu-img", "check", image)


def test_lost_ones(image):
    good("bitmap", "create", image, "one")
    write(image, (MIB, 512))
    data = bytearray(image.read_bytes())
    extension = data.index(b"\x23\x85\x28\x75\0\0\0\x18") + 8
    flags = int.from_bytes(data[extension + 16:extension + 24], "big") + 12
    assert data[flags:flags + 4] == b"\0\0\0\2"
    data[flags + 3] |= 1  # in use
    image.write_bytes(data)
    assert listed(image)["one"]["inconsistent"]
    assert "lost" in good("bitmap", "list", image)
    refused(disk("bitmap", "show", image, "one"), 1, "full backup")
    good("bitmap", "create", image, "two")
    refused(disk("bitmap", "merge", image, "two", "one"), 1, "clear it")
    good("bitmap", "clear", image, "one")
    assert shown(image, "one") == []


def test_refusals(image, tmp_path):
    good("bitmap", "create", image, "one")
    refused(disk("bitmap", "create", image, "one"), 1, "already")
    for verb in ("delete", "clear", "show"):
        refused(disk("bitmap", verb, image, "none"), 1, 'no bitmap "none"')
    refused(disk("bitmap", "merge", image, "one", "none"), 1, '"none"')
    refused(disk("bitmap", "merge", image, "none", "one"), 1, '"none"')
    refused(disk("bitmap", "create", image, "x", "--granularity", "3K"), 1,
            "power of two")
    for words in (["list"], ["show", image], ["create", image],
                  ["merge", image, "one"], ["list", image, "one"],
                  ["paint", image, "one"]):
        refused(disk("bitmap", *words), 2, "usage")
    refused(disk("resize", image, "20M"), 1, "bitmaps")
    raw = tmp_path / "b.img"
    good("create", raw, "1M")
    refused(disk("bitmap", "list", raw), 1, "raw images have no bitmaps")
    refused(disk("bitmap", "create", raw, "one"), 1, "no bitmaps")
    old = tmp_path / "c.qcow2"
    good("create", "--option", "compat=v2", old, "1M")
    refused(disk("bitmap", "create", old, "one"), 1, "version 2")
