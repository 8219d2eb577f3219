# SPDX-License-Identifier: Apache-2.0
"""Floppy disks: a BIOS boots from them, programs of the DOS kind use them."""
import pathlib
import shutil
import struct
import subprocess

import pytest

from conftest import ENGINE, run, shown, spawn, status_of
from test_boot import boot_sector
from test_firmware import needs_bios, needs_nasm

SOURCE = pathlib.Path(__file__).with_name("dos") / "floppy.asm"
GRUB = pathlib.Path("/usr/lib/grub-rescue/grub-rescue-floppy.img")
LIMIT = 180
KIB = 1 << 10
SIZES = [160, 180, 320, 360, 720, 1200, 1440, 2880]

needs_grub = pytest.mark.skipif(not GRUB.exists(),
                                reason="package grub-rescue-pc is missing")

def bios(*args):
    return spawn("run", "--firmware", "bios", "--engine", ENGINE, *args,
                 timeout=LIMIT)


def stop(child):
    child.send("\x01x")
    assert status_of(child) == 0


def fat12(name, content):
    """A disk of 1440 KiB with one file of at most a cluster."""
    boot = (b"\xEB\x3C\x90LODGE1.0" +
            struct.pack("<HBHBHHBHHHII", 512, 1, 1, 2, 224, 2880, 0xF0, 9, 18,
                        2, 0, 0) +
            struct.pack("<BBBI11s8s", 0, 0, 0x29, 0x1234, b"LODGE      ",
                        b"FAT12   ")).ljust(510, b"\0") + b"\x55\xAA"
    fat = b"\xF0\xFF\xFF\xFF\x0F".ljust(9 * 512, b"\0")
    entry = struct.pack("<11sB14xHI", name.encode(), 0x20, 2, len(content))
    root = entry.ljust(224 * 32, b"\0")
    return (boot + fat + fat + root + content).ljust(1440 * KIB, b"\0")


def program():
    """The disk with dos/floppy.asm; after it bytes that nothing wrote."""
    parts = [subprocess.run(["nasm", "-f", "bin", *flags, "-o", "/dev/stdout",
                             SOURCE], capture_output=True, check=True).stdout
             for flags in (["-DBOOT"], [])]
    return b"".join(parts).ljust(1440 * KIB, b"\x11")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(program())
    return path


@needs_bios
@needs_nasm
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_program_of_the_dos_kind(image, cpus):
    """INT 13h, INT 10h, INT 16h, and the controller itself."""
    child = bios("--floppy", image, "--cpus", cpus)
    child.expect(shown("Booting from Floppy"))
    for step in ("int 13h geometry", "int 13h write", "int 13h read",
                 "int 13h track", "int 13h verify", "int 13h beyond",
                 "int 13h format", "reset", "version", "seek", "read id",
                 "read by dma", "write by dma", "read without dma"):
        assert child.expect([shown(f"{step} ok"), shown(" wrong"),
                             shown(" protected")]) == 0, step
    child.expect(shown("key? "))
    child.send("k")
    child.expect("k")
    assert status_of(child, timeout=LIMIT) == 0
    data = image.read_bytes()
    assert len(data) == 1440 * KIB
    formatted = 42 * 2 * 18 * 512
    assert data[formatted:formatted + 18 * 512] == b"\xF6" * 18 * 512
    written = ((40 * 2 + 1) * 18 + 4) * 512
    assert data[written - 1:written + 2] == b"\x11\xCB\xED"
    assert data[formatted + 18 * 512:] == program()[formatted + 18 * 512:]


@needs_bios
@needs_nasm
def test_write_protected(image):
    before = image.read_bytes()
    child = bios("--floppy", f"{image},readonly")
    child.expect(shown("int 13h write protected"))
    stop(child)
    assert image.read_bytes() == before


@needs_bios
@pytest.mark.parametrize("size", SIZES)
def test_every_size_boots(tmp_path, size):
    path = tmp_path / "disk.img"
    path.write_bytes(boot_sector("here").ljust(size * KIB, b"\0"))
    child = bios("--floppy", path)
    child.expect(shown("Booting from Floppy"))
    child.expect(shown("here"))
    stop(child)


@needs_bios
@needs_grub
def test_grub_and_a_file_system(tmp_path):
    """GRUB from the first drive reads a file in the second."""
    first, second = tmp_path / "grub.img", tmp_path / "fat.img"
    first.write_bytes(GRUB.read_bytes().ljust(1440 * KIB, b"\0"))
    second.write_bytes(fat12("HELLO   TXT", b"words in a file\n"))
    child = bios("--floppy", first, "--floppy", f"{second},readonly")
    child.expect(shown("GNU GRUB"))
    child.send("c")
    child.expect(shown("grub> "))
    for key in "cat (fd1)/hello.txt":  # a BIOS keeps 15 keys
        child.send(key)
        child.expect_exact(key)
    child.send("\r")
    child.expect(shown("words in a file"))
    stop(child)


@needs_bios
@pytest.mark.skipif(not (shutil.which("syslinux") and shutil.which("mcopy")),
                    reason="package syslinux or mtools is missing")
@pytest.mark.parametrize("size", [720, 1440, 2880])
def test_syslinux(tmp_path, size):
    """A boot loader for FAT, which finds its files by INT 13h."""
    path, words = tmp_path / "disk.img", tmp_path / "syslinux.cfg"
    words.write_text("SAY words in a file\nPROMPT 1\nTIMEOUT 0\n")
    for command in (["mformat", "-C", "-f", size, "-i", path, "::"],
                    ["syslinux", "--install", path],
                    ["mcopy", "-i", path, words, "::"]):
        subprocess.run([str(word) for word in command], check=True,
                       capture_output=True)
    child = bios("--floppy", f"{path},readonly")
    child.expect(shown("SYSLINUX"))
    child.expect(shown("words in a file"))
    child.expect(shown("boot: "))
    stop(child)


@pytest.mark.parametrize("make, words", [
    (lambda p: None, "no such file"),
    (lambda p: p.write_bytes(b""), "empty"),
    (lambda p: p.write_bytes(b"x" * 1000), "multiple of 512"),
    (lambda p: p.write_bytes(bytes(1441 * KIB)), "1475584 bytes; give"),
    (lambda p: p.mkdir(), "folder"),
])
def test_what_is_no_floppy_disk(tmp_path, make, words):
    path = tmp_path / "disk.img"
    make(path)
    result = run("run", "--firmware", "bios", "--floppy", path)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert words in result.stderr and str(path) in result.stderr


@pytest.mark.parametrize("args, words", [
    (["a"] * 3, "more than 2"),
    ([""], "path"),
    (["a,bus=ide"], "readonly"),
])
def test_bad_options(args, words):
    result = run("run", "--firmware", "bios",
                 *[f"--floppy={arg}" for arg in args])
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
