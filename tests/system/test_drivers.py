# SPDX-License-Identifier: Apache-2.0
"""Linux with a driver for each device: the distribution's ordinary kernel, all
controllers of disks at once, and not a word of complaint from it."""
import os
import subprocess

import pytest

from conftest import APPEND, BUILD, ENGINE
from conftest import run as lodge
from test_disk import guest_md5, md5, small_folder, waits_for_room  # noqa: F401
from test_linux import boot

MIB = 1 << 20
SIZE = 16 * MIB

# Each bus, and where on PCI Linux finds the disk that is on it.
DISKS = {"virtio": "00:08.0", "ahci": "00:1f.2", "nvme": "00:0a.0",
         "ide": "00:1f.1"}

# What may be said at the level of a warning, none of it ours to mend.
# The second is Linux's of a host that was busy elsewhere for a while.
HARMLESS = ("use \"pci=nocrs\" and report a bug", "hrtimer: interrupt took")


@pytest.fixture(scope="session")
def guest():
    folder = BUILD / "guest" / "drivers"
    if not (folder / "initrd").exists():
        pytest.skip(f"no guest in {folder}: make guest-drivers")
    return ["run", "--kernel", folder / "vmlinux", "--initrd",
            folder / "initrd", "--engine", ENGINE, "--append",
            f"console=ttyS0 quiet cryptomgr.notests panic=-1 {APPEND}"]


@pytest.fixture
def medium(tmp_path):
    """A CD's image: a volume descriptor, and what is to be read."""
    path = tmp_path / "cd.iso"
    sectors = bytearray(os.urandom(MIB))
    sectors[0x8000:0x8800] = b"\x01CD001\x01".ljust(0x800, b"\0")
    path.write_bytes(sectors)
    return path


def make_disks(folder):
    """A file system on each; arguments for lodge."""
    args = []
    for bus in DISKS:
        path = folder / f"{bus}.img"
        path.write_bytes(bytes(SIZE))
        subprocess.run(["/sbin/mke2fs", "-q", "-F", path], check=True)
        args += ["--disk", f"{path},bus={bus},serial={bus}-1"]
    return args


def load_drivers(shell):
    """Names of the disks by bus, when all have been found."""
    shell.run("/etc/drivers $(cat /lib/modules/order)")
    for _ in range(100):
        paths = shell.run("sleep 0.1; for d in /sys/block/*; do "
                          "readlink -f $d; done").split()
        names = {bus: os.path.basename(path) for path in paths
                 for bus, place in DISKS.items()
                 if f"0000:{place}/" in path and not path.endswith("/sr0")}
        if len(names) == len(DISKS) and any(p.endswith("/sr0")
                                            for p in paths):
            return names
    raise AssertionError(f"not all disks were found: {paths}")


def complaints(shell):
    """Warnings and worse of the whole boot; words of trouble from buses."""
    log = shell.run("dmesg -r").splitlines()
    assert any(line.startswith("<6>") for line in log)
    trouble = shell.run(
        "dmesg | grep -iE 'pci|acpi|virtio|ata[0-9]|ahci|nvme|scsi|sd |sr |"
        "usb|xhci|hid' | "
        "grep -iE 'warn|error|fail|bug|fatal|invalid|conflict|not claim|"
        "no space|timed|timeout|unable|missing|reset|exception' || true")
    lines = [line for line in log if line[:3] in ("<0>", "<1>", "<2>", "<3>",
                                                  "<4>")]
    lines += trouble.splitlines()
    return [line for line in lines
            if line.strip() and not any(word in line for word in HARMLESS)]


def use(shell, disk, mount):
    """Writes a file to the disk; its checksum."""
    shell.run(f"mkdir -p {mount} && mount -t ext2 /dev/{disk} {mount} && "
              f"dd if=/dev/urandom of={mount}/file bs=1M count=6 2>/dev/null")
    return shell.run(f"md5sum < {mount}/file")


@pytest.mark.parametrize("cpus", [1, 2])
def test_all_disks(guest, medium, tmp_path, cpus):
    args = ["--cpus", cpus, "--display", "std", *make_disks(tmp_path),
            "--cdrom", medium]
    shell = boot(guest, *args)
    disks = load_drivers(shell)
    for bus, disk in disks.items():
        assert shell.run(f"cat /sys/block/{disk}/size") == str(SIZE // 512)
        path = tmp_path / f"{bus}.img"
        assert guest_md5(shell, f"/dev/{disk}", 16) == md5(path.read_bytes())
    assert guest_md5(shell, "/dev/sr0", 1) == md5(medium.read_bytes())
    sums = {bus: use(shell, disk, f"/tmp/{disk}")
            for bus, disk in disks.items()}
    # All of them at once, and each is what it was.
    shell.run(f"for d in {' '.join(disks.values())}; do "
              "(for i in 1 2 3; do dd if=/dev/urandom of=/tmp/$d/more bs=64k "
              "count=40 conv=fsync; dd if=/dev/$d of=/dev/null bs=4k "
              "count=500 iflag=direct skip=$((i * 100)); done) 2>/dev/null & "
              "done; wait")
    shell.run("sync; echo 3 > /proc/sys/vm/drop_caches")
    for bus, disk in disks.items():
        assert shell.run(f"md5sum < /tmp/{disk}/file") == sums[bus]
        shell.run(f"umount /tmp/{disk}")
    assert not complaints(shell)
    assert shell.power_off() == 0
    shell = boot(guest, *args)
    for bus, disk in load_drivers(shell).items():
        assert shell.run(f"mkdir /tmp/{disk}; mount -t ext2 /dev/{disk} "
                         f"/tmp/{disk} && md5sum < /tmp/{disk}/file") == \
            sums[bus]
    assert not complaints(shell)
    assert shell.power_off() == 0


def test_a_full_host(guest, medium, small_folder):  # noqa: F811
    """Each bus, and each format that grows: the machine waits for room."""
    name, args = f"full-{os.getpid()}", []
    formats = dict(zip(DISKS, ("vhd", "vmdk", "vhdx", "vdi")))
    for bus, form in formats.items():
        path = small_folder / f"{bus}.{form}"
        assert lodge("disk", "create", path, "16M").returncode == 0
        args += ["--disk", f"{path},bus={bus}"]
    shell = boot(guest, "--name", name, "--cdrom", medium, *args)
    for bus, disk in load_drivers(shell).items():
        waits_for_room(shell, name, small_folder / f"{bus}.{formats[bus]}",
                       disk, 6 * 1024)
    assert shell.power_off() == 0
    for bus, form in formats.items():
        done = lodge("disk", "check", small_folder / f"{bus}.{form}")
        assert done.returncode == 0 or "nothing lost" in done.stdout
