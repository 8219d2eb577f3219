# SPDX-License-Identifier: Apache-2.0
"""CDs and SATA disks: firmware boots from them, what is none is refused."""
import pathlib

import pytest

from conftest import ENGINE, run, spawn, status_of

BIOS = pathlib.Path("/usr/share/seabios/bios-256k.bin")
GRUB = pathlib.Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")
LIMIT = 180
MIB = 1 << 20

needs_grub = pytest.mark.skipif(not (BIOS.exists() and GRUB.exists()),
                                reason="package seabios or grub-rescue-pc "
                                       "is missing")


def bios(*args):
    return spawn("run", "--firmware", "bios", "--engine", ENGINE, *args,
                 timeout=LIMIT)


def stop(child):
    child.send("\x01x")
    assert status_of(child) == 0


@needs_grub
def test_grub_from_a_cd(tmp_path):
    """To its prompt, where it finds the CD and the disk beside it; a disk
    that cannot be booted does not come first."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(8 * MIB))
    child = bios("--disk", f"{disk},bus=ahci", "--cdrom", GRUB)
    child.expect("Booting from DVD/CD")
    child.expect("GNU GRUB")
    child.send("c")
    child.expect("grub> ")
    child.send("ls\r")
    child.expect(r"\(hd0\).*\(cd")
    stop(child)


@needs_grub
def test_grub_from_a_sata_disk():
    """The CD's image starts from a disk as well."""
    child = bios("--disk", f"{GRUB},bus=ahci,readonly")
    child.expect("Booting from Hard Disk")
    child.expect("GNU GRUB")
    stop(child)


@pytest.mark.parametrize("make, words", [
    (lambda p: None, "no such file"),
    (lambda p: p.write_bytes(bytes(MIB)), "use --disk"),
    (lambda p: p.write_bytes(b""), "no ISO 9660 image"),
    (lambda p: p.mkdir(), "neither a file nor"),
])
def test_what_is_no_cd(tmp_path, make, words):
    path = tmp_path / "cd.iso"
    make(path)
    result = run("run", "--firmware", "bios", "--cdrom", path)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert words in result.stderr and str(path) in result.stderr


@pytest.mark.parametrize("args, words", [
    (["--cdrom", "a", "--cdrom", "b", "--cdrom", "c"], "more than 2"),
    (["--disk", "a,bus=ahci"] * 5 + ["--cdrom", "b"] * 2, "bus=virtio"),
    (["--disk", "a,bus=scsi"], "ahci, nvme or ide"),
])
def test_bad_options(args, words):
    result = run("run", "--firmware", "bios", *args)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
