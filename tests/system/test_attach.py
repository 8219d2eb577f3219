# SPDX-License-Identifier: Apache-2.0
"""Disks attached to a running machine and detached from it."""
import hashlib
import json
import os
import subprocess
import time

import pytest

import tiny
from conftest import LODGE, run
from test_drivers import guest as drivers  # noqa: F401
from test_linux import boot

pytestmark = pytest.mark.usefixtures("runtime")

MIB = 1 << 20
SIZE = 8 * MIB


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{n}.img" for n in range(3)]
    for path in paths:
        path.write_bytes(os.urandom(SIZE))
    return paths


def lodge(*args):
    result = run(*args)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def refused(result, *words):
    assert result.returncode in (1, 2)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr


def attached(name):
    return json.loads(lodge("inspect", "--json", name))["attached"]


def virtio_disks(name):
    pci = json.loads(lodge("inspect", "--json", name))["pci"]
    return [line for line in pci if "1af4:1042" in line]


def appears(shell, disk):
    shell.run(f"for i in $(seq 100); do [ -b /dev/{disk} ] && break; "
              f"sleep 0.1; done; [ -b /dev/{disk} ]")


def goes(shell, disk):
    shell.run(f"for i in $(seq 600); do [ -e /dev/{disk} ] || break; "
              f"sleep 0.1; done; [ ! -e /dev/{disk} ]", timeout=90)


def guest_md5(shell, disk):
    return shell.run(f"md5sum < /dev/{disk}").split()[0]


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("cpus", [1, 2])
def test_disks_come_and_go(linux, images, cpus):
    shell = boot(linux, "--name", "vm", "--cpus", cpus)
    path = images[0]
    for turn in range(2):
        assert lodge("attach", "vm", "disk",
                     f"{path},serial=turn-{turn}") == "disk1"
        appears(shell, "vda")
        assert shell.run("cat /sys/block/vda/serial") == f"turn-{turn}"
        assert guest_md5(shell, "vda") == md5(path)
        shell.run("dd if=/dev/urandom of=/tmp/r bs=1M count=2 2>/dev/null; "
                  "dd if=/tmp/r of=/dev/vda bs=64k seek=16 conv=fsync "
                  "2>/dev/null")
        wrote = shell.run("md5sum < /tmp/r").split()[0]
        assert attached("vm") == [{"name": "disk1", "device": "disk",
                                   "path": str(path), "bus": "virtio",
                                   "slot": 1, "leaving": False}]
        assert len(virtio_disks("vm")) == 1
        lodge("detach", "vm", "disk1")
        shell.run("[ ! -e /dev/vda ]")
        assert not attached("vm") and not virtio_disks("vm")
        part = path.read_bytes()[MIB:3 * MIB]
        assert hashlib.md5(part).hexdigest() == wrote
    shell.run("! dmesg | grep -iE 'I/O error|blk_update|fail'")
    assert shell.power_off() == 0


def test_nvme(linux, images):
    shell = boot(linux, "--name", "vm", "--cpus", 2)
    for turn in range(2):
        lodge("attach", "vm", "disk", f"{images[turn]},bus=nvme")
        appears(shell, "nvme0n1")
        assert guest_md5(shell, "nvme0n1") == md5(images[turn])
        shell.run("dd if=/dev/zero of=/dev/nvme0n1 bs=1M count=1 conv=fsync "
                  "2>/dev/null")
        lodge("detach", "vm", "disk1")
        shell.run("[ ! -e /dev/nvme0n1 ]")
        assert images[turn].read_bytes()[:MIB] == bytes(MIB)
    # In the midst of its work it is pulled out; Linux copes.
    lodge("attach", "vm", "disk", f"{images[2]},bus=nvme")
    appears(shell, "nvme0n1")
    shell.run("(while :; do dd if=/dev/nvme0n1 of=/dev/null bs=64k "
              "iflag=direct || break; done) >/dev/null 2>&1 & true")
    lodge("detach", "--force", "vm", "disk1")
    goes(shell, "nvme0n1")
    lodge("attach", "vm", "disk", f"{images[0]},bus=nvme")
    appears(shell, "nvme[01]n1")
    assert shell.power_off() == 0


def test_sata(drivers, images):  # noqa: F811
    """Beside a disk that stays; pulled out idle, and at work."""
    shell = boot(drivers, "--name", "vm", "--cpus", 2, "--disk",
                 f"{images[2]},bus=ahci")
    shell.run("/etc/drivers $(cat /lib/modules/order)")
    appears(shell, "sda")
    for turn in range(2):
        assert lodge("attach", "vm", "disk",
                     f"{images[0]},bus=ahci,serial=s-{turn}") == "disk1"
        appears(shell, "sdb")
        assert attached("vm")[0]["slot"] == 1
        assert guest_md5(shell, "sdb") == md5(images[0])
        shell.run(f"dd if=/dev/urandom of=/dev/sdb bs=64k seek={turn} "
                  "count=1 conv=fsync 2>/dev/null")
        if turn == 1:
            shell.run("(while :; do dd if=/dev/sdb of=/dev/null bs=64k "
                      "iflag=direct || break; done) >/dev/null 2>&1 & true")
        lodge("detach", "vm", "disk1")
        goes(shell, "sdb")
    assert guest_md5(shell, "sda") == md5(images[2])
    assert shell.power_off() == 0


def test_names_slots_and_errors(linux, images, tmp_path):
    shell = boot(linux, "--name", "vm", "--disk", images[2])
    assert lodge("attach", "vm", "disk",
                 f"{images[0]},name=data,readonly") == "data"
    appears(shell, "vdb")
    assert shell.run("cat /sys/block/vdb/ro") == "1"
    refused(run("attach", "vm", "disk", f"{images[1]},name=data"),
            "named data is attached already")
    refused(run("attach", "vm", "disk", f"{images[1]},name=a/b"), "a/b")
    refused(run("attach", "vm", "disk", f"{images[1]},colour=red"), "colour")
    refused(run("attach", "vm", "disk", f"{images[1]},bus=ide"), "virtio")
    refused(run("attach", "vm", "disk", f"{images[1]},bus=ahci"),
            "no SATA controller")
    refused(run("attach", "vm", "disk", tmp_path / "none"), "none")
    refused(run("attach", "vm", "disk", images[2]), "2.img", "use")
    refused(run("attach", "vm", "cpu", images[1]), "cpu")
    refused(run("attach", "vm", "disk"), "missing")
    refused(run("attach", "nobody", "disk", images[1]), "nobody")
    refused(run("detach", "vm", "data2"), "data2")
    # From another folder, with no name: the next slot, and then there is none.
    assert run("attach", "vm", "disk", images[1].name,
               cwd=tmp_path).stdout == "disk1\n"
    appears(shell, "vdc")
    (tmp_path / "more.img").write_bytes(bytes(MIB))
    refused(run("attach", "vm", "disk", tmp_path / "more.img"), "slot")
    text = lodge("inspect", "vm")
    assert f"  data: disk {images[0]}, virtio, in slot 1\n" in text
    assert f"  disk1: disk {images[1]}, virtio, in slot 2\n" in text
    lodge("detach", "vm", "data")
    assert [disk["name"] for disk in attached("vm")] == ["disk1"]
    shell.run("[ ! -e /dev/vdb ]; [ -b /dev/vdc ]")
    assert shell.power_off() == 0


def test_stays_through_a_reset(linux, images):
    shell = boot(linux, "--name", "vm")
    lodge("attach", "vm", "disk", images[0])
    appears(shell, "vda")
    shell.child.sendline("reboot -f")
    shell.wait()
    assert guest_md5(shell, "vda") == md5(images[0])
    lodge("detach", "vm", "disk1")
    shell.run("[ ! -e /dev/vda ]")
    assert shell.power_off() == 0


def test_pulled_out(linux, images):
    """With requests under way; the image is free at once."""
    shell = boot(linux, "--name", "vm", "--cpus", 2)
    lodge("attach", "vm", "disk", images[0])
    appears(shell, "vda")
    shell.run("(while :; do dd if=/dev/vda of=/dev/null bs=64k iflag=direct; "
              "done) >/dev/null 2>&1 & true")
    assert json.loads(lodge("detach", "--force", "--json", "vm", "disk1")) == {
        "detached": "disk1"}
    assert not attached("vm") and not virtio_disks("vm")
    assert lodge("attach", "vm", "disk", f"{images[0]},name=again") == "again"
    assert shell.run("echo alive") == "alive"
    shell.child.send("\x01x")
    assert shell.child.wait() == 0


def test_a_guest_without_a_driver(make_kernel, images):
    """It lets nothing go: force takes it."""
    child = subprocess.Popen(
        [LODGE, *map(str, make_kernel(tiny.SPIN)), "--serial", "none",
         "--name", "vm"], stdin=subprocess.DEVNULL)
    try:
        while run("status", "vm").returncode:
            assert child.poll() is None
        lodge("attach", "vm", "disk", images[0])
        assert [disk["leaving"] for disk in attached("vm")] == [False]
        refused(run("detach", "vm", "disk1"), "does not let it go",
                "--force")
        assert [disk["leaving"] for disk in attached("vm")] == [True]
        # One that waits hears of it when another does not.
        waiting = subprocess.Popen([LODGE, "detach", "vm", "disk1"])
        time.sleep(0.5)
        assert waiting.poll() is None
        lodge("detach", "--force", "vm", "disk1")
        assert waiting.wait(10) == 0
        lodge("attach", "vm", "disk", images[0])
        lodge("stop", "--force", "vm")
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()
