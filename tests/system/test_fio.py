# SPDX-License-Identifier: Apache-2.0
"""fio in a guest, on disks with images of several formats: it writes blocks of
several sizes at random places, many at a time, each with a checksum and its
place, and reads them back, while it writes and afterwards."""
import os
import shutil
import subprocess
import sys

import pytest

from conftest import BUILD, ENGINE, SOURCE, run

SIZE = "48M"

# Each gets a disk of its own: what the image is, and how it is given.
DISKS = {
    "raw": ("raw", "cache=writeback"),
    "direct": ("raw", "cache=none"),
    "thin": ("qcow2", "cache=writeback"),
    "nvme": ("qcow2", "cache=none,bus=nvme"),
    "luks": ("luks", "cache=writeback"),
}

JOB = """\
[global]
ioengine=libaio
thread=1
direct=1
iodepth=32
iodepth_batch_submit=8
size=32m
io_size=16m
bsrange=512-1m
bssplit=512/10:4k/47:8k/20:64k/20:256k/2:1m/1
rw=randwrite
fsync=64
verify=crc32c
verify_fatal=1
verify_dump=0
verify_backlog=200
do_verify=1
randseed={seed}
"""

INIT = SOURCE / "bench" / "fio_init.sh"


@pytest.fixture
def guest(tmp_path):
    """Arguments for lodge; the guest runs the job and ends."""
    folder = BUILD / "guest" / "drivers"
    if not (folder / "initrd").exists():
        pytest.skip(f"no guest in {folder}: make guest-drivers")
    if not shutil.which("fio"):
        pytest.skip("package fio is missing")
    job, initrd = tmp_path / "fio.job", tmp_path / "initrd"
    names = iter("abcdefgh")
    text = JOB.format(seed=int.from_bytes(os.urandom(4), "big"))
    for name, (_, how) in DISKS.items():
        path = "nvme0n1" if "nvme" in how else f"vd{next(names)}"
        text += f"[{name}]\nfilename=/dev/{path}\n"
    job.write_text(text)
    words = ["--busybox", "/bin/busybox", "--program", shutil.which("fio"),
             "--file", f"{INIT}:/init", "--file", f"{job}:/fio.job"]
    modules = folder / "modules"
    for path in [modules / "order", *modules.glob("*.ko")]:
        words += ["--file", f"{path}:/lib/modules/{path.name}"]
    subprocess.run([sys.executable, SOURCE / "guests" / "make_initrd.py",
                    initrd, *words], check=True)
    return ["run", "--kernel", folder / "vmlinux", "--initrd", initrd,
            "--engine", ENGINE, "--memory", "512M", "--no-reboot",
            "--append", "console=ttyS0 quiet cryptomgr.notests panic=-1"]


def make_disks(folder):
    secret = folder / "secret"
    secret.write_text("secret")
    args = []
    for name, (kind, how) in DISKS.items():
        path = folder / name
        words = ["--secret", secret] if kind == "luks" else []
        made = run("disk", "create", "--format", kind, path, SIZE, *words)
        assert made.returncode == 0, made.stderr
        key = f",secret={secret}" if kind == "luks" else ""
        args += ["--disk", f"{path},format={kind},{how}{key}"]
    return args


@pytest.mark.parametrize("cpus", [1, 2])
def test_what_fio_writes_is_there(guest, tmp_path, cpus):
    result = run(*guest, "--cpus", cpus, *make_disks(tmp_path), timeout=240)
    assert result.returncode == 0, result.stderr
    assert "fio: status 0" in result.stdout, result.stdout
    lines = [line.split(";") for line in result.stdout.splitlines()
             if line.startswith("3;fio-")]
    # Of each job the name, its error, and KiB that it has read and written.
    assert {line[2]: line[4] for line in lines} == {
        name: "0" for name in DISKS}
    assert all(int(line[46]) >= 16 * 1024 for line in lines)
    assert all(int(line[5]) >= int(line[46]) for line in lines)
    for name, (kind, _) in DISKS.items():
        if kind == "qcow2":
            checked = run("disk", "check", "--format", kind,
                          tmp_path / name)
            assert checked.returncode == 0, checked.stdout
