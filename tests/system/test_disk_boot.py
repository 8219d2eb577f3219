# SPDX-License-Identifier: Apache-2.0
"""A system that firmware boots from its disk: what it wrote to files is there
after a kill -9 of lodge, once it said `sync`."""
import random
import shutil
import subprocess

import pytest

from conftest import APPEND, BUILD, ENGINE, kill, run, spawn, status_of
from kills import KILLS
from test_disk_tool import good
from test_firmware import needs_bios
from test_linux import Shell

GUEST = BUILD / "guest" / "drivers"
LIMIT = 240
CONFIG = """SERIAL 0 115200
DEFAULT linux
LABEL linux
  LINUX vmlinuz
  INITRD initrd
  APPEND console=ttyS0 quiet tsc=reliable no_timer_check cryptomgr.notests {}
"""


def call(*words):
    subprocess.run([str(word) for word in words], check=True,
                   capture_output=True)


@pytest.fixture(name="disks")
def fixture_disks(tmp_path):
    """Two qcow2 images: one that BIOS starts, one with a file system."""
    if not (shutil.which("syslinux") and shutil.which("mformat")):
        pytest.skip("package syslinux or mtools is missing")
    if not (GUEST / "vmlinuz").exists():
        pytest.skip(f"no guest in {GUEST}: make guest-drivers")
    boot, data = tmp_path / "boot.img", tmp_path / "data.img"
    config = tmp_path / "syslinux.cfg"
    config.write_text(CONFIG.format(APPEND))
    call("mformat", "-C", "-T", "65536", "-h", "64", "-s", "32", "-i", boot,
         "::")
    call("syslinux", "--install", boot)
    call("mcopy", "-i", boot, config, GUEST / "vmlinuz", GUEST / "initrd",
         "::")
    call("/sbin/mke2fs", "-q", "-t", "ext4", data, "48m")
    for path in (boot, data):
        good("convert", path, path.with_suffix(".qcow2"))
        path.unlink()
    return [boot.with_suffix(".qcow2"), data.with_suffix(".qcow2")]


def start(disks):
    shell = Shell(spawn("run", "--firmware", "bios", "--engine", ENGINE,
                        *[w for d in disks for w in ("--disk", d)],
                        timeout=LIMIT))
    shell.run("/etc/drivers $(cat /lib/modules/order)")
    shell.run("mkdir /mnt; mount -t ext4 /dev/vdb /mnt")
    return shell


def test_code_is_no_partition_table(disks):
    """A file system on the whole disk begins with code of its own."""
    good("resize", disks[0], "+8M")
    good("resize", "--shrink", disks[0], "-8M")
    child = spawn("run", "--firmware", "bios", "--engine", ENGINE, "--disk",
                  disks[0], timeout=LIMIT)
    child.expect("Ctrl-A x")
    assert "lodge: disk" not in child.before
    child.send("\x01x")
    assert status_of(child) == 0


@needs_bios
def test_files_survive_a_kill(disks):
    """What a boot before wrote too; amid other writes."""
    wanted = {}
    for turn in range(4 if KILLS == "all" else 1):
        shell = start(disks)
        for name, checksum in wanted.items():
            assert shell.run(f"md5sum < /mnt/{name}").split()[0] == checksum
        size = random.Random(turn).randrange(1, 3000)
        shell.run(f"dd if=/dev/urandom of=/mnt/file{turn} bs=1000 "
                  f"count={size} 2>/dev/null; mkdir -p /mnt/sub{turn}; "
                  f"cp /mnt/file{turn} /mnt/sub{turn}/copy; sync")
        checksum = shell.run(f"md5sum < /mnt/file{turn}").split()[0]
        wanted[f"file{turn}"] = wanted[f"sub{turn}/copy"] = checksum
        shell.child.sendline("while :; do dd if=/dev/zero of=/mnt/more bs=64k "
                             "count=40 2>/dev/null; sync; echo on'ce'; done")
        for _ in range(3):
            shell.child.expect("once")
        kill(shell.child)
        for disk in disks:
            assert run("disk", "check", disk).returncode in (0, 4)
            good("check", "--repair", disk)
    shell = start(disks)
    for name, checksum in wanted.items():
        assert shell.run(f"md5sum < /mnt/{name}").split()[0] == checksum
    assert shell.power_off() == 0
