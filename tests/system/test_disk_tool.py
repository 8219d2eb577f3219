# SPDX-License-Identifier: Apache-2.0
"""lodge disk: what each command does to images, and what it refuses."""
import fcntl
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import time

import pytest

import tiny
from conftest import LODGE, run, spawn
from test_usage import refused

MIB = 1 << 20

needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"),
                                    reason="needs qemu-img")


def disk(*words, **kwargs):
    return run("disk", *words, **kwargs)


def good(*words):
    """The output of a command that succeeds without a word on stderr."""
    result = disk(*words)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def facts(path, *words):
    return json.loads(good("info", "--json", *words, path))


def fill(path, size, pieces, seed=1):
    """A sparse raw image with random data at some places."""
    source = random.Random(seed)
    with open(path, "wb") as image:
        image.truncate(size)
        for _ in range(pieces):
            length = source.randrange(1, 300_000)
            image.seek(source.randrange(0, size - length))
            image.write(source.randbytes(length))
    return path


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


# --- make and look -----------------------------------------------------------

def test_create_raw(tmp_path):
    path = tmp_path / "a.img"
    assert good("create", path, "1.5G") == ""
    assert path.stat().st_size == 3 << 29
    info = facts(path)
    assert info["format"] == "raw" and info["size"] == 3 << 29
    assert info["allocated"] == 0
    assert "1.50 GiB" in good("info", path)


def test_an_overlay_tells_its_size(tmp_path):
    base, path = tmp_path / "base.qcow2", tmp_path / "a.qcow2"
    good("create", base, "4M")
    told = json.loads(good("create", "--json", "--backing", base, path))
    assert told == {"path": str(path), "format": "qcow2", "size": 4 * MIB}


def test_snapshots_tell_json(tmp_path):
    path = tmp_path / "a.qcow2"
    good("create", path, "4M")
    for verb in ("create", "apply", "delete"):
        told = json.loads(good("snapshot", "--json", verb, path, "one"))
        assert told == {"path": str(path), "snapshot": "one"}


def test_bitmaps_tell_json(tmp_path):
    path = tmp_path / "d.qcow2"
    good("create", path, "4M")
    for verb in "create", "clear", "delete":
        told = json.loads(good("bitmap", "--json", verb, path, "one"))
        assert told == {"path": str(path), "bitmap": "one"}


def test_create_tells_json(tmp_path):
    path = tmp_path / "a.img"
    told = json.loads(good("create", "--json", path, "4M"))
    assert told == {"path": str(path), "format": "raw", "size": 4 * MIB}


@pytest.mark.parametrize("size", ["10", "0G", "ten", "1X", "-1G", "8E", "",
                                  "1..5G", "9999999999T"])
def test_create_wants_a_size_with_a_unit(tmp_path, size):
    path = tmp_path / "a.img"
    assert disk("create", path, size).returncode in (1, 2)
    assert os.listdir(tmp_path) == []


def test_create_does_not_overwrite(tmp_path):
    path = tmp_path / "a.img"
    path.write_text("mine")
    refused(disk("create", path, "1M"), 1, str(path), "there already")
    assert path.read_text() == "mine"


def test_create_where_there_is_no_folder(tmp_path):
    refused(disk("create", tmp_path / "no" / "a.img", "1M"), 1,
            "its folder is missing")


@pytest.mark.parametrize("words, part", [
    ((), "a command is missing"),
    (("creat",), "did you mean create?"),
    (("create",), "usage: lodge disk create"),
    (("info", "a", "b"), "usage: lodge disk info"),
    (("info", "--jsn", "a"), "did you mean --json?"),
    (("create", "a.img", "1M", "--format", "cow"), 'unknown format "cow"'),
    (("create", "a.img", "1M", "--option", "size"), "NAME=VALUE"),
    (("create", "a.img"), "give a size"),
    (("convert", "a.img", "b.img", "--threads", "0"), "1 to 16"),
    (("snapshot", "take", "a.img", "x"), "snapshot list PATH"),
    (("rebase", "a.img"), "--backing PATH or --none"),
])
def test_bad_words(words, part):
    refused(disk(*words), 2, part)


@pytest.mark.parametrize("command", ["create", "info", "resize", "convert",
                                     "check", "snapshot", "commit", "rebase",
                                     "map", "compare", "export", "encrypt",
                                     "key", "bitmap"])
def test_every_command_has_help(command):
    text = good(command, "--help")
    assert text.startswith(f"usage: lodge disk {command} ")
    assert "\n  --json  " in text
    assert max(map(len, text.splitlines())) <= 80
    assert f"  {command} " in run("help", "disk").stdout


@pytest.mark.parametrize("command,option", [
    (["info", "d.img"], "--format"), (["convert", "d.img", "x.vdi"], "--from"),
    (["compare", "d.img", "d.img"], "--format"),
    (["compare", "d.qcow2", "d.img"], "--other-format"),
    (["create", "x.qcow2", "--backing", "d.img"], "--backing-format")])
def test_the_option_that_says_the_format(tmp_path, command, option):
    good("create", tmp_path / "d.qcow2", "1M")
    shutil.copy(tmp_path / "d.qcow2", tmp_path / "d.img")
    refused(disk(command[0], *(word if word.startswith("--") else
                               tmp_path / word for word in command[1:])),
            2 if command[0] == "compare" else 1,
            f"say {option} qcow2, or {option} raw to take it")


@pytest.mark.parametrize("command", [
    ["info"], ["map"], ["check"], ["resize", "+1M"], ["convert", "to.img"],
    ["compare", "to.img"], ["commit"]])
def test_missing_image(tmp_path, command):
    path = tmp_path / "none.img"
    words = [command[0], path, *command[1:]]
    result = disk(*words, cwd=tmp_path)
    refused(result, 2 if command[0] == "compare" else 1, str(path),
            "no such file")
    assert os.listdir(tmp_path) == []


def test_look_alike_is_not_taken_for_raw(tmp_path):
    path = tmp_path / "a.img"
    path.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(1016))
    refused(disk("info", path), 1, "looks like a qcow2", "--format raw")
    assert facts(path, "--format", "raw")["size"] == 1024


# --- sizes -------------------------------------------------------------------

def test_resize(tmp_path):
    path = fill(tmp_path / "a.img", 8 * MIB, 5)
    head = digest(path)
    good("resize", path, "+8M")
    assert path.stat().st_size == 16 * MIB
    refused(disk("resize", path, "-8M"), 1, "--shrink")
    good("resize", path, "-8M", "--shrink")
    assert digest(path) == head
    good("resize", path, "12M")
    assert facts(path)["size"] == 12 * MIB


def mbr(end_sector):
    """A partition table with one partition that ends there."""
    entry = struct.pack("<B3sB3sII", 0, b"", 0x83, b"", 2048,
                        end_sector - 2048)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def gpt(last_sector):
    protective = struct.pack("<B3sB3sII", 0, b"", 0xee, b"", 1, 0xffffffff)
    header = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0,
                         1, 0, 34, 0, b"g" * 16, 2, 128, 128, 0)
    entry = struct.pack("<16s16sQQQ72s", b"t" * 16, b"u" * 16, 2048,
                        last_sector, 0, b"")
    return (bytes(446) + protective + bytes(48) + b"\x55\xaa" +
            header.ljust(512, b"\0") + entry)


@pytest.mark.parametrize("table", [mbr(10 * 2048), gpt(10 * 2048 - 1)],
                         ids=["mbr", "gpt"])
def test_partitions_are_not_cut(tmp_path, table):
    path = tmp_path / "a.img"
    with open(path, "wb") as image:
        image.truncate(16 * MIB)
        image.write(table)
    refused(disk("resize", path, "9M", "--shrink"), 1, "partitions need")
    good("resize", path, "11M", "--shrink")
    assert path.stat().st_size == 11 * MIB


def test_a_cut_disk_is_told(tmp_path, make_kernel):
    path = tmp_path / "a.img"
    with open(path, "wb") as image:
        image.truncate(9 * MIB)
        image.write(mbr(11 * 2048))
    words = [*make_kernel(tiny.power_off())[1:], "--serial", "none"]
    result = run("run", *words, "--disk", path)
    assert result.returncode == 0
    assert result.stderr == f"lodge: disk {path}: has 9 MiB and partitions " \
        "up to 11 MiB, as a copy that was cut; copy it again, or give it " \
        "that size: lodge disk resize\n"
    good("resize", path, "11M")
    assert run("run", *words, "--disk", path).stderr == ""


# --- copy and compare --------------------------------------------------------

def test_convert_keeps_content_and_holes(tmp_path):
    source = fill(tmp_path / "a.img", 64 * MIB, 20)
    target = tmp_path / "b.raw"
    assert good("convert", source, target) == ""
    assert digest(source) == digest(target)
    assert target.stat().st_blocks <= source.stat().st_blocks + 8
    assert sorted(os.listdir(tmp_path)) == ["a.img", "b.raw"]
    assert "same content" in good("compare", source, target)


def test_convert_finds_zeros_in_data(tmp_path):
    source, target = tmp_path / "a.img", tmp_path / "b.img"
    source.write_bytes(bytes(8 * MIB) + b"x" * MIB + bytes(MIB))
    good("convert", source, target)
    assert target.stat().st_blocks * 512 <= MIB + 65536
    assert digest(source) == digest(target)


def test_convert_does_not_overwrite(tmp_path):
    source = fill(tmp_path / "a.img", MIB, 1)
    target = tmp_path / "b.img"
    target.write_text("mine")
    refused(disk("convert", source, target), 1, str(target), "there already")
    assert target.read_text() == "mine"


def test_convert_without_room_leaves_nothing(tmp_path):
    source = fill(tmp_path / "a.img", 64 * MIB, 200)
    target = tmp_path / "b.img"
    script = 'ulimit -f 8192; trap "" XFSZ; exec "$0" disk convert "$1" "$2"'
    result = subprocess.run(["bash", "-c", script, LODGE, source, target],
                            capture_output=True, text=True, check=False)
    refused(result, 1, str(target))
    assert os.listdir(tmp_path) == ["a.img"]


def interrupted(source, target, how):
    """A conversion that was ended on its way; its exit status."""
    child = subprocess.Popen([LODGE, "disk", "convert", "--threads", "1",
                              source, target], stderr=subprocess.PIPE,
                             text=True)
    part = pathlib.Path(f"{target}.part")
    while child.poll() is None and (not part.exists() or
                                    part.stat().st_blocks < 8192):
        time.sleep(0.001)
    child.send_signal(how)
    return child.wait(), child.communicate()[1]


def test_interrupted_conversion_goes_on(tmp_path):
    source = tmp_path / "a.img"
    source.write_bytes(random.Random(3).randbytes(MIB) * 400)
    target = tmp_path / "b.img"
    status, said = interrupted(source, target, signal.SIGINT)
    if status == 0:
        pytest.skip("it was too quick")
    assert status == 1 and "goes on" in said
    record = json.loads((tmp_path / "b.img.part.json").read_text())
    settled = record["settled"]
    assert 0 < settled < 400 * MIB
    # What was settled is not copied once more: a mark in it stays.
    with open(tmp_path / "b.img.part", "r+b") as part:
        part.seek(1000)
        part.write(b"a mark of the test")
    good("convert", source, target)
    result = disk("compare", source, target)
    assert result.returncode == 1 and "at byte 1000\n" in result.stdout
    assert sorted(os.listdir(tmp_path)) == ["a.img", "b.img"]


def test_changed_source_begins_anew(tmp_path):
    source = tmp_path / "a.img"
    source.write_bytes(random.Random(3).randbytes(MIB) * 400)
    target = tmp_path / "b.img"
    if interrupted(source, target, signal.SIGINT)[0] == 0:
        pytest.skip("it was too quick")
    source.write_bytes(random.Random(4).randbytes(8 * MIB))
    good("convert", source, target)
    assert digest(source) == digest(target)


def test_killed_conversion_leaves_no_target(tmp_path):
    source = tmp_path / "a.img"
    source.write_bytes(random.Random(3).randbytes(MIB) * 400)
    target = tmp_path / "b.img"
    if interrupted(source, target, signal.SIGKILL)[0] == 0:
        pytest.skip("it was too quick")
    assert not target.exists()
    good("convert", source, target)
    assert digest(source) == digest(target)
    assert sorted(os.listdir(tmp_path)) == ["a.img", "b.img"]


def test_progress_is_shown_on_a_terminal(tmp_path):
    source = tmp_path / "a.img"
    source.write_bytes(random.Random(3).randbytes(MIB) * 800)
    child = spawn("disk", "convert", source, tmp_path / "b.img")
    child.expect(r"converting \[#* *\] +\d+%.*MiB/s")
    child.expect_exact("\033[K")
    child.wait()
    assert child.exitstatus == 0


def test_compare_names_the_first_difference(tmp_path):
    one = fill(tmp_path / "a.img", 4 * MIB, 4)
    other = tmp_path / "b.img"
    shutil.copy(one, other)
    with open(other, "r+b") as image:
        image.seek(3 * MIB + 17)
        byte = image.read(1)[0]
        image.seek(3 * MIB + 17)
        image.write(bytes([byte ^ 1]))
    result = disk("compare", "--json", one, other)
    assert result.returncode == 1
    assert json.loads(result.stdout) == {"same": False,
                                         "differs_at": 3 * MIB + 17}


def test_longer_by_zeros_is_alike(tmp_path):
    one = fill(tmp_path / "a.img", 4 * MIB, 4)
    other = tmp_path / "b.img"
    shutil.copy(one, other)
    with open(other, "r+b") as image:
        image.truncate(6 * MIB)
    assert json.loads(good("compare", "--json", one, other)) == {"same": True}
    with open(other, "r+b") as image:
        image.seek(5 * MIB)
        image.write(b"x")
    assert disk("compare", other, one).returncode == 1


def test_map_tells_data_and_zeros(tmp_path):
    path = tmp_path / "a.img"
    with open(path, "wb") as image:
        image.truncate(4 * MIB)
        image.seek(MIB)
        image.write(b"d" * MIB)
    rows = json.loads(good("map", "--json", path))
    assert [(r["offset"], r["length"], r["kind"]) for r in rows] == [
        (0, MIB, "zero"), (MIB, MIB, "data"), (2 * MIB, 2 * MIB, "zero")]
    assert rows[1]["at"] == MIB and rows[1]["path"] == str(path)
    assert len(good("map", path).splitlines()) == 4


# --- formats without what is asked for ---------------------------------------

@pytest.mark.parametrize("words, part", [
    (["check"], "no tables to check"),
    (["commit"], "stands on no other image"),
    (["rebase", "--none"], "no backing files"),
])
def test_raw_has_none(tmp_path, words, part):
    path = fill(tmp_path / "a.img", MIB, 1)
    refused(disk(words[0], path, *words[1:]), 1, part)


@pytest.mark.parametrize("words", [["list"], ["create", "s"], ["apply", "s"]])
def test_raw_has_no_snapshots(tmp_path, words):
    path = fill(tmp_path / "a.img", MIB, 1)
    refused(disk("snapshot", words[0], path, *words[1:]), 1,
            "no internal snapshots")


def test_image_in_use_is_refused(tmp_path):
    path = fill(tmp_path / "a.img", MIB, 1)
    with open(path, "r+b") as image:
        lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(image, 37, lock)  # F_OFD_SETLK
        refused(disk("resize", path, "2M"), 1, "in use")
        assert facts(path)["size"] == MIB
