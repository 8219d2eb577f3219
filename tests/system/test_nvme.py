# SPDX-License-Identifier: Apache-2.0
"""NVMe disks: Linux uses them, firmware boots from them."""
import os
import pathlib
import subprocess

import pytest

from conftest import ENGINE, run, spawn, status_of
from test_disk import MIB, SIZE, copy_random, guest_md5, image, md5  # noqa
from test_linux import boot

BIOS = pathlib.Path("/usr/share/seabios/bios-256k.bin")
UEFI = pathlib.Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
GRUB = pathlib.Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")
DISK = "/dev/nvme0n1"
LIMIT = 180


@pytest.mark.parametrize("cpus, words", [(1, ""), (2, ""), (2, "pci=nomsi")])
def test_reads_and_writes(linux, image, cpus, words):
    """A queue for each processor; by MSI-X, and by the pin."""
    shell = boot([*linux[:-1], f"{linux[-1]} {words}"], "--cpus", cpus,
                 "--disk", f"{image},bus=nvme,serial=lodge-0001")
    assert shell.run("cat /sys/block/nvme0n1/size").strip() == \
        str(SIZE // 512)
    assert shell.run("cat /sys/class/nvme/nvme0/serial").strip() == \
        "lodge-0001"
    if not words:
        assert shell.run("ls /sys/block/nvme0n1/mq").split() == \
            [str(n) for n in range(cpus)]
    assert guest_md5(shell, DISK) == md5(image.read_bytes())
    wrote = copy_random(shell, DISK)
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    after = guest_md5(shell, DISK)
    shell.run("! dmesg | grep -i nvme | grep -iE "
              "'error|warn|fail|missing|invalid|timeout|reset'")
    assert shell.power_off() == 0
    data = image.read_bytes()
    assert md5(data) == after
    assert md5(data[16 * MIB:24 * MIB]) == wrote


def test_a_file_system(linux, tmp_path):
    """What Linux writes to it is there on the next boot."""
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(SIZE))
    subprocess.run(["/sbin/mke2fs", "-q", "-F", path], check=True)
    mount = f"mkdir -p /tmp/m && mount -t ext2 {DISK} /tmp/m"
    shell = boot(linux, "--disk", f"{path},bus=nvme")
    shell.run(f"{mount} && dd if=/dev/urandom of=/tmp/m/file bs=1M count=20 "
              "2>/dev/null")
    wrote = shell.run("md5sum < /tmp/m/file")
    shell.run("umount /tmp/m")
    assert shell.power_off() == 0
    shell = boot(linux, "--disk", f"{path},bus=nvme", "--cpus", 2)
    shell.run(mount)
    assert shell.run("md5sum < /tmp/m/file") == wrote
    # Taken away and brought back by its driver: shutdown, reset, probe.
    shell.run("umount /tmp/m; cd /sys/bus/pci/drivers/nvme && "
              "echo 0000:00:08.0 > unbind && echo 0000:00:08.0 > bind; "
              f"cd /; for i in $(seq 50); do [ -e {DISK} ] && break; "
              "sleep 0.1; done")
    shell.run(mount)
    assert shell.run("md5sum < /tmp/m/file") == wrote
    shell.run("echo 1 > /sys/class/nvme/nvme0/reset_controller")
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    assert shell.run("md5sum < /tmp/m/file") == wrote
    assert shell.power_off() == 0


def test_discard_and_zeroes(linux, image):
    image.write_bytes(os.urandom(SIZE))
    shell = boot(linux, "--disk", f"{image},bus=nvme")
    shell.run(f"blkdiscard -o 8388608 -l 33554432 {DISK}")
    shell.run(f"blkdiscard -z -o 4194304 -l 1048576 {DISK} || "
              f"dd if=/dev/zero of={DISK} bs=1M seek=4 count=1 conv=fsync")
    assert shell.power_off() == 0
    data = image.read_bytes()
    assert data[4 * MIB:5 * MIB] == bytes(MIB)
    assert len(data) == SIZE
    assert image.stat().st_blocks * 512 < SIZE - 24 * MIB


def test_read_only(linux, image):
    before = md5(image.read_bytes())
    shell = boot(linux, "--disk", f"{image},bus=nvme,readonly")
    assert shell.run("cat /sys/block/nvme0n1/ro").strip() == "1"
    assert guest_md5(shell, DISK) == before
    shell.run(f"! dd if=/dev/zero of={DISK} bs=1M count=1 2>/dev/null")
    assert shell.power_off() == 0
    assert md5(image.read_bytes()) == before


def test_several_and_reboots(linux, tmp_path):
    """Two NVMe disks and a virtio one, through a reboot with reads under
    way."""
    args = []
    for n, bus in enumerate(["nvme", "virtio", "nvme"]):
        path = tmp_path / f"{n}.img"
        path.write_bytes(bytes([n + 1]) * (n + 1) * MIB)
        args += ["--disk", f"{path},bus={bus}"]
    shell = boot(linux, "--cpus", 2, *args)
    for _ in range(2):
        for n, name in enumerate(["nvme0n1", "vda", "nvme1n1"]):
            link = shell.run(f"readlink /sys/block/{name}/device")
            place = shell.run(f"readlink -f /sys/block/{name}") + link
            assert f"0000:00:{8 + n:02x}.0" in place
            assert guest_md5(shell, f"/dev/{name}", n + 1) == \
                md5(bytes([n + 1]) * (n + 1) * MIB)
        shell.run("(while :; do dd if=/dev/nvme1n1 of=/dev/null bs=4k "
                  "iflag=direct; done) >/dev/null 2>&1 & true")
        shell.child.sendline("reboot -f")
        shell.wait()
    assert shell.power_off() == 0


@pytest.mark.skipif(not (BIOS.exists() and GRUB.exists()),
                    reason="package seabios or grub-rescue-pc is missing")
def test_bios_boots_from_it():
    child = spawn("run", "--firmware", "bios", "--engine", ENGINE, "--disk",
                  f"{GRUB},bus=nvme,readonly", timeout=LIMIT)
    child.expect("Booting from Hard Disk")
    child.expect("GNU GRUB")
    child.send("\x01x")
    assert status_of(child) == 0


@pytest.mark.skipif(not UEFI.exists(), reason="package ovmf is missing")
def test_uefi_reads_it(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"words of sector zero" + bytes(8 * MIB - 20))
    child = spawn("run", "--firmware", "uefi", "--engine", ENGINE, "--disk",
                  f"{path},bus=nvme", timeout=LIMIT)
    child.expect("any other key to continue")
    child.send("\x1b")
    child.expect("Shell> ")
    child.send("map\r")
    child.expect(r"NVMe\(0x1")
    child.expect("Shell> ")
    child.send("dblk blk0 0 1\r")
    child.expect(r"words of sector")
    child.send("\x01x")
    assert status_of(child) == 0


def test_bad_options():
    result = run("run", "--disk", "a,bus=nvme,queues=65")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "queues" in result.stderr
