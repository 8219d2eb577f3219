# SPDX-License-Identifier: Apache-2.0
"""LUKS inside of qcow2 images, beside qemu-img and qemu-io."""
import hashlib
import json
import os
import random
import re
import shutil
import struct
import subprocess

import pytest

from conftest import run
from test_disk import copy_random
from test_disk_tool import MIB, digest, disk, facts, fill, good
from test_linux import boot
from test_luks import fixture_word  # pylint: disable=unused-import
from test_nbd import exported, raw_client
from test_usage import refused

QUICK = ["--option", "iterations=1000"]
SIZE = 8 * MIB
pytestmark = pytest.mark.skipif(
    not (shutil.which("qemu-img") and shutil.which("qemu-io")),
    reason="needs qemu-img and qemu-io")


def qemu(program, *words, secrets=(), status=0):
    """A program of QEMU's that knows the secrets s0, s1, ..."""
    known = [w for i, s in enumerate(secrets)
             for w in ("--object", f"secret,id=s{i},file={s}")]
    result = subprocess.run([program, words[0], *known,
                             *[str(w) for w in words[1:]]]
                            if program == "qemu-img" else
                            [program, *known, *[str(w) for w in words]],
                            capture_output=True, text=True, check=False)
    assert result.returncode == status, (words, result.stdout, result.stderr)
    return result.stdout


def opened(path, number=0):
    return f"driver=qcow2,encrypt.key-secret=s{number},file.filename={path}"


def qemu_create(path, secret, *options, size="8M"):
    """QEMU gives up when its own measurement of the hash comes to 0 ms."""
    words = ["qemu-img", "create", "-q", "--object",
             f"secret,id=s0,file={secret}", "-f", "qcow2", "-o",
             ",".join(["encrypt.format=luks", "encrypt.key-secret=s0",
                       "encrypt.iter-time=10", *options]), path, size]
    for _ in range(20):
        made = subprocess.run(words, capture_output=True, text=True,
                              check=False)
        if "accurate CPU usage" not in made.stderr:
            break
    assert made.returncode == 0, made.stderr


def qemu_write(path, secret, seed):
    source = random.Random(seed)
    words = []
    for _ in range(12):
        at = source.randrange(SIZE - 700_000)
        words += ["-c", f"write -P {source.randrange(1, 255)} {at} "
                        f"{source.choice([1, 511, 4096, 70_000, 600_000])}"]
    words += ["-c", "write -z 1M 300k", "-c", "discard 2M 1M"]
    qemu("qemu-io", *words, "--image-opts", opened(path), secrets=[secret])


def write(path, model, seed, *words, count=60):
    """Odd pieces by lodge, and the same in a raw model."""
    source = random.Random(seed)
    content = bytearray(model.read_bytes())
    with exported(path, *words) as address, raw_client(address) as client:
        client.take()
        for _ in range(count):
            at = source.randrange(len(content) - 90_000)
            data = source.randbytes(source.choice([1, 511, 512, 700, 4096,
                                                   8999, 90_000]))
            assert client.request(1, at, len(data), data) == 0
            content[at:at + len(data)] = data
    model.write_bytes(content)


def same(path, model, secret):
    qemu("qemu-img", "compare", "--image-opts",
         f"driver=raw,file.filename={model}", opened(path), secrets=[secret])
    qemu("qemu-img", "check", "--image-opts", opened(path), secrets=[secret])
    good("check", path)
    assert json.loads(good("compare", "--json", "--secret", secret, path,
                           model))["same"]


SHAPES = [
    [], ["cluster_size=512"], ["cluster_size=2M"], ["extended_l2=on"],
    ["key_bits=256", "refcount_bits=1"], ["compat=v2"],
    ["preallocation=metadata"], ["preallocation=full"],
    ["preallocation=falloc", "extended_l2=on"],
    ["compat=v2", "preallocation=metadata"], ["data_file={}/disk.data"],
]


@pytest.mark.parametrize("shape", SHAPES, ids=",".join)
def test_ours_in_turns(tmp_path, word, shape):
    path, model, secret = tmp_path / "a.qcow2", tmp_path / "m", word("right")
    good("create", "--secret", secret, *QUICK,
         *[w for s in shape for w in ("--option", s.format(tmp_path))],
         path, "8M")
    model.write_bytes(bytes(SIZE))
    info = facts(path)["details"]
    assert info["encryption"] == "LUKS1" and info["key_slots"] == [0]
    same(path, model, secret)
    write(path, model, 1, "--secret", secret)
    same(path, model, secret)
    qemu_write(path, secret, 2)
    model.unlink()
    good("convert", "--secret", secret, path, model)
    write(path, model, 3, "--secret", secret, count=10)
    same(path, model, secret)


@pytest.mark.parametrize("options", [
    [], ["cluster_size=4k", "encrypt.cipher-alg=aes-128"]], ids=",".join)
def test_theirs_in_turns(tmp_path, word, options):
    path, model, secret = tmp_path / "q.qcow2", tmp_path / "m", word("right")
    qemu_create(path, secret, *options)
    qemu_write(path, secret, 3)
    good("convert", "--secret", secret, path, model)
    same(path, model, secret)
    write(path, model, 4, "--secret", secret)
    same(path, model, secret)


def test_nothing_is_plain(tmp_path, word):
    source = tmp_path / "a.img"
    source.write_bytes(b"plain text here." * (MIB // 16))
    secret, target = word("right"), tmp_path / "b.qcow2"
    good("encrypt", *QUICK, "--secret", secret, source, target)
    assert b"plain text here." not in target.read_bytes()
    assert "packed" in good("map", "--secret", secret, target)
    good("convert", "--secret", secret, target, tmp_path / "c.img")
    assert digest(tmp_path / "c.img") == digest(source)
    refused(disk("convert", "--compress", "--to-secret", secret, *QUICK,
                 source, tmp_path / "d.qcow2"), 1, "compressed")
    assert not (tmp_path / "d.qcow2").exists()


def test_formats_of_encrypt(tmp_path, word):
    source, secret = fill(tmp_path / "a.img", MIB, 3), word("right")
    good("encrypt", *QUICK, "--to", "qcow2", "--secret", secret, source,
         tmp_path / "b.image")
    good("map", "--format", "qcow2", "--secret", secret, tmp_path / "b.image")
    refused(disk("create", "--secret", secret, tmp_path / "c.img", "8M"), 1,
            "cannot be encrypted")
    assert not (tmp_path / "c.img").exists()
    refused(disk("create", "--option", "iterations=1000",
                 tmp_path / "d.qcow2", "8M"), 1, "--secret")


# --- what else images do -----------------------------------------------------

@pytest.fixture(name="image")
def fixture_image(tmp_path, word):
    """An encrypted image with content, its raw model, its secret."""
    model, path = fill(tmp_path / "m", SIZE, 30), tmp_path / "a.qcow2"
    good("encrypt", *QUICK, "--secret", word("right"), model, path)
    return path, model, word("right")


def test_snapshots(tmp_path, image):
    path, model, secret = image
    before = tmp_path / "before"
    shutil.copy(model, before)
    good("snapshot", "create", path, "one")
    write(path, model, 1, "--secret", secret)
    same(path, model, secret)
    good("snapshot", "apply", path, "one")
    same(path, before, secret)
    qemu("qemu-img", "snapshot", "-c", "two", "--image-opts", opened(path),
         secrets=[secret])
    write(path, before, 2, "--secret", secret)
    assert [s["name"] for s in json.loads(good("snapshot", "list", "--json",
                                               path))] == ["one", "two"]
    good("snapshot", "delete", path, "one")
    good("snapshot", "delete", path, "two")
    same(path, before, secret)


@pytest.mark.parametrize("size", [SIZE + 5 * MIB, SIZE + 512, 3 * MIB + 1536])
def test_another_size(image, size):
    path, model, secret = image
    good("resize", "--secret", secret, "--shrink", path, f"{size}B")
    os.truncate(model, size)
    same(path, model, secret)
    good("resize", "--secret", secret, path, f"{SIZE * 2}B")
    os.truncate(model, SIZE * 2)
    same(path, model, secret)


def test_chains_with_a_secret_each(tmp_path, image, word):
    base, model, _ = image
    over, top = tmp_path / "over.qcow2", tmp_path / "top.qcow2"
    mine, below = word("mine"), word("right")
    keys = ["--secret", mine, "--secret", below]
    good("create", "--secret", mine, *QUICK, "--backing", "a.qcow2", over)
    write(over, model, 1, *keys)
    chain = (opened(over, 0) + ",backing.driver=qcow2,backing.file.filename="
             f"{base},backing.encrypt.key-secret=s1")
    qemu("qemu-img", "compare", "--image-opts",
         f"driver=raw,file.filename={model}", chain, secrets=[mine, below])
    good("create", "--backing", "over.qcow2", top)
    write(top, model, 2, *keys)
    good("compare", *keys, top, model)
    refused(disk("map", "--secret", below, "--secret", mine, top), 1,
            "over.qcow2", "none of its passphrases")
    refused(disk("map", "--secret", mine, top), 1, "a.qcow2",
            "none of its passphrases")
    good("commit", *keys, top)
    assert "has what" in good("commit", *keys, over)
    same(base, model, below)
    good("rebase", *keys, "--none", over)
    same(over, model, mine)


def test_keys_come_and_go(image, word):
    path, model, right = image
    other = word("other")
    good("key", "add", path, other, "--secret", right)
    same(path, model, other)
    good("key", "remove", path, right, "--secret", other)
    assert facts(path)["details"]["key_slots"] == [1]
    same(path, model, other)
    refused(disk("map", path, "--secret", right), 1, "none of its pass")
    refused(disk("key", "remove", path, other, "--secret", other), 1,
            "last passphrase")
    good("create", f"{path}.plain.qcow2", "1M")
    refused(disk("key", "add", f"{path}.plain.qcow2", other), 1,
            "not encrypted")


def test_without_a_secret(image):
    path, _, _ = image
    refused(disk("convert", path, f"{path}.img"), 1, "is encrypted",
            "--secret")
    refused(run("run", "--disk", path), 1, "is encrypted")
    good("check", path)
    assert good("snapshot", "list", path) == ""
    assert "LUKS1" in good("info", path)


# --- what is refused ---------------------------------------------------------

def patched(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def test_the_old_encryption(image):
    path, _, secret = image
    patched(path, 32, struct.pack(">I", 1))
    refused(disk("map", "--secret", secret, path), 1, "AES",
            "qemu-img convert")


def pointer(path):
    """Where the extension's content lies, which says where the header is."""
    return re.search(b"\x05\x37\xbe\x77\0\0\0\x10",
                     path.read_bytes()[:65536]).end()


@pytest.mark.parametrize("offset, length", [
    (0, MIB), (65537, MIB), (1 << 50, MIB), (1 << 60, MIB), (65536, 0),
    (65536, 1 << 40), (65536, MIB)])
def test_bad_places_of_the_header(image, offset, length):
    path, _, secret = image
    patched(path, pointer(path), struct.pack(">QQ", offset, length))
    refused(disk("map", "--secret", secret, path), 1, str(path))
    if offset == 65536 and 0 < length < SIZE:
        result = disk("check", path)
        assert result.returncode in (1, 4)


def test_damaged_headers(image):
    path, _, secret = image
    whole, source = path.read_bytes(), random.Random(9)
    luks = struct.unpack_from(">Q", whole, pointer(path))[0]
    for turn in range(40):
        bad = bytearray(whole)
        for _ in range(source.randrange(1, 20)):
            at = source.randrange(4, 600)
            bad[at + (luks if turn % 2 else 0)] = source.randrange(256)
        path.write_bytes(bad)
        result = disk("map", path, "--secret", secret)
        assert result.returncode in (0, 1)
        assert len(result.stderr.splitlines()) == result.returncode


# --- a guest's disk ----------------------------------------------------------

def test_a_guest_uses_it(tmp_path, image, word, linux):
    base, model, secret = image
    over, mine = tmp_path / "over.qcow2", word("mine")
    good("create", "--secret", mine, *QUICK, "--backing", "a.qcow2", over)
    shell = boot(linux, "--disk", f"{over},secret={mine},secret={secret}")
    text = shell.run("cat /dev/vda | md5sum")
    assert text.split()[0] == hashlib.md5(model.read_bytes()).hexdigest()
    wrote = copy_random(shell, "/dev/vda", seek=0)
    assert shell.power_off() == 0
    good("convert", "--secret", mine, "--secret", secret, over,
         tmp_path / "c.img")
    data = (tmp_path / "c.img").read_bytes()
    assert hashlib.md5(data).hexdigest() == wrote
    assert base.exists()
