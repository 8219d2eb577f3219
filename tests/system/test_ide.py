# SPDX-License-Identifier: Apache-2.0
"""IDE disks and CDs: a BIOS boots from them, Linux's ata_piix uses them."""
import hashlib
import os
import subprocess
import sys

import pytest

from conftest import BUILD, SOURCE, run
from test_cdrom import GRUB, bios, needs_grub, stop
from test_linux import boot

MIB = 1 << 20
SIZE = 32 * MIB

# In the order of loading; some kernels have some of them built in.
MODULES = ("scsi_common scsi_mod crct10dif_common crc-t10dif crc64 "
           "crc64-rocksoft crc64_rocksoft_generic t10-pi cdrom libata "
           "ata_piix sd_mod sr_mod").split()


@needs_grub
def test_grub_from_an_ide_cd(tmp_path):
    """With a disk beside it that cannot be booted, on the same channel."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(8 * MIB))
    child = bios("--disk", f"{disk},bus=ide", "--cdrom", f"{GRUB},bus=ide")
    child.expect("Booting from DVD/CD")
    child.expect("GNU GRUB")
    child.send("c")
    child.expect("grub> ")
    child.send("ls\r")
    child.expect(r"\(hd0\).*\(cd")
    stop(child)


@needs_grub
def test_grub_from_an_ide_disk():
    child = bios("--disk", f"{GRUB},bus=ide,readonly")
    child.expect("Booting from Hard Disk")
    child.expect("GNU GRUB")
    stop(child)


@pytest.fixture(scope="module")
def drivers(linux, tmp_path_factory):
    """Arguments of the default guest with drivers besides, and these."""
    folder = BUILD / "guest" / "default" / "modules"
    found = [m for m in MODULES if (folder / f"{m}.ko").exists()]
    if "ata_piix" not in found:
        pytest.skip(f"no ata_piix in {folder}: make guest")
    path = tmp_path_factory.mktemp("ide") / "initrd"
    extra = path.with_suffix(".extra")
    subprocess.run([sys.executable, SOURCE / "guests" / "make_initrd.py",
                    extra, *[f"--file={folder / m}.ko:/ide/{m}.ko"
                             for m in found]], check=True)
    at = linux.index("--initrd") + 1
    path.write_bytes(linux[at].read_bytes() + extra.read_bytes())
    return [*linux[:at], path, *linux[at + 1:]], found


def md5(data):
    return hashlib.md5(data).hexdigest()


def sum_of(shell, device, skip=0, mib=SIZE // MIB):
    return shell.run(f"dd if={device} bs=1M skip={skip} count={mib} "
                     "2>/dev/null | md5sum").split()[0]


@needs_grub
@pytest.mark.parametrize("cpus, libata, mode", [
    (1, "", "XFER_UDMA_2"),
    (2, "dma=0", "XFER_PIO_4"),
])
def test_linux_on_ide(drivers, tmp_path, cpus, libata, mode):
    """Reads and writes by DMA and by PIO, disk and CD."""
    linux, modules = drivers
    image = tmp_path / "disk.img"
    image.write_bytes(os.urandom(SIZE))
    shell = boot(linux, "--cpus", cpus, "--cdrom", f"{GRUB},bus=ide",
                 "--disk", f"{image},bus=ide,serial=lodge-1")
    for module in modules:
        words = libata if module == "libata" else ""
        shell.run(f"insmod /ide/{module}.ko {words}")
    shell.run("n=0; until [ -e /dev/sda -a -e /dev/sr0 ]; do "
              "usleep 100000; n=$((n+1)); [ $n = 300 ] && break; done; true")
    shell.run("dmesg | grep 'LODGE IDE DISK'")
    assert mode in shell.run("cat /sys/class/ata_device/dev1.?/xfer_mode")
    assert sum_of(shell, "/dev/sda") == md5(image.read_bytes())
    cd = GRUB.read_bytes()
    assert shell.run("md5sum < /dev/sr0").split()[0] == md5(cd)
    shell.run("dd if=/dev/urandom of=/tmp/r bs=1M count=4 2>/dev/null")
    shell.run("dd if=/tmp/r of=/dev/sda bs=256k seek=32 conv=fsync "
              "2>/dev/null")
    wrote = shell.run("md5sum < /tmp/r").split()[0]
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    assert sum_of(shell, "/dev/sda", 8, 4) == wrote
    shell.run("! dmesg | grep -iE 'I/O error|exception|failed command'")
    assert shell.power_off() == 0
    assert md5(image.read_bytes()[8 * MIB:12 * MIB]) == wrote


@pytest.mark.parametrize("args, words", [
    (["--disk", "a,bus=ide"] * 3 + ["--cdrom", "b,bus=ide"] * 2, "IDE"),
    (["--cdrom", "b,bus=virtio"], "bus=ide"),
    (["--cdrom", ""], "path"),
])
def test_bad_options(args, words):
    result = run("run", "--firmware", "bios", *args)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
