# SPDX-License-Identifier: Apache-2.0
"""Images that were made to hurt: packed data without end, tables that refer
to themselves, sizes beyond all measure. Each command on them ends, with one
line or none, in little memory."""
import os
import shutil
import struct
import subprocess
import zlib

import pytest

from conftest import LODGE
from test_disk_tool import MIB, good

PATIENCE = 120
# Addresses, of which libraries, stacks and malloc's reserves take the most. A
# build with sanitizers takes as many as there are.
HELD = [] if b"__asan_init" in LODGE.read_bytes() else [
    "prlimit", f"--as={512 * MIB}"]

needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"),
                                    reason="needs qemu-img")


def held(*words):
    """A command's status and its line, with no more memory than it should
    need."""
    words = [str(w) for w in words]
    if words[0] == "convert":
        words += ["--threads", "2"]
    done = subprocess.run([*HELD, LODGE, "disk", *words], check=False,
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode >= 0, (words, done)
    assert len(done.stderr.splitlines()) <= 1, done
    assert "memory" not in done.stderr.lower(), done
    return done.returncode, done.stderr


def suffer(path):
    """All that reads an image; the statuses that a user sees."""
    found = {}
    for words in (("info", path), ("map", path), ("check", path),
                  ("check", "--repair", path)):
        found[" ".join(str(w) for w in words[:-1])], _ = held(*words)
    assert set(found.values()) <= {0, 1, 3, 4}, found
    return found


def put(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def get(path, at, size):
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(size)


# --- packed data without end -------------------------------------------------

def packed_cluster(path, data, room):
    """A qcow2 image whose first cluster is such compressed data: the second
    level's entry, and the data behind all else."""
    l1 = int.from_bytes(get(path, 40, 8), "big")
    end = (os.path.getsize(path) + room - 1) // room * room
    l2, at = end, end + room
    put(path, l1, (l2 | 1 << 63).to_bytes(8, "big"))
    sectors = (len(data) - 1) // 512
    bits = 62 - (room.bit_length() - 1 - 8)
    assert sectors < 1 << (62 - bits)
    put(path, l2, (1 << 62 | sectors << bits | at).to_bytes(8, "big"))
    put(path, at, data.ljust(len(data) + -len(data) % 512 or 512, b"\0"))


def deflate(size):
    """So many zeros, as qcow2 and VMDK pack them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(size)) + packer.flush()


def test_zlib_without_end(tmp_path):
    path = tmp_path / "a.qcow2"
    good("create", path, "8M", "--option", "cluster_size=2M")
    packed_cluster(path, deflate(128 * MIB), 2 * MIB)
    status, _ = held("convert", path, tmp_path / "b.raw")
    assert status in (0, 1)
    suffer(path)


def test_a_zstd_window_of_all_memory(tmp_path):
    """A frame that says nothing but that it needs 2 GiB to be looked at."""
    path = tmp_path / "a.qcow2"
    good("create", path, "8M", "--option", "compression_type=zstd")
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + \
        (1 << 3 | 2).to_bytes(3, "little") + b"x" * 600
    packed_cluster(path, frame, 64 << 10)
    status, said = held("convert", path, tmp_path / "b.raw")
    assert status == 1 and f"{path} cannot be read" in said
    assert not (tmp_path / "b.raw").exists()


def test_a_packed_grain_without_end(tmp_path):
    raw, path = tmp_path / "a.raw", tmp_path / "a.vmdk"
    raw.write_bytes(os.urandom(4 * MIB))
    good("convert", raw, path, "--option", "subformat=streamOptimized")
    bomb = zlib.compress(bytes(64 * MIB), 9)
    assert len(bomb) < 70 << 10
    put(path, 128 * 512 + 8, struct.pack("<I", len(bomb)) + bomb)
    status, _ = held("convert", path, tmp_path / "b.raw")
    assert status in (0, 1)
    (tmp_path / "b.raw").unlink(missing_ok=True)
    put(path, 128 * 512 + 8, b"\xff\xff\xff\x7f")
    status, _ = held("convert", path, tmp_path / "b.raw")
    assert status == 1
    suffer(path)


# --- sizes beyond all measure ------------------------------------------------

QCOW2 = {  # what: (place in the header, bytes)
    "size": (24, b"\x7f" + b"\xff" * 7),
    "odd size": (24, b"\xff" * 8),
    "cluster": (20, b"\0\0\0\x3f"),
    "first table": (36, b"\x7f\xff\xff\xff"),
    "its place": (40, b"\x7f" + b"\xff" * 6 + b"\0"),
    "count table": (56, b"\xff\xff\xff\xff"),
    "count place": (48, b"\xff" * 6 + b"\0\0"),
    "snapshots": (60, b"\xff\xff\xff\xff"),
    "backing name": (8, b"\0" * 6 + b"\x01\0" + b"\xff\xff\xff\xff"),
    "header": (100, b"\xff\xff\xff\xf8"),
    "extension": (104, b"\x12\x34\x56\x78\xff\xff\xff\xff"),
    "bitmaps": (104, b"\x23\x85\x28\x75\0\0\0\x18" + b"\xff" * 16),
    "table on header": (40, bytes(8)),
    "counts on header": (48, bytes(8)),
}


@pytest.mark.parametrize("what", QCOW2)
def test_qcow2_headers(tmp_path, what):
    path = tmp_path / "a.qcow2"
    good("create", path, "64M")
    put(path, *QCOW2[what])
    suffer(path)


OTHERS = {  # what: (format, place, bytes)
    "vdi blocks": ("vdi", 0x180, b"\xff\xff\xff\xff"),
    "vdi block": ("vdi", 0x178, b"\0\0\0\x80"),
    "vdi size": ("vdi", 0x170, b"\xff" * 8),
    "vdi table": ("vdi", 0x154, b"\0\xfe\xff\xff"),
    "vmdk capacity": ("vmdk", 12, b"\xff" * 8),
    "vmdk grain": ("vmdk", 20, b"\0" * 7 + b"\x80"),
    "vmdk text": ("vmdk", 36, b"\xff" * 8),
    "vmdk directory": ("vmdk", 56, b"\xff" * 7 + b"\x7f"),
    "vhd table": ("vhd", 512 + 28, b"\xff\xff\xff\xff"),
    "vhd block": ("vhd", 512 + 32, b"\x80\0\0\0"),
    "vhdx log": ("vhdx", 0x10000 + 68, b"\xff\xff\xff\xff"),
    "vhdx regions": ("vhdx", 192 << 10, b"regi\0\0\0\0\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_headers_of_others(tmp_path, what):
    kind, at, data = OTHERS[what]
    path = tmp_path / f"a.{kind}"
    good("create", path, "64M")
    put(path, at, data)
    suffer(path)


@pytest.mark.parametrize("kind", ["qcow2", "vdi", "vhd", "vmdk", "vhdx"])
def test_files_that_are_all_hole(tmp_path, kind):
    """The tables seem to be there: 4 TiB of file, hardly a byte of it."""
    path = tmp_path / f"a.{kind}"
    good("create", path, "64M")
    with open(path, "r+b") as file:
        file.truncate(4 << 40)
    if kind == "qcow2":
        put(path, 56, b"\0\x10\0\0")
        put(path, 36, b"\x01\0\0\0")
    if kind == "vdi":
        put(path, 0x158, b"\0\0\0\x40")
        put(path, 0x170, struct.pack("<Q", 250 << 40))
        put(path, 0x180, b"\0\0\0\x0f")
    assert held("info", path)[0] in (0, 1)
    assert held("map", path)[0] in (0, 1)


# --- tables that refer to themselves -----------------------------------------

@pytest.mark.parametrize("target", ["first table", "second table", "counts",
                                    "header"])
@pytest.mark.parametrize("level", ["first", "second", "count table"])
def test_loops_of_tables(tmp_path, level, target):
    path = tmp_path / "a.qcow2"
    raw = tmp_path / "a.raw"
    raw.write_bytes(os.urandom(MIB))
    good("convert", raw, path)
    l1 = int.from_bytes(get(path, 40, 8), "big")
    counts = int.from_bytes(get(path, 48, 8), "big")
    l2 = int.from_bytes(get(path, l1, 8), "big") & (1 << 56) - 1
    place = {"first table": l1, "second table": l2, "counts": counts,
             "header": 0}[target]
    flag = 0 if level == "count table" else 1 << 63
    put(path, {"first": l1, "second": l2, "count table": counts}[level],
        (place | flag).to_bytes(8, "big"))
    suffer(path)
    before = get(path, 0, 104)
    # A guest's writes do not reach a table, whatever refers to it.
    subprocess.run([LODGE, "disk", "resize", path, "+64K"], check=False,
                   capture_output=True, timeout=PATIENCE)
    assert get(path, 0, 8) == before[:8]


def test_grains_that_share_a_table(tmp_path):
    """Each entry of a VMDK's directory is the directory's own place."""
    path = tmp_path / "a.vmdk"
    good("create", path, "1G")
    directory = struct.unpack("<Q", get(path, 56, 8))[0]
    put(path, directory * 512, struct.pack("<I", directory) * 32)
    suffer(path)


@needs_qemu_img
def test_images_that_stand_on_each_other(tmp_path):
    names = [tmp_path / f"{n}.qcow2" for n in range(70)]
    good("create", names[0], "1M")
    for below, path in zip(names, names[1:63]):
        good("create", path, "--backing", below.name)
    for below, path in zip(names[62:], names[63:]):
        subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F",
                        "qcow2", "-b", below.name, path, "1M"], check=True)
    assert held("map", names[60])[0] == 0
    status, said = held("map", names[69])
    assert status == 1 and "more than 64 images" in said
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2",
                    "-b", names[3].name, names[0]], check=True)
    status, said = held("map", names[2])
    assert status == 1 and "stands on itself" in said
