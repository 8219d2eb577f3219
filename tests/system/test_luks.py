# SPDX-License-Identifier: Apache-2.0
"""Encrypted images, beside cryptsetup and QEMU."""
import ctypes
import hashlib
import json
import mmap
import os
import random
import shutil
import subprocess

import pytest

from conftest import LODGE, run
from test_disk import copy_random
from test_disk_tool import MIB, digest, disk, facts, fill, good
from test_linux import boot
from test_usage import refused

QUICK = {1: ["--option", "version=1", "--option", "iterations=1000"],
         2: ["--option", "iterations=4", "--option", "memory_kib=64"]}


@pytest.fixture(name="word")
def fixture_word(tmp_path):
    """Makes files with passphrases, without a newline."""
    def make(text, name=None):
        path = tmp_path / (name or f"{text}.word")
        path.write_text(text)
        return path
    return make


def encrypted(tmp_path, word, version=2, *options):
    source = fill(tmp_path / "a.img", 8 * MIB, 30)
    target = tmp_path / "b.luks"
    good("encrypt", "--secret", word("right"), *QUICK[version], *options,
         source, target)
    return source, target


@pytest.mark.parametrize("version, options", [
    (1, []), (1, ["--option", "key_bits=256"]), (2, []),
    (2, ["--option", "sector=512", "--option", "pbkdf=argon2i"])])
def test_content_comes_back(tmp_path, word, version, options):
    source, target = encrypted(tmp_path, word, version, *options)
    secret = word("right")
    info = facts(target)["details"]
    assert info["encryption"] == f"LUKS{version}"
    assert info["cipher"] == "aes-xts-plain64" and info["key_slots"] == [0]
    back = tmp_path / "c.img"
    good("convert", "--secret", secret, target, back)
    assert digest(back) == digest(source)
    assert b"\0" * 4096 not in target.read_bytes()[-8 * MIB:]


@pytest.mark.parametrize("kind,qemu", [("vdi", "vdi"), ("vhd", "vpc"),
                                       ("vhdx", "vhdx"), ("vmdk", "vmdk")])
def test_under_other_formats(tmp_path, word, kind, qemu):
    """The image's file is a volume: QEMU reads it, too."""
    model, path = fill(tmp_path / "a.img", 8 * MIB, 30), tmp_path / f"b.{kind}"
    exact = ["--option", "force_size=on"] if kind == "vhd" else []
    good("encrypt", "--secret", word("right"), *QUICK[1], *exact, model, path)
    assert path.read_bytes()[:6] == b"LUKS\xba\xbe"
    secret = ["--secret", word("right")]
    good("compare", *secret, path, model)
    refused(disk("info", path), 1, "is encrypted")
    refused(disk("info", "--secret", word("wrong"), path), 1, "none of its",
            "give the file")
    facts = json.loads(good("info", "--json", *secret, path))
    assert (facts["format"], facts["size"]) == (kind, 8 * MIB)
    if shutil.which("qemu-io"):
        key = ["--object", f"secret,id=s,file={word('right')}",
               "--image-opts"]
        image = (f"driver={qemu},file.driver=luks,file.key-secret=s,"
                 f"file.file.driver=file,file.file.filename={path}")
        good("resize", *secret, path, "16M")
        os.truncate(model, 16 * MIB)
        write = ["-c", "write -q -P 9 1M 3M", "-c", "write -q -P 8 12345k 1k"]
        if kind == "vdi":  # in others QEMU leaves noise around what is new
            subprocess.run(["qemu-io", *key, *write, image], check=True)
            subprocess.run(["qemu-io", "-f", "raw", *write, model],
                           check=True)
        subprocess.run(["qemu-img", "compare", "-q", *key, image,
                        f"driver=raw,file.driver=file,file.filename={model}"],
                       check=True)
    good("check", *secret, path)
    good("compare", *secret, path, model)
    good("key", "add", path, word("other"), *secret)
    good("compare", "--secret", word("other"), path, model)
    top = tmp_path / "top.qcow2"
    good("create", top, "--backing", path.name, *QUICK[1][2:], *secret,
         *secret)
    good("compare", *secret, *secret, top, model)


@pytest.mark.parametrize("kind", ["vhd", "vhdx", "vmdk"])
def test_children_of_encrypted_images(tmp_path, word, kind):
    """Plain ones and encrypted ones, which ask the parent what it is."""
    model, base = fill(tmp_path / "a.img", 8 * MIB, 30), f"base.{kind}"
    exact = ["--option", "force_size=on"] if kind == "vhd" else []
    right, other = ["--secret", word("right")], ["--secret", word("other")]
    good("encrypt", *right, *QUICK[1], *exact, model, tmp_path / base)
    backing = ["--backing-secret", word("right")]
    for name, secrets, mine in (("plain", right, []),
                                ("mine", [*other, *right], other),
                                ("same", right, right)):
        top = tmp_path / f"{name}.{kind}"
        quick = QUICK[1] if mine else []
        create = ["create", "--backing", base, *mine, *quick, top]
        if name != "same":
            refused(disk(*create), 1, "--backing-secret")
            refused(disk(*create, "--backing-secret", word("wrong")), 1,
                    "none of its")
            assert not top.exists()
        good(*create, *backing)
        good("compare", *secrets, top, model)
        facts = json.loads(good("info", "--json", *secrets, top))
        assert facts["details"]["backing"].lstrip("./") == base
        good("check", *secrets, top)
    top = tmp_path / "top.qcow2"
    refused(disk("create", "--backing", base, top), 1, "--backing-secret")
    good("create", "--backing", base, *backing, top)
    good("compare", *right, top, model)


def test_files_beside_would_be_plain(tmp_path, word):
    refused(disk("create", "--secret", word("right"), *QUICK[1],
                 "--option", "subformat=monolithicFlat", tmp_path / "a.vmdk",
                 "8M"), 1, "would be plain")
    refused(disk("create", "--secret", word("right"), tmp_path / "a.img",
                 "8M"), 1, "raw images cannot be encrypted")
    assert os.listdir(tmp_path) == ["right.word"]


def test_the_key_is_random(tmp_path, word):
    _, one = encrypted(tmp_path, word, 1)
    other = tmp_path / "c.luks"
    good("encrypt", "--secret", word("right"), *QUICK[1], tmp_path / "a.img",
         other)
    assert one.read_bytes()[-MIB:] != other.read_bytes()[-MIB:]


@pytest.mark.parametrize("version", [1, 2])
def test_cryptsetup_unlocks(tmp_path, word, version):
    if not shutil.which("cryptsetup"):
        pytest.skip("needs cryptsetup")
    _, target = encrypted(tmp_path, word, version)

    def unlocks(text):
        return subprocess.run(["cryptsetup", "open", "--test-passphrase",
                               "--key-file", word(text), target],
                              capture_output=True, check=False).returncode

    assert unlocks("right") == 0
    assert unlocks("wrong") == 2


@pytest.fixture(name="qemu_reads")
def fixture_qemu_reads(word):
    """Whether QEMU sees the same content in a LUKS image."""
    if not shutil.which("qemu-img"):
        pytest.skip("needs qemu-img")

    def check(raw, luks, text="right"):
        return subprocess.run(
            ["qemu-img", "compare", "--object",
             f"secret,id=s,file={word(text)}", "--image-opts",
             f"driver=raw,file.filename={raw}",
             f"driver=luks,key-secret=s,file.filename={luks}"],
            capture_output=True, check=False).returncode == 0
    return check


def test_qemu_reads_ours(tmp_path, word, qemu_reads):
    source, target = encrypted(tmp_path, word, 1)
    assert qemu_reads(source, target)


def create_by_qemu(path, secret):
    """QEMU gives up when its own measurement of the hash comes to 0 ms."""
    words = ["qemu-img", "create", "-q", "--object",
             f"secret,id=s,file={secret}", "-f", "luks", "-o",
             "key-secret=s,iter-time=10", path, "8M"]
    for _ in range(20):
        made = subprocess.run(words, capture_output=True, text=True,
                              check=False)
        if "accurate CPU usage" not in made.stderr:
            break
    assert made.returncode == 0, made.stderr


def test_ours_reads_qemus(tmp_path, word, qemu_reads):
    path, raw = tmp_path / "q.luks", tmp_path / "q.img"
    secret = word("right")
    create_by_qemu(path, secret)
    subprocess.run(["qemu-io", "--object", f"secret,id=s,file={secret}",
                    "-c", "write -P 5 0 3M", "-c", "write -P 6 5000000 777",
                    "--image-opts",
                    f"driver=luks,key-secret=s,file.filename={path}"],
                   check=True, capture_output=True)
    good("convert", "--secret", secret, path, raw)
    data = raw.read_bytes()
    assert data[:3 * MIB] == b"\5" * 3 * MIB
    assert data[5000000:5000777] == b"\6" * 777
    assert qemu_reads(raw, path)


def test_odd_writes(tmp_path, word, qemu_reads):
    """Pieces of sectors, by NBD, which has no sectors."""
    from test_nbd import exported, raw_client
    _, target = encrypted(tmp_path, word, 1)
    secret, plain = word("right"), tmp_path / "plain.img"
    good("convert", "--secret", secret, target, plain)
    content = bytearray(plain.read_bytes())
    source = random.Random(5)
    with exported(target, "--secret", secret) as address:
        with raw_client(address) as client:
            client.take()
            for _ in range(200):
                at = source.randrange(8 * MIB - 9000)
                data = source.randbytes(source.choice([1, 511, 512, 513, 700,
                                                       4096, 8999]))
                assert client.request(1, at, len(data), data) == 0
                content[at:at + len(data)] = data
    plain.write_bytes(content)
    assert qemu_reads(plain, target)


# --- passphrases -------------------------------------------------------------

@pytest.mark.parametrize("version", [1, 2])
def test_keys_come_and_go(tmp_path, word, version):
    source, target = encrypted(tmp_path, word, version)
    right, other = word("right"), word("other")
    good("key", "add", target, other, "--secret", right)
    assert facts(target)["details"]["key_slots"] == [0, 1]
    told = good("key", "remove", "--json", target, right, "--secret", other)
    assert json.loads(told) == {"path": str(target), "key": "removed"}
    assert facts(target)["details"]["key_slots"] == [1]
    refused(disk("map", target, "--secret", right), 1, "none of its pass")
    good("convert", "--secret", other, target, tmp_path / "c.img")
    assert digest(tmp_path / "c.img") == digest(source)
    refused(disk("key", "remove", target, other, "--secret", other), 1,
            "last passphrase")
    refused(disk("key", "remove", target, right, "--secret", other), 1,
            "none of its pass")


def test_a_newline_does_not_count(tmp_path, word):
    _, target = encrypted(tmp_path, word)
    good("map", target, "--secret", word("right\n", "line"))
    refused(disk("map", target, "--secret", word("right\n\n", "lines")), 1,
            "none of its")


def test_a_descriptor(tmp_path, word):
    _, target = encrypted(tmp_path, word)
    reader, writer = os.pipe()
    os.write(writer, b"right\n")
    os.close(writer)
    result = subprocess.run([LODGE, "disk", "map", target, "--secret",
                             f"fd:{reader}"], pass_fds=[reader],
                            capture_output=True, check=False)
    os.close(reader)
    assert result.returncode == 0


@pytest.mark.parametrize("secret, part", [
    ("none.word", "No such file or directory; check the path"), ("fd:77", "Bad file"), ("fd:x", "fd:x"),
    ("empty.word", "is empty"), ("long.word", "too long")])
def test_bad_secrets(tmp_path, word, secret, part):
    _, target = encrypted(tmp_path, word)
    word("", "empty.word")
    word("x" * 70_000, "long.word")
    refused(disk("map", target, "--secret", secret, cwd=tmp_path), 1, secret,
            part)


def test_without_a_secret(tmp_path, word):
    _, target = encrypted(tmp_path, word)
    refused(disk("convert", target, tmp_path / "c.img"), 1, "is encrypted")
    refused(disk("create", tmp_path / "d.luks", "8M"), 1, "needs a passphrase")
    refused(disk("encrypt", target, tmp_path / "d.luks"), 2, "--secret")
    assert sorted(os.listdir(tmp_path)) == ["a.img", "b.luks", "right.word"]


@pytest.mark.parametrize("option", ["version=3", "key_bits=512k", "sector=100",
                                    "key_bits=128", "iterations=-1"])
def test_bad_options(tmp_path, word, option):
    result = disk("create", tmp_path / "a.luks", "8M", "--option", option,
                  "--secret", word("right"))
    refused(result, 1, option.partition("=")[0])
    assert not (tmp_path / "a.luks").exists()


# --- damage ------------------------------------------------------------------

@pytest.mark.parametrize("version", [1, 2])
def test_damaged_headers_are_refused(tmp_path, word, version):
    _, target = encrypted(tmp_path, word, version)
    whole = target.read_bytes()
    source = random.Random(version)
    for _ in range(40):
        bad = bytearray(whole)
        for _ in range(source.randrange(1, 40)):
            bad[source.randrange(8, 0x5000)] = source.randrange(256)
        target.write_bytes(bad)
        result = disk("map", target, "--secret", word("right"))
        assert result.returncode in (0, 1)
        assert len(result.stderr.splitlines()) == result.returncode


@pytest.mark.parametrize("at", [164, 208 + 4])
def test_work_for_hours_is_refused(tmp_path, word, at):
    """Of LUKS1 the header has no checksum: rounds of the digest, of a slot."""
    _, target = encrypted(tmp_path, word, 1)
    with open(target, "r+b") as image:
        image.seek(at)
        image.write(b"\xf0\0\0\0")
    refused(disk("map", target, "--secret", word("right")), 1, "minutes")


@pytest.mark.parametrize("size", [9, 512, 4096, 100_000, 2 * MIB - 1])
def test_cut_files_are_refused(tmp_path, word, size):
    _, target = encrypted(tmp_path, word, 1)
    os.truncate(target, size)
    refused(disk("map", target, "--secret", word("right")), 1, str(target))


# --- a guest's disk ----------------------------------------------------------

def test_a_guest_uses_it(tmp_path, word, linux):
    source, target = encrypted(tmp_path, word)
    secret = word("right")
    shell = boot(linux, "--disk", f"{target},secret={secret}")
    text = shell.run("cat /dev/vda | md5sum")
    assert text.split()[0] == hashlib.md5(source.read_bytes()).hexdigest()
    wrote = copy_random(shell, "/dev/vda", seek=0)
    assert shell.power_off() == 0
    good("convert", "--secret", secret, target, tmp_path / "c.img")
    data = (tmp_path / "c.img").read_bytes()
    assert hashlib.md5(data).hexdigest() == wrote


def pages_cached(path):
    """How many of a file's pages the host holds in memory."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        count = (len(view) + mmap.PAGESIZE - 1) // mmap.PAGESIZE
        held = ctypes.create_string_buffer(count)
        at = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(view)))
        libc = ctypes.CDLL(None, use_errno=True)
        result = libc.mincore(at, ctypes.c_size_t(len(view)), held)
    assert result == 0, os.strerror(ctypes.get_errno())
    return sum(byte & 1 for byte in held.raw)


def test_past_the_page_cache(tmp_path, word, linux):
    """With cache=none neither reads nor writes leave pages of it."""
    _, target = encrypted(tmp_path, word)
    try:
        os.close(os.open(target, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        pytest.skip(f"no O_DIRECT in {tmp_path}")
    secret = word("right")
    shell = boot(linux, "--disk", f"{target},secret={secret},cache=none")
    shell.run("dd if=/dev/urandom of=/tmp/r bs=1M count=2 2>/dev/null")
    # What there is from making and opening it.
    with open(target, "rb") as file:
        os.fsync(file)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    shell.run("dd if=/tmp/r of=/dev/vda bs=256k seek=8 conv=fsync "
              "2>/dev/null")
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    shell.run("cat /dev/vda > /dev/null")
    assert pages_cached(target) < MIB // mmap.PAGESIZE
    assert shell.power_off() == 0


def test_a_guest_without_its_secret(tmp_path, word):
    _, target = encrypted(tmp_path, word)
    refused(run("run", "--disk", target), 1, "is encrypted")
    refused(run("run", "--disk", f"{target},secret={tmp_path}/none"), 1,
            "No such file")
    refused(run("run", "--disk", f"{target},secret={word('wrong')}"), 1,
            "none of its passphrases")
