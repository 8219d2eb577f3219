# SPDX-License-Identifier: Apache-2.0
"""Images go to QEMU and come back: a machine of lodge writes to its disk, the
disk is exported, a machine of QEMU boots from it, reads and writes, and what
it wrote is there when the file is an image of lodge again.

A boot sector does it in a moment. With LODGE_TRIPS=1 (make trips) a Debian
does it as well, which takes minutes for each format.
"""
import os
import pathlib
import shutil
import subprocess

import pexpect
import pytest

from conftest import ENGINE, SOURCE, run, spawn, status_of
from test_image import Machine

LOG = SOURCE / "tests" / "system" / "firmware" / "log.asm"
OVMF = [pathlib.Path("/usr/share/OVMF") / f"OVMF_{part}_4M.fd"
        for part in ("CODE", "VARS")]
QEMU = shutil.which("qemu-system-x86_64")
KINDS = {"raw": "img", "qcow2": "qcow2", "vmdk": "vmdk"}
LIMIT = 180
LIMIT_DEBIAN = 1800

pytestmark = pytest.mark.skipif(
    not QEMU, reason="package qemu-system-x86 is missing")


def qemu(disk, kind, memory, limit, firmware=()):
    """QEMU's software processor with this disk and a serial console."""
    child = pexpect.spawn(
        QEMU, ["-accel", "tcg", "-machine", "q35", "-m", memory, "-nographic",
               "-no-reboot", "-drive", f"file={disk},format={kind},if=virtio",
               *firmware],
        timeout=limit, encoding="utf-8", codec_errors="replace",
        dimensions=(24, 200))
    child.delaybeforesend = None
    return child


@pytest.fixture
def place(tmp_path):
    """A store of one's own."""
    return {"env": {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"),
                    "XDG_RUNTIME_DIR": str(tmp_path)}}


def done(*args, where):
    result = run(*args, timeout=LIMIT, **where)
    assert result.returncode == 0, result.stderr


# --- a boot sector --------------------------------------------------------------

def log_of(child):
    child.expect(r"log ((?:KVMK|TCGT)+) end")
    return child.match[1]


def log_in_lodge(image, where):
    child = spawn("run", image, "--engine", ENGINE, timeout=LIMIT, **where)
    log = log_of(child)
    child.send("\x01x")
    assert status_of(child) == 0
    return log


@pytest.mark.skipif(not shutil.which("nasm"), reason="package nasm is missing")
@pytest.mark.parametrize("kind", KINDS)
def test_a_boot_sector(place, tmp_path, kind):
    """Each boot appends the name of the hypervisor that it runs on."""
    disk, out = tmp_path / "disk.img", tmp_path / f"out.{KINDS[kind]}"
    subprocess.run(["nasm", "-f", "bin", "-o", disk, LOG], check=True)
    os.truncate(disk, 8 << 20)
    done("image", "import", disk, "--name", "log", where=place)
    assert log_in_lodge("log", place) == "KVMK"
    done("image", "export", "--machine", "log", out, where=place)
    child = qemu(out, kind, "64M", LIMIT)
    assert log_of(child) == "KVMKTCGT"
    child.send("\x01x")
    child.expect(pexpect.EOF)
    done("image", "import", out, "--name", "back", where=place)
    assert log_in_lodge("back", place) == "KVMKTCGTKVMK"


# --- Debian -----------------------------------------------------------------------

class Guest(Machine):
    """The same machine in QEMU."""

    def __init__(self, disk, kind, before, firmware=()):
        self.child = qemu(disk, kind, "1G", LIMIT_DEBIAN, firmware)
        self.user, self.password = before.user, before.password


def uefi(folder):
    """QEMU's arguments for OVMF, which knows nothing of the disk yet."""
    code, variables = OVMF
    mine = folder / variables.name
    shutil.copy(variables, mine)
    return ["-drive", f"if=pflash,format=raw,readonly=on,file={code}",
            "-drive", f"if=pflash,format=raw,file={mine}"]


@pytest.mark.skipif(not os.environ.get("LODGE_TRIPS"),
                    reason="LODGE_TRIPS is not set: see make trips")
@pytest.mark.parametrize("kind", KINDS)
def test_debian(debian, place, tmp_path, kind):  # noqa: F811
    """By BIOS and by UEFI, from whose menus on nothing of lodge is needed."""
    out = tmp_path / f"out.{KINDS[kind]}"
    where = {"env": {**debian["env"], "XDG_RUNTIME_DIR": str(tmp_path)}}
    name = f"trip-{kind}"
    run("image", "forget", name, **where)
    try:
        m = Machine(where, "--name", name)
        m.log_in(name)
        there = m("head -c 3000000 /dev/urandom | tee there | sha256sum")
        m.kill()
        done("image", "export", "--machine", name, out, where=where)
    finally:
        run("image", "forget", name, **where)
    m = Guest(out, kind, m)
    m.log_in(name)
    assert m("sha256sum <there") == there
    back = m("head -c 3000000 /dev/urandom | tee back | sha256sum")
    m.power_off()
    m = Guest(out, kind, m, uefi(tmp_path))
    m.log_in(name)
    assert m("test -d /sys/firmware/efi && sha256sum <there") == there
    m("mv back again")
    m.power_off()
    done("image", "import", out, "--name", "back", where=place)
    out.unlink()
    m = Machine(place, "--name", name, image="back")
    m.log_in(name)
    assert m("sudo sh -c 'cat ~lodge/there' | sha256sum") == there
    assert m("sha256sum <again") == back
    m.power_off()
