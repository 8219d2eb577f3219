# SPDX-License-Identifier: Apache-2.0
"""Disks of running machines that move to other images."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess

import pytest

import tiny
from conftest import LODGE, run, spawn, status_of
from test_disk import copy_random
from test_disk_tool import MIB, fill, good
from test_linux import boot
from test_usage import refused

pytestmark = pytest.mark.usefixtures("runtime")


def md5(path):
    return hashlib.md5(pathlib.Path(path).read_bytes()).hexdigest()


def disks(name="web"):
    result = run("status", "--json", name)
    return [d["path"] for d in json.loads(result.stdout)["disks"]]


@pytest.fixture(name="idle")
def fixture_idle(make_kernel):
    """A machine that does nothing, with such disks."""
    children = []

    def start(*paths):
        words = [w for p in paths for w in ("--disk", p)]
        child = subprocess.Popen([LODGE, *make_kernel(tiny.HALT), "--name",
                                  "web", "--serial", "none", *words],
                                 stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL)
        children.append(child)
        while run("status", "web").returncode:
            assert child.poll() is None
        return child
    yield start
    for child in children:
        child.kill()
        child.wait()


# --- under a guest that writes -----------------------------------------------

@pytest.mark.parametrize("ending", ["raw", "qcow2", "vdi"])
def test_a_disk_moves_under_its_guest(linux, tmp_path, ending):
    source = fill(tmp_path / "a.img", 64 * MIB, 100)
    target = tmp_path / f"b.{ending}"
    shell = boot(linux, "--cpus", 2, "--name", "web", "--disk", source)
    shell.run("(while :; do dd if=/dev/urandom of=/dev/vda bs=64k count=100 "
              "seek=300 conv=notrunc; done) >/dev/null 2>&1 & echo $! > /tmp/p")
    result = run("mirror", "web", target, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    assert disks() == [str(target)]
    shell.run("kill $(cat /tmp/p); wait")
    before = md5(source)
    wrote = copy_random(shell, "/dev/vda")
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    content = shell.run("md5sum < /dev/vda").split()[0]
    assert shell.run("dd if=/dev/vda bs=1M skip=16 count=8 2>/dev/null "
                     "| md5sum").split()[0] == wrote
    shell.run("! dmesg | grep -iE 'I/O error|blk_update'")
    assert shell.power_off() == 0
    assert md5(source) == before
    good("convert", target, tmp_path / "c.raw")
    assert md5(tmp_path / "c.raw") == content


def test_a_copy_of_a_moment(linux, tmp_path):
    source = fill(tmp_path / "a.img", 32 * MIB, 50)
    target = tmp_path / "b.qcow2"
    shell = boot(linux, "--name", "web", "--disk", source)
    copy_random(shell, "/dev/vda")
    content = shell.run("sync; md5sum < /dev/vda").split()[0]
    result = run("mirror", "--keep", "--json", "web", target)
    assert json.loads(result.stdout) == {"target": str(target),
                                         "moved": False}
    copy_random(shell, "/dev/vda")
    assert disks() == [str(source)]
    assert shell.power_off() == 0
    good("convert", target, tmp_path / "c.raw")
    assert md5(tmp_path / "c.raw") == content != md5(source)


# --- on a machine that does nothing ------------------------------------------

def test_the_old_image_is_free_and_the_new_one_in_use(tmp_path, idle):
    source = fill(tmp_path / "a.img", 8 * MIB, 5)
    target = tmp_path / "b.img"
    idle(source)
    assert run("mirror", "web", target).returncode == 0
    good("resize", source, "9M")
    refused(run("disk", "resize", target, "9M"), 1, "in use")


def test_interrupted_it_leaves_nothing(tmp_path, idle):
    source = tmp_path / "a.img"
    source.write_bytes(os.urandom(MIB) * 600)
    target = tmp_path / "b.img"
    idle(source)
    child = spawn("mirror", "web", target)
    child.expect("mirroring")
    child.kill(signal.SIGINT)
    if status_of(child) == 0:
        pytest.skip("it was too quick")
    assert "interrupted" in child.before
    assert not target.exists()
    assert disks() == [str(source)]


def test_which_disk(tmp_path, idle):
    one = fill(tmp_path / "a.img", MIB, 1)
    other = fill(tmp_path / "b.img", MIB, 1, seed=2)
    target = tmp_path / "c.img"
    idle(one, other)
    refused(run("mirror", "web", target), 1, "which disk?")
    refused(run("mirror", "web", target, "--disk", tmp_path / "d"), 1,
            "no disk", "d;")
    assert run("mirror", "web", target, "--disk", other).returncode == 0
    assert disks() == [str(one), str(target)]
    assert md5(target) == md5(other)


def test_an_attached_disk(tmp_path, idle):
    one = fill(tmp_path / "a.img", MIB, 1)
    other = fill(tmp_path / "b.img", MIB, 1, seed=2)
    target = tmp_path / "c.img"
    idle(one)
    assert run("attach", "web", "disk", f"{other},name=data").returncode == 0
    assert run("mirror", "web", target, "--disk", "data").returncode == 0
    assert disks() == [str(one), str(target)]
    assert run("detach", "--force", "web", "data").returncode == 0
    assert disks() == [str(one)]
    good("resize", target, "2M")


def test_what_is_refused(tmp_path, idle):
    source = fill(tmp_path / "a.img", MIB, 1)
    idle(source)
    taken = tmp_path / "taken.img"
    taken.write_text("mine")
    refused(run("mirror", "web", taken), 1, "there already")
    refused(run("mirror", "web", tmp_path / "no" / "b.img"), 1,
            "its folder is missing")
    refused(run("mirror", "web", tmp_path / "b.img", "--format", "x"), 1,
            'unknown format "x"')
    refused(run("mirror", "none", tmp_path / "b.img"), 1, "none")
    refused(run("mirror", "web"), 2, "usage:")
    assert taken.read_text() == "mine"
    assert not (tmp_path / "b.img").exists()


def test_status_tells_the_disks(tmp_path, idle):
    source = fill(tmp_path / "a.img", MIB, 1)
    idle(source)
    text = run("status", "web").stdout
    assert f"disk       {source}, raw, 1 MiB\n" in text
