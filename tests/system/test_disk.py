# SPDX-License-Identifier: Apache-2.0
"""Disks as Linux sees them: virtio-blk over raw images."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from conftest import LODGE, machine_of, run, status_of
from test_linux import BOOT, PROMPT, boot

MIB = 1 << 20
SIZE = 48 * MIB


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(os.urandom(4 * MIB) + bytes(SIZE - 4 * MIB))
    return path


def md5(data):
    return hashlib.md5(data).hexdigest()


def guest_md5(shell, device, mib=SIZE // MIB):
    text = shell.run(f"dd if={device} bs=1M count={mib} 2>/dev/null | md5sum")
    return text.split()[0]


def copy_random(shell, device, seek=16):
    """Writes 8 MiB from that one on to a disk and gives their checksum."""
    shell.run("dd if=/dev/urandom of=/tmp/r bs=1M count=8 2>/dev/null")
    shell.run(f"dd if=/tmp/r of={device} bs=256k seek={seek * 4} "
              "conv=fsync 2>/dev/null")
    return shell.run("md5sum < /tmp/r").split()[0]


def test_io_uring_serves_it(linux, image):
    """In the sandbox, too, where it is a processor that asks for the ring."""
    host = json.loads(run("host", "--json").stdout)
    if not host["io_uring"]["usable"]:
        pytest.skip("this host has no io_uring")
    shell = boot(linux, "--disk", f"{image},cache=none")
    assert guest_md5(shell, "/dev/vda") == md5(image.read_bytes())
    tasks = pathlib.Path(f"/proc/{machine_of(shell.child)}/task")
    names = {(task / "comm").read_text().strip() for task in tasks.iterdir()}
    assert "disk-ring" in names
    assert shell.power_off() == 0


@pytest.mark.parametrize("cpus", [1, 2])
def test_reads_and_writes(linux, image, cpus):
    shell = boot(linux, "--cpus", cpus, "--disk",
                 f"{image},serial=lodge-0001")
    assert shell.run("cat /sys/block/vda/size").strip() == str(SIZE // 512)
    assert shell.run("cat /sys/block/vda/serial").strip() == "lodge-0001"
    assert shell.run("ls /sys/block/vda/mq").split() == \
        [str(n) for n in range(cpus)]
    assert guest_md5(shell, "/dev/vda") == md5(image.read_bytes())
    wrote = copy_random(shell, "/dev/vda")
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    after = guest_md5(shell, "/dev/vda")
    shell.run("! dmesg | grep -iE 'I/O error|blk_update'")
    assert shell.power_off() == 0
    data = image.read_bytes()
    assert md5(data) == after
    assert md5(data[16 * MIB:24 * MIB]) == wrote


@pytest.mark.parametrize("words", ["pci=nomsi", "pci=nomsi noapic",
                                   "pci=nomsi acpi=off noapic"])
def test_interrupt_pins(linux, image, words):
    """By the IOAPIC, and by the 8259A pair with ACPI and without."""
    shell = boot([*linux[:-1], f"{linux[-1]} {words}"], "--disk", image)
    controller = "XT-PIC" if "noapic" in words else "IO-APIC"
    shell.run(f"grep -q '{controller}.*virtio' /proc/interrupts")
    assert guest_md5(shell, "/dev/vda") == md5(image.read_bytes())
    shell.child.send("\x01x")
    assert status_of(shell.child) == 0


def test_survives_reboots(linux, image):
    shell = boot(linux, "--cpus", "2", "--disk", image)
    wrote = copy_random(shell, "/dev/vda")
    # A reboot with reads under way.
    shell.run("(while :; do cat /dev/vda; done) >/dev/null 2>&1 & true")
    shell.child.sendline("reboot -f")
    shell.wait()
    assert shell.run("dd if=/dev/vda bs=1M skip=16 count=8 2>/dev/null | "
                     "md5sum").split()[0] == wrote
    assert shell.power_off() == 0


def test_read_only(linux, image):
    before = md5(image.read_bytes())
    shell = boot(linux, "--disk", f"{image},readonly")
    assert shell.run("cat /sys/block/vda/ro").strip() == "1"
    assert guest_md5(shell, "/dev/vda") == before
    shell.run("! dd if=/dev/zero of=/dev/vda bs=1M count=1 2>/dev/null")
    assert shell.power_off() == 0
    assert md5(image.read_bytes()) == before


def test_discard_gives_room_back(linux, image):
    image.write_bytes(os.urandom(SIZE))
    shell = boot(linux, "--disk", image)
    shell.run("blkdiscard -o 8388608 -l 33554432 /dev/vda")
    shell.run("blkdiscard -z -o 4194304 -l 1048576 /dev/vda || "
              "dd if=/dev/zero of=/dev/vda bs=1M seek=4 count=1 conv=fsync")
    assert shell.power_off() == 0
    data = image.read_bytes()
    assert data[4 * MIB:5 * MIB] == bytes(MIB)
    assert len(data) == SIZE
    assert image.stat().st_blocks * 512 < SIZE - 24 * MIB


def test_several_disks(linux, tmp_path):
    paths = []
    for n in range(3):
        paths.append(tmp_path / f"a,b{n}.img")
        paths[n].write_bytes(bytes([n]) * (n + 1) * MIB)
    args = [word for path in paths
            for word in ("--disk", str(path).replace(",", ",,"))]
    shell = boot(linux, *args)
    for n, name in enumerate(["vda", "vdb", "vdc"]):
        assert shell.run(f"cat /sys/block/{name}/size").strip() == \
            str((n + 1) * 2048)
        # In the order of the command line, each at a place of its own.
        link = shell.run(f"readlink /sys/block/{name}")
        assert f"0000:00:{8 + n:02x}.0" in link
    assert shell.power_off() == 0


def test_listing(linux, image):
    """What Linux finds on PCI, and not a word of complaint."""
    shell = boot(linux, "--disk", image)
    text = shell.run("cd /sys/bus/pci/devices; for d in *; do "
                     "echo $d $(cat $d/vendor $d/device $d/class); done")
    assert text.splitlines()[:9] == [
        "0000:00:00.0 0x8086 0x29c0 0x060000",
        "0000:00:02.0 0x1af4 0x1044 0x00ff00",
        "0000:00:05.0 0x1af4 0x1045 0x00ff00",
        "0000:00:06.0 0x1af4 0x1053 0x028000",
        "0000:00:07.0 0x1af4 0x1041 0x020000",
        "0000:00:08.0 0x1af4 0x1042 0x010000",
        "0000:00:1c.0 0x8086 0x2940 0x060400",
        "0000:00:1c.1 0x8086 0x2940 0x060400",
        "0000:00:1f.0 0x8086 0x2918 0x060100",
    ]
    log = shell.run("dmesg | grep -iE 'pci|acpi|virtio' | "
                    "grep -iE 'warn|error|fail|bug|fatal|invalid|conflict|"
                    "not claim|no space' || true")
    lines = [line for line in log.splitlines()
             if line.strip() and "report a bug" not in line]
    assert not lines
    assert shell.run("cat /sys/class/misc/hw_random/rng_current").strip() == \
        "virtio_rng.0"
    assert shell.power_off() == 0


def test_stops_while_writing(linux, image, report):
    shell = boot(linux, "--disk", image, "--report", report.path)
    shell.run("(while :; do dd if=/dev/zero of=/dev/vda bs=1M count=40; "
              "done) >/dev/null 2>&1 & true")
    shell.child.send("\x01x")
    assert status_of(shell.child, timeout=BOOT) == 0
    assert report.read()["exit_reason"] == "stopped"


@pytest.mark.parametrize("make, words", [
    (lambda p: None, "no such file"),
    (lambda p: p.write_bytes(b""), "empty"),
    (lambda p: p.write_bytes(b"x" * 1000), "multiple of 512"),
    (lambda p: p.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(504)), "qcow2"),
    (lambda p: p.mkdir(), "folder"),
])
def test_bad_images(linux, tmp_path, make, words):
    path = tmp_path / "disk.img"
    make(path)
    result = run(*linux, "--disk", path)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert words in result.stderr and str(path) in result.stderr


def test_image_that_nobody_may_write(linux, image):
    made = subprocess.run(["chattr", "+i", image], capture_output=True,
                          check=False)
    if made.returncode:
        pytest.skip("a file system without immutable files, or not root")
    try:
        result = run(*linux, "--disk", image)
        assert result.returncode == 1
        assert "give it with ,readonly" in result.stderr
    finally:
        subprocess.run(["chattr", "-i", image], check=True)


def test_image_in_use(linux, image):
    shell = boot(linux, "--disk", image)
    result = run(*linux, "--disk", image)
    assert result.returncode == 1
    assert "in use" in result.stderr
    assert shell.power_off() == 0


@pytest.mark.parametrize("value, words", [
    ("", "path"),
    ("disk.img,colour=red", "unknown option"),
    ("disk.img,queues=0", "queues"),
    ("disk.img,queues=x", "queues"),
    ("disk.img,serial=" + "x" * 21, "characters"),
    ("disk.img,format=cow", "there are raw"),
    ("disk.img,cache=fast", "give writeback, none"),
    ("disk.img,iops=many", "a number of requests"),
    ("disk.img,bps=7", "as 100M"),
    ("disk.img,bus=scsi", "give virtio"),
])
def test_bad_options(value, words):
    result = subprocess.run([LODGE, "run", f"--disk={value}"],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


# --- a full host ------------------------------------------------------------

@pytest.fixture
def small_folder(tmp_path):
    """A file system of 64 MiB."""
    folder = tmp_path / "small-folder"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "lodge",
                           folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def waits_for_room(shell, name, path, device, kib):
    """Writes so many KiB to a device whose image, at path, finds no room for
    them on the host until the test makes some; nothing is lost."""
    shell.run(f"dd if=/dev/urandom of=/tmp/full bs=1k count={kib} "
              "2>/dev/null")
    wanted = shell.run("md5sum < /tmp/full")
    free = os.statvfs(path.parent)
    ballast = path.parent / "ballast"
    ballast.write_bytes(bytes(free.f_bavail * free.f_bsize - 256 * 1024))
    shell.child.sendline(f"dd if=/tmp/full of=/dev/{device} bs=64k "
                         "conv=fsync 2>/dev/null; echo WRO''TE=$?")
    wait_for_state(name, "paused")
    assert str(path) in state(name)["reason"]
    ballast.unlink()
    shell.child.expect("WROTE=0", timeout=120)
    shell.child.expect(PROMPT)
    wait_for_state(name, "running")
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    assert shell.run(f"dd if=/dev/{device} bs=1k count={kib} 2>/dev/null | "
                     "md5sum") == wanted


SECRET = ["--secret", "{}/word"]
KINDS = {
    "raw": ("disk.raw", []),
    "qcow2": ("disk.qcow2", []),
    "overlay": ("disk.qcow2", ["--backing", "base.raw"]),
    "luks": ("disk.luks", SECRET + ["--option", "version=1", "--option",
                                    "iterations=1000"]),
    "vhdx": ("disk.vhdx", []),
}


@pytest.fixture(name="small", params=KINDS)
def fixture_small(request, tmp_path):
    """A file system of 32 MiB with an image of 48 in it. Encrypted ones have
    the passphrase in tmp_path."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "lodge",
                           folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no right to mount a file system")
    name, words = KINDS[request.param]
    path = folder / name
    (tmp_path / "word").write_text("open sesame")
    if request.param == "overlay":
        with open(folder / "base.raw", "wb") as base:
            base.truncate(48 * MIB)
    made = run("disk", "create", path, "48M",
               *[w.format(tmp_path) for w in words])
    assert made.returncode == 0, made.stderr
    yield path
    subprocess.run(["umount", "-l", folder], check=True)


def state(name):
    """What the machine says of itself."""
    return json.loads(run("status", "--json", name).stdout)


def wait_for_state(name, wanted):
    for _ in range(300):
        if state(name)["state"] == wanted:
            return
        time.sleep(0.1)
    pytest.fail(f"{name} is not {wanted}")


def test_waits_for_room(linux, small, tmp_path, request):
    """Nothing is lost; the guest does not even see the time go by."""
    word = tmp_path / "word"
    locked = "luks" in request.node.callspec.id
    name = f"full-{os.getpid()}"
    ballast = small.parent / "ballast"
    ballast.write_bytes(bytes(16 * MIB))
    shell = boot(linux, "--cpus", 2, "--name", name, "--disk",
                 f"{small},secret={word}" if locked else small)
    shell.run("dd if=/dev/urandom of=/tmp/r bs=1M count=24 2>/dev/null")
    wanted = shell.run("md5sum < /tmp/r").split()[0]
    shell.child.sendline("dd if=/tmp/r of=/dev/vda bs=1M conv=fsync "
                         "2>/dev/null; echo WRO''TE=$?")
    wait_for_state(name, "paused")
    assert str(small) in state(name)["reason"]
    assert "paused" in run("status", name).stdout
    time.sleep(1.5)
    assert state(name)["state"] == "paused"
    ballast.unlink()
    shell.child.expect("WROTE=0", timeout=60)
    wait_for_state(name, "running")
    shell.child.expect(PROMPT)
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    assert guest_md5(shell, "/dev/vda", 24) == wanted
    assert shell.power_off() == 0
    copy = tmp_path / "copy.raw"
    assert run("disk", "convert", small, copy,
               *(["--secret", word] if locked else [])).returncode == 0
    with open(copy, "rb") as file:
        assert md5(file.read(24 * MIB)) == wanted


@pytest.mark.parametrize("end", ["stop", "reset"])
@pytest.mark.parametrize("small", ["raw"], indirect=True)
def test_ends_while_it_waits_for_room(linux, small, end):
    name = f"full-{end}-{os.getpid()}"
    shell = boot(linux, "--name", name, "--disk", small)
    shell.child.sendline("dd if=/dev/zero of=/dev/vda bs=1M 2>/dev/null & ")
    shell.child.expect(PROMPT)
    wait_for_state(name, "paused")
    if end == "reset":
        assert run("reset", name).returncode == 0
        shell.wait()
        assert state(name)["state"] == "running"
        assert shell.power_off() == 0
    else:
        assert run("stop", "--force", name).returncode == 0
        assert status_of(shell.child) == 0


@pytest.mark.parametrize("number", range(3))
def test_what_a_write_ended_with_outlives_a_kill(linux, tmp_path, number):
    """Also what the disk had still to do then, for whoever comes next."""
    path, copy = tmp_path / "disk.img", tmp_path / "copy.img"
    path.write_bytes(b"\xff" * (16 * MIB))
    shell = boot(linux, "--disk", f"{path},cache=none")
    shell.run(f"yes kill-{number} | head -c {8 * MIB} > /tmp/r")
    shell.child.sendline("dd if=/tmp/r of=/dev/vda bs=1M oflag=direct "
                         "2>/dev/null; echo DO''NE")
    shell.child.expect("DONE")
    os.kill(machine_of(shell.child), signal.SIGKILL)
    made = run("disk", "convert", path, copy)
    assert made.returncode == 0, made.stderr
    shell.child.close(force=True)
    data = copy.read_bytes()
    line = f"kill-{number}\n".encode()
    assert data[:8 * MIB] == (line * (8 * MIB // len(line) + 1))[:8 * MIB]
    assert data[8 * MIB:] == b"\xff" * (8 * MIB)


# --- cache modes, limits, formats -------------------------------------------

@pytest.mark.parametrize("options", ["cache=none", "cache=writethrough",
                                     "cache=unsafe", "iops=300,bps=8M"])
@pytest.mark.parametrize("suffix", ["img", "qcow2"])
def test_options(linux, tmp_path, suffix, options):
    path = tmp_path / f"disk.{suffix}"
    made = run("disk", "create", path, "48M")
    assert made.returncode == 0, made.stderr
    shell = boot(linux, "--cpus", 2, "--disk", f"{path},{options}")
    wrote = copy_random(shell, "/dev/vda")
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    whole = guest_md5(shell, "/dev/vda")
    assert shell.power_off() == 0
    copy = tmp_path / "copy.raw"
    assert run("disk", "convert", path, copy).returncode == 0
    data = copy.read_bytes()
    assert md5(data) == whole
    assert md5(data[16 * MIB:24 * MIB]) == wrote


def test_names_the_holder(linux, image):
    shell = boot(linux, "--disk", image)
    result = run("run", "--disk", f"{image},readonly")
    assert result.returncode == 1
    assert (f"in use by process {machine_of(shell.child)} (lodge run" in
            result.stderr)
    assert shell.power_off() == 0


def test_copy_on_read(linux, image, tmp_path):
    """What the guest has read is in the overlay, and only that."""
    overlay = tmp_path / "thin.qcow2"
    made = run("disk", "create", "--backing", image, "--backing-format",
               "raw", overlay)
    assert made.returncode == 0, made.stderr
    shell = boot(linux, "--disk", f"{overlay},copy-on-read")
    text = shell.run("dd if=/dev/vda bs=1M count=2 2>/dev/null | md5sum")
    assert text.split()[0] == md5(image.read_bytes()[:2 * MIB])
    wrote = copy_random(shell, "/dev/vda")
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    text = shell.run("dd if=/dev/vda bs=1M skip=16 count=8 2>/dev/null | "
                     "md5sum")
    assert text.split()[0] == wrote
    assert shell.power_off() == 0
    subprocess.run(["qemu-img", "rebase", "-u", "-b", "", overlay],
                   check=True)
    flat = tmp_path / "flat"
    subprocess.run(["qemu-img", "convert", "-O", "raw", overlay, flat],
                   check=True)
    data = flat.read_bytes()
    assert data[:2 * MIB] == image.read_bytes()[:2 * MIB]
    assert data[3 * MIB:4 * MIB] == bytes(MIB)
    assert md5(data[16 * MIB:24 * MIB]) == wrote
