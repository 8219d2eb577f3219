# SPDX-License-Identifier: Apache-2.0
"""lodge disk, killed: its work is undone, done, or can be done again.

Each command is killed ahead of its calls that change a file, of which there
are as many each time; see kills.py.
"""
import json
import random
import shutil
import subprocess

import pytest

from conftest import LODGE, run
from kills import KILL_AT, KILLED, UNTRACED, spread

MIB = 1 << 20
TARGETS = [("raw", ()), ("qcow2", ()), ("qcow2", ("--compress",)),
           ("vdi", ()), ("vhd", ()), ("vhdx", ()), ("vmdk", ()),
           ("vmdk", ("--option", "subformat=twoGbMaxExtentSparse")),
           ("vmdk", ("--option", "subformat=monolithicFlat")),
           ("vmdk", ("--option", "subformat=streamOptimized"))]
QUICK = ("--option", "version=1", "--option", "iterations=1000")


def good(*words):
    result = run("disk", *words)
    assert result.returncode == 0, (words, result.stderr)
    return result.stdout


def bytes_of(seed, size=MIB):
    """Content with holes."""
    chance = random.Random(seed)
    return b"".join(chance.randbytes(65536) if chance.random() < .6
                    else bytes(65536) for _ in range(size // 65536))


def read(path, folder, *words):
    """An image's content, and that it is sound."""
    if str(path).endswith(".vhdx"):  # may have its log still
        run("disk", "check", "--repair", path)
    result = run("disk", "check", path, *words)
    assert result.returncode == 0 or "leaked" in result.stdout or \
        "nothing to check" in result.stderr or "have no" in result.stderr, \
        (path, result.stdout, result.stderr)
    raw = folder / "content.raw"
    raw.unlink(missing_ok=True)
    good("convert", *words, path, raw)
    return raw.read_bytes()


def kill(number, *words):
    """Runs it until its call of that number. True: it was killed."""
    done = subprocess.run([KILL_AT, str(number), LODGE, "disk",
                           *map(str, words)], capture_output=True, text=True,
                          timeout=60, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == UNTRACED:
        pytest.skip("processes may not be traced here")
    assert done.returncode in (0, KILLED), (number, words, done.stderr)
    return done.returncode == KILLED


def each_kill(tmp_path, prepare, *words):
    """For each kill: a new folder by prepare(folder), the command killed there;
    yields the folder. `words` have {} for it."""
    def attempt(number):
        folder = tmp_path / f"kill{number}"
        folder.mkdir()
        prepare(folder)
        here = [str(w).replace("{}", str(folder)) for w in words]
        return folder, kill(number, *here)

    folder, killed = attempt(10 ** 6)
    assert not killed
    shutil.rmtree(folder)
    low, high = 1, 2
    while attempt(high)[1]:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        shutil.rmtree(tmp_path / f"kill{middle}", ignore_errors=True)
        low, high = (middle, high) if attempt(middle)[1] else (low, middle)
    for number in spread(low, 5):
        shutil.rmtree(tmp_path / f"kill{number}", ignore_errors=True)
        folder, killed = attempt(number)
        yield folder
        shutil.rmtree(folder)


@pytest.mark.parametrize("form,words", TARGETS)
def test_convert(tmp_path, form, words):
    """The target is whole or not there, and the same command makes it."""
    wanted = bytes_of(1)
    source = tmp_path / "source.raw"
    source.write_bytes(wanted)
    command = ("convert", *words, source, f"{{}}/disk.{form}")
    for folder in each_kill(tmp_path, lambda folder: None, *command):
        target = folder / f"disk.{form}"
        if target.exists():
            assert read(target, folder) == wanted
            again = run("disk", *[str(w).replace("{}", str(folder))
                                  for w in command])
            assert "is there already" in again.stderr
            assert read(target, folder) == wanted
        else:
            good(*[str(w).replace("{}", str(folder)) for w in command])
            assert read(target, folder) == wanted
        left = {path.name for path in folder.iterdir()} - {"content.raw"}
        assert not [name for name in left if "part" in name], left


def test_encrypt(tmp_path):
    wanted, secret = bytes_of(2), tmp_path / "secret"
    source = tmp_path / "source.raw"
    source.write_bytes(wanted)
    secret.write_text("swordfish")
    command = ("encrypt", *QUICK, "--secret", secret, source, "{}/disk.luks")
    for folder in each_kill(tmp_path, lambda folder: None, *command):
        target = folder / "disk.luks"
        if not target.exists():
            good(*[str(w).replace("{}", str(folder)) for w in command])
        assert read(target, folder, "--secret", secret) == wanted


@pytest.mark.parametrize("word", ["add", "remove"])
def test_key(tmp_path, word):
    """At least one passphrase opens it at any time."""
    wanted = bytes_of(3)
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("swordfish")
    second.write_text("marlin")
    master = tmp_path / "master.luks"
    (tmp_path / "source.raw").write_bytes(wanted)
    good("encrypt", *QUICK, "--secret", first, tmp_path / "source.raw", master)
    if word == "remove":
        good("key", "add", "--secret", first, master, second)

    def prepare(folder):
        shutil.copy(master, folder / "disk.luks")
    for folder in each_kill(tmp_path, prepare, "key", word, "--secret", first,
                            "{}/disk.luks", second):
        assert read(folder / "disk.luks", folder, "--secret", first) == wanted


def overlay(folder):
    """base.raw, top.qcow2 on it; the content of both together."""
    base, top = folder / "base.raw", folder / "top.qcow2"
    base.write_bytes(bytes_of(4))
    good("create", "--backing", base.name, "--backing-format", "raw", top)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 100k 300k",
                    "-c", "write -z 600k 64k", "-c", "write -P 9 900k 10k",
                    top], check=True, capture_output=True)
    content = bytearray(base.read_bytes())
    content[100 << 10:400 << 10] = b"\x07" * (300 << 10)
    content[600 << 10:664 << 10] = bytes(64 << 10)
    content[900 << 10:910 << 10] = b"\x09" * (10 << 10)
    return bytes(content)


needs_qemu = pytest.mark.skipif(not shutil.which("qemu-io"),
                                reason="qemu-io is missing")


@needs_qemu
def test_commit(tmp_path):
    """The overlay reads the same; once more, and the base has it all."""
    (tmp_path / "model").mkdir()
    wanted = overlay(tmp_path / "model")
    for folder in each_kill(tmp_path, overlay, "commit", "{}/top.qcow2"):
        assert read(folder / "top.qcow2", folder) == wanted
        good("commit", folder / "top.qcow2")
        assert (folder / "base.raw").read_bytes() == wanted


@needs_qemu
@pytest.mark.parametrize("words", [["--none"], ["--backing", "other.raw"]])
def test_rebase(tmp_path, words):
    (tmp_path / "model").mkdir()
    wanted = overlay(tmp_path / "model")

    def prepare(folder):
        overlay(folder)
        (folder / "other.raw").write_bytes(bytes_of(5))
    for folder in each_kill(tmp_path, prepare, "rebase", *words,
                            "{}/top.qcow2"):
        assert read(folder / "top.qcow2", folder) == wanted
        good("rebase", *words, folder / "top.qcow2")
        (folder / "base.raw").unlink()
        assert read(folder / "top.qcow2", folder) == wanted


def filled(form, *words):
    def prepare(folder):
        source = folder / "source.raw"
        source.write_bytes(bytes_of(6))
        good("convert", *words, source, folder / f"disk.{form}")
        source.unlink()
    return prepare



SPLIT = ("--option", "subformat=twoGbMaxExtentSparse",
         "--option", "extent_size=640K")
SIZES = [("raw", ()), ("qcow2", ()), ("vdi", ()),
         ("vdi", ("--option", "block_size=4K")), ("vhd", ()), ("vhdx", ()),
         ("vmdk", ()), ("vmdk", SPLIT),
         ("vmdk", ("--option", "subformat=twoGbMaxExtentFlat",
                   "--option", "extent_size=640K"))]


@pytest.mark.parametrize("form,options", SIZES)
@pytest.mark.parametrize("word,size", [("512K", 512 << 10), ("5M", 5 * MIB)])
def test_resize(tmp_path, form, options, word, size):
    words = ["resize", *(["--shrink"] if size < MIB else []),
             f"{{}}/disk.{form}", word]
    content = bytes_of(6)
    least = min(MIB, size)
    for folder in each_kill(tmp_path, filled(form, *options), *words):
        data = read(folder / f"disk.{form}", folder)
        assert len(data) in (MIB, size)
        assert data[:least] == content[:least]
        if size > MIB:
            assert not any(data[MIB:])


@needs_qemu
@pytest.mark.parametrize("word", ["create", "apply", "delete"])
def test_snapshot(tmp_path, word):
    before, after = bytes_of(6), bytearray(bytes_of(6))
    after[200 << 10:500 << 10] = b"\x05" * (300 << 10)

    def prepare(folder):
        filled("qcow2")(folder)
        image = folder / "disk.qcow2"
        good("snapshot", "create", image, "one")
        subprocess.run(["qemu-io", "-f", "qcow2", "-c",
                        "write -P 5 200k 300k", image], check=True,
                       capture_output=True)
    name = "two" if word == "create" else "one"
    for folder in each_kill(tmp_path, prepare, "snapshot", word,
                            "{}/disk.qcow2", name):
        image = folder / "disk.qcow2"
        data = read(image, folder)
        assert data == after or (word == "apply" and data == before)
        names = [s["name"] for s in json.loads(
            good("snapshot", "list", "--json", image))]
        if word != "delete":
            assert "one" in names
        if "one" in names:
            good("snapshot", "apply", image, "one")
            assert read(image, folder) == before


@pytest.mark.parametrize("form", ["raw", "qcow2", "vdi", "vhd", "vhdx",
                                  "vmdk"])
def test_create(tmp_path, form):
    for folder in each_kill(tmp_path, lambda folder: None, "create",
                            f"{{}}/disk.{form}", "1M"):
        image = folder / f"disk.{form}"
        if not image.exists():
            assert not [p for p in folder.iterdir()
                        if form != "vmdk"]
            good("create", image, "1M")
        assert not any(read(image, folder))
