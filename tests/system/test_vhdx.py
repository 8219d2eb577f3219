# SPDX-License-Identifier: Apache-2.0
"""VHDX beside qemu-img: its log, its GUIDs, images on a parent."""
import json
import os
import shutil
import subprocess

import pytest

from test_formats import LODGE, MIB, TOOL, Kind, make_model, refused, run, same

pytestmark = pytest.mark.skipif(not shutil.which("qemu-img"),
                                reason="qemu-img is missing")


def test_vhdx_grows_beyond_its_table(tmp_path):
    image, model = tmp_path / "disk.vhdx", make_model(tmp_path, 8 * MIB)
    kind = Kind("vhdx", check=True)
    run(TOOL, "create", "vhdx", image, 8 * MIB, "block_size=1M")
    for size in (9 * MIB, 900 * MIB, 300 << 30):
        run(TOOL, "random", "vhdx", image, model, 20, size)
        run(TOOL, "resize", "vhdx", image, size)
        with open(model, "r+b") as file:
            file.truncate(size)
        if size < 1 << 30:
            same(kind, image, model)
    run("qemu-io", "-f", "vhdx", "-c", f"write -P 7 {size - 65536} 64k", "-c",
        "write -P 8 100G 64k", image)
    run("qemu-img", "check", "-q", "-f", "vhdx", image)
    run(TOOL, "check", "vhdx", image)


def killed(tmp_path):
    """A VHDX image as it is when the process dies behind a flush."""
    image = tmp_path / "disk.vhdx"
    run(TOOL, "create", "vhdx", image, 8 * MIB, "block_size=1M")
    done = subprocess.run([TOOL, "die", "vhdx", image], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 9, done
    return image


def test_vhdx_log_is_theirs(tmp_path):
    image = killed(tmp_path)
    run("qemu-img", "check", "-q", "-r", "all", "-f", "vhdx", image)
    run("qemu-io", "-f", "vhdx", "-c", "read -P 90 3M 64k", image)
    assert "log" not in run("qemu-io", "-r", "-f", "vhdx", "-c",
                            "read -P 90 3M 64k", image)


def test_vhdx_log_is_replayed(tmp_path):
    """Also where the tables did not get what the log has."""
    image, model = killed(tmp_path), make_model(tmp_path, 8 * MIB)
    run("qemu-io", "-f", "raw", "-c", "write -P 90 3M 64k", model)
    with open(image, "r+b") as file:
        file.seek(3 * MIB)
        file.write(bytes(MIB))
    assert "open it for writing once" in refused(TOOL, "info", "vhdx", image)
    run(TOOL, "check", "vhdx", image, "repair")
    same(Kind("vhdx", check=True), image, model)


def test_vhdx_log_that_lies(tmp_path):
    image = killed(tmp_path)
    with open(image, "r+b") as file:
        file.seek(MIB + 100)
        file.write(b"\1\2\3")
    assert "its log makes no sense" in refused(TOOL, "check", "vhdx", image,
                                               "repair")


def test_vhdx_guids_change_with_the_content(tmp_path):
    image = tmp_path / "disk.vhdx"
    run(TOOL, "create", "vhdx", image, 8 * MIB)

    def guids():
        heads = [image.read_bytes()[at:at + 48] for at in (65536, 131072)]
        newest = max(heads, key=lambda h: int.from_bytes(h[8:16], "little"))
        return newest[16:32], newest[32:48]

    before = guids()
    run(TOOL, "info", "vhdx", image)
    run(TOOL, "check", "vhdx", image)
    assert guids() == before
    run(TOOL, "random", "vhdx", image, make_model(tmp_path, 8 * MIB), 30, 1)
    assert guids()[0] != before[0] and guids()[1] != before[1]


# --- VHDX images on a parent ---------------------------------------------------

LOCATOR = 2 * MIB + 65536 + 4096  # where ours lies


def differing(tmp_path, option="block_size=1M", size=12 * MIB):
    """An image on a parent with content, and the raw model of that."""
    (tmp_path / "sub").mkdir()
    base, top = tmp_path / "sub/base.vhdx", tmp_path / "top.vhdx"
    model = make_model(tmp_path, size)
    run(TOOL, "create", "vhdx", base, size)
    run(TOOL, "random", "vhdx", base, model, 30, 1)
    run(TOOL, "create", "vhdx", top, 0, "backing=sub/base.vhdx", option)
    run(TOOL, "compare", "vhdx", top, "raw", model)
    return base, top, model


@pytest.mark.parametrize("option", ["block_size=1M", "block_size=4M",
                                    "subformat=dynamic"])
def test_vhdx_differences(tmp_path, option):
    base, top, model = differing(tmp_path, option)
    before = base.read_bytes()
    for seed in range(5):
        run(TOOL, "random", "vhdx", top, model, 60, seed)
        run(TOOL, "compare", "vhdx", top, "raw", model)
        run(TOOL, "check", "vhdx", top)
    assert base.read_bytes() == before
    run(TOOL, "create", "vhdx", tmp_path / "third.vhdx", 0,
        "backing=top.vhdx")
    run(TOOL, "random", "vhdx", tmp_path / "third.vhdx", model, 60, 7)
    run(TOOL, "compare", "vhdx", tmp_path / "third.vhdx", "raw", model)
    info = json.loads(run(TOOL, "info", "vhdx", top))
    assert info["subformat"] == "differencing"
    run(LODGE, "disk", "resize", tmp_path / "third.vhdx", "14M")
    os.truncate(model, 14 * MIB)
    run(TOOL, "compare", "vhdx", tmp_path / "third.vhdx", "raw", model)


def test_zeros_over_a_parent_take_no_room(tmp_path):
    """Whole blocks have a state for that; parts of them do not."""
    _, top, model = differing(tmp_path, "block_size=1M")
    run(TOOL, "random", "vhdx", top, model, 30, 4)
    before, size = top.stat().st_size, top.stat().st_blocks
    for at, length in ((2 * MIB, 5 * MIB), (8 * MIB + 4096, 3 * MIB)):
        run(TOOL, "zero", "vhdx", top, at, length)
        with open(model, "r+b") as file:
            file.seek(at)
            file.write(bytes(length))
    run(TOOL, "compare", "vhdx", top, "raw", model)
    run(TOOL, "check", "vhdx", top)
    assert top.stat().st_size - before <= 3 * MIB  # two blocks, a bitmap
    assert top.stat().st_blocks <= size + 2 * MIB // 512
    run(TOOL, "random", "vhdx", top, model, 90, 5)
    run(TOOL, "compare", "vhdx", top, "raw", model)
    run(TOOL, "check", "vhdx", top)


def test_vhdx_differences_are_libvhdis(tmp_path):
    pyvhdi = pytest.importorskip("pyvhdi")
    base, top, model = differing(tmp_path)
    run(TOOL, "random", "vhdx", top, model, 90, 3)
    parent, child = pyvhdi.file(), pyvhdi.file()
    parent.open(str(base))
    child.open(str(top))
    assert child.get_parent_identifier() == parent.get_identifier()
    child.set_parent(parent)
    data = b"".join(child.read_buffer(MIB) for _ in range(12))
    assert data == model.read_bytes()


def partial(top, states):
    """Gives the first blocks of an image on a parent other states, as another
    program might: (state, sectors that are present, their bytes)."""
    data = bytearray(top.read_bytes())
    end = len(data)
    for block, (state, sectors, byte) in enumerate(states):
        entry = 3 * MIB + block * 8
        data[entry:entry + 8] = ((end if state > 5 else 0) |
                                 state).to_bytes(8, "little")
        if state > 5:
            data += bytes([0xee]) * MIB
            for sector in sectors:
                at = end + sector * 512
                data[at:at + 512] = bytes([byte]) * 512
        end = len(data)
    bitmap = 3 * MIB + 4096 * 8  # of chunks of 4096 blocks
    data[bitmap:bitmap + 8] = (end | 6).to_bytes(8, "little")
    data += bytes(MIB)
    for block, (_, sectors, _) in enumerate(states):
        for sector in sectors:
            data[end + block * 256 + sector // 8] |= 1 << sector % 8
    top.write_bytes(data)


def test_vhdx_states_of_blocks(tmp_path):
    """Written here after the specification, read and changed by lodge."""
    _, top, model = differing(tmp_path)
    states = [(7, [0, 9, 700, 2047], 1), (0, [], 0), (2, [3], 0),
              (3, [], 0), (6, list(range(2048)), 4), (7, [], 0)]
    partial(top, states)
    expected = bytearray(model.read_bytes())
    for block, (state, sectors, byte) in enumerate(states):
        at = block * MIB
        if state in (2, 3):
            expected[at:at + MIB] = bytes(MIB)
        elif state > 5:
            for sector in sectors:
                expected[at + sector * 512:at + sector * 512 + 512] = \
                    bytes([byte]) * 512
    model.write_bytes(expected)
    run(TOOL, "check", "vhdx", top)
    run(TOOL, "compare", "vhdx", top, "raw", model)
    run(TOOL, "random", "vhdx", top, model, 90, 5)
    run(TOOL, "compare", "vhdx", top, "raw", model)
    run(TOOL, "check", "vhdx", top)


def test_vhdx_wrong_parents(tmp_path):
    base, top, model = differing(tmp_path)
    run(TOOL, "random", "vhdx", base, model, 3, 9)
    assert "changed since" in refused(TOOL, "info", "vhdx", top)
    base.unlink()
    assert "is missing" in refused(TOOL, "info", "vhdx", top)
    shutil.copy(top, base)  # stands on sub/sub/base.vhdx
    assert "is missing" in refused(TOOL, "info", "vhdx", top)
    base.unlink()
    base.symlink_to(top)
    assert "stands on itself" in refused(TOOL, "info", "vhdx", top)
    base.unlink()
    outside = tmp_path / "sub/elsewhere.vhdx"
    run(TOOL, "create", "vhdx", outside, 12 * MIB)
    (tmp_path / "in").mkdir()
    inside = tmp_path / "in/top.vhdx"
    done = subprocess.run([LODGE, "disk", "create", "--backing",
                           "../sub/elsewhere.vhdx", inside],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "outside of its folder" in done.stderr
    for words in (["--backing", outside], ["--backing", "sub/elsewhere.vhdx",
                                           "--option", "subformat=fixed"],
                  ["--backing", model.name, "--backing-format", "raw"]):
        done = subprocess.run([LODGE, "disk", "create", *map(str, words),
                               tmp_path / "new.vhdx"], capture_output=True,
                              text=True, check=False)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert not (tmp_path / "new.vhdx").exists()


@pytest.mark.parametrize("at, data", [
    (LOCATOR, b"\0"), (LOCATOR + 18, b"\xff\xff"), (LOCATOR + 20, b"\0\0"),
    (LOCATOR + 20, b"\xff\xff\xff\xff"), (LOCATOR + 28, b"\0\0"),
    (LOCATOR + 28, b"\x1b"), (LOCATOR + 30, b"\xff\xff"),
    (LOCATOR + 36, b"\xff\xff\xff"), (LOCATOR + 44, b"X"),
    (2 * MIB + 32 + 5 * 32, b"X"), (2 * MIB + 32 + 5 * 32 + 16, b"\0\0"),
    (2 * MIB + 32 + 5 * 32 + 20, b"\xff\xff"),
])
def test_vhdx_locators_that_lie(tmp_path, at, data):
    _, top, _ = differing(tmp_path)
    with open(top, "r+b") as file:
        file.seek(at)
        file.write(data)
    refused(TOOL, "info", "vhdx", top)


def test_vhdx_damage_of_bitmaps(tmp_path):
    _, top, _ = differing(tmp_path)
    partial(top, [(7, [1], 1), (7, [2], 2)])
    bitmap = 3 * MIB + 4096 * 8
    for entry in (0, (MIB | 6), (1 << 40 | 6), (20 * MIB | 3)):
        with open(top, "r+b") as file:
            file.seek(bitmap)
            file.write(entry.to_bytes(8, "little"))
        done = subprocess.run([TOOL, "check", "vhdx", top],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "sector bitmap" in done.stdout
        refused(TOOL, "compare", "vhdx", top, "raw", top)
    run(TOOL, "check", "vhdx", top, "repair")
    run(TOOL, "check", "vhdx", top)


def test_vhdx_damage_is_found(tmp_path):
    image = tmp_path / "disk.vhdx"
    run(TOOL, "create", "vhdx", image, 8 * MIB, "block_size=1M")
    run("qemu-io", "-f", "vhdx", "-c", "write -P 1 0 1M", "-c",
        "write -P 2 1M 1M", image)
    with open(image, "r+b") as file:
        file.seek(3 * MIB)
        first = file.read(8)
        file.seek(3 * MIB + 8)
        file.write(first + (1 << 20 | 6).to_bytes(8, "little"))
    done = subprocess.run([TOOL, "check", "vhdx", image], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert "another block has its room" in done.stdout
    assert "lies where no block may" in done.stdout
    with open(image, "r+b") as file:
        file.seek(65536)
        file.write(bytes(4096))
    run(TOOL, "info", "vhdx", image)
    with open(image, "r+b") as file:
        file.seek(131072)
        file.write(bytes(4096))
    assert "headers" in refused(TOOL, "info", "vhdx", image)
