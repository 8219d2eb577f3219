# SPDX-License-Identifier: Apache-2.0
"""Disks of running machines that are folded into what they stand on, or come
to stand on something else."""
import json
import pathlib
import shutil
import signal
import subprocess

import pytest

import tiny
from conftest import LODGE, run, spawn, status_of
from test_disk_tool import MIB, digest, facts, fill, good
from test_linux import boot
from test_usage import refused

pytestmark = [
    pytest.mark.skipif(not shutil.which("qemu-io"), reason="needs qemu-io"),
    pytest.mark.usefixtures("runtime"),
]


def chain_of(folder, size=32 * MIB, base="base.qcow2"):
    """base, mid on base, top on mid, each with some content of its own."""
    raw = fill(folder / "content.raw", size, 40)
    paths = [folder / base, folder / "mid.qcow2", folder / "top.qcow2"]
    good("convert", raw, paths[0])
    for below, path in zip(paths, paths[1:]):
        good("create", path, "--backing", below.name)
    for path, byte in ((paths[1], 0x51), (paths[2], 0x52)):
        where = [f"write -q -P {byte} {at}k {at % 130 + 3}k"
                 for at in range(byte, size // 1024 - 200, 1111 + byte)]
        where.append(f"write -q -z {byte}M 512k" if size > 96 * MIB
                     else f"write -q -z {byte % 8}M 512k")
        subprocess.run(["qemu-io", "-f", "qcow2"]
                       + [word for w in where for word in ("-c", w)]
                       + [path], check=True, stdout=subprocess.DEVNULL)
    return paths


def content(path, *words):
    raw = pathlib.Path(f"{path}.raw")
    raw.unlink(missing_ok=True)
    good("convert", path, raw, *words)
    return digest(raw)


def disk_of(name="web"):
    return json.loads(run("status", "--json", name).stdout)["disks"][0]


def chain(name="web"):
    disk = disk_of(name)
    return [pathlib.Path(p).name for p in [disk["path"], *disk["chain"]]]


@pytest.fixture(name="idle")
def fixture_idle(make_kernel):
    """Machines that do nothing, with such disks."""
    children = []

    def start(*disks, name="web"):
        words = [w for d in disks for w in ("--disk", d)]
        child = subprocess.Popen([LODGE, *make_kernel(tiny.HALT), "--name",
                                  name, "--serial", "none", *words],
                                 stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL)
        children.append(child)
        while run("status", name).returncode:
            assert child.poll() is None
        return child
    yield start
    for child in children:
        child.kill()
        child.wait()


# --- under a guest that writes and verifies ----------------------------------

WORK = """n=0
while [ ! -e /tmp/end ]; do
    n=$((n + 1))
    dd if=/dev/urandom of=/tmp/r bs=24k count=1
    at=$((n * 37 % 1300))
    dd if=/tmp/r of=$1 bs=24k seek=$at conv=notrunc,fsync
    echo 3 > /proc/sys/vm/drop_caches
    dd if=$1 bs=24k skip=$at count=1 | cmp - /tmp/r || echo BAD >> /tmp/bad
    echo $n > /tmp/n
done 2>/dev/null
"""


@pytest.mark.parametrize("bus,device,work", [
    ("virtio", "/dev/vda", "commit"),
    ("nvme", "/dev/nvme0n1", "commit"),
    ("virtio", "/dev/vda", "rebase"),
    ("nvme", "/dev/nvme0n1", "rebase"),
])
def test_under_a_guest_that_writes(linux, tmp_path, bus, device, work):
    _, mid, top = chain_of(tmp_path)
    shell = boot(linux, "--cpus", 2, "--name", "web", "--disk",
                 f"{top},bus={bus}")
    for line in WORK.splitlines():
        shell.run(f"echo '{line}' >> /tmp/work")
    shell.run(f"sh /tmp/work {device} > /dev/null 2>&1 & echo $! > /tmp/p")
    words = ["commit", "--base", tmp_path / "base.qcow2"] \
        if work == "commit" else ["rebase", "--none"]
    result = run(*words, "--speed", "16M", "web", timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    last = tmp_path / "base.qcow2" if work == "commit" else top
    assert chain() == [last.name]
    assert (mid.exists(), top.exists()) == \
        ((False, False) if work == "commit" else (True, True))
    shell.run("n=$(cat /tmp/n); while [ $(cat /tmp/n) -lt $((n + 3)) ]; do "
              "sleep 0.1; done; touch /tmp/end; wait")
    shell.run("! test -e /tmp/bad && echo 3 > /proc/sys/vm/drop_caches")
    seen = shell.run(f"sha256sum < {device}").split()[0]
    shell.run("! dmesg | grep -iE 'I/O error|blk_update'")
    assert shell.power_off() == 0
    good("check", last)
    assert content(last) == seen


# --- on a machine that does nothing ------------------------------------------

@pytest.mark.parametrize("words,after", [
    (["commit"], ["mid.qcow2", "base.qcow2"]),
    (["commit", "--base", "{}/base.qcow2"], ["base.qcow2"]),
    (["rebase", "--backing", "base.qcow2"], ["top.qcow2", "base.qcow2"]),
    (["rebase", "--backing", "other.raw"], ["top.qcow2", "other.raw"]),
    (["rebase", "--none"], ["top.qcow2"]),
])
@pytest.mark.parametrize("more", ["", ",copy-on-read"])
def test_content_stays(tmp_path, idle, words, after, more):
    top = chain_of(tmp_path, 8 * MIB)[2]
    fill(tmp_path / "other.raw", 2 * MIB, 9, seed=7)
    before = content(top)
    child = idle(f"{top}{more}")
    words = [w.format(tmp_path) for w in words]
    result = run(*words, "web")
    assert (result.returncode, result.stderr) == (0, "")
    assert chain() == after
    assert top.exists() == (words[0] == "rebase")
    assert run("stop", "--force", "web").returncode == 0
    child.wait()
    last = tmp_path / after[0]
    good("check", last)
    assert content(last) == before
    below = facts(last)["details"].get("backing", "")
    assert below == (after[1] if after[1:] else "")


QUICK = ["--option", "iterations=1000", "--to-secret", "{}/word"]


@pytest.mark.parametrize("name,options", [
    ("base.luks", ["--option", "version=1", *QUICK]),
    ("base.qcow2", QUICK),
    ("base.qcow2", ["--option", "data_file=base.data"]),
    ("base.vhdx", []),
    ("base.vmdk", []),
    ("base.vmdk", ["--option", "subformat=monolithicFlat"]),
    ("base.vmdk", ["--option", "subformat=twoGbMaxExtentSparse"]),
])
def test_into_all_kinds_of_bases(tmp_path, idle, name, options):
    """Encrypted ones, and those of several files."""
    word = tmp_path / "word"
    word.write_text("open sesame")
    secret = ["--secret", word] if "--to-secret" in options else []
    raw = fill(tmp_path / "content.raw", 8 * MIB, 40)
    base, top = tmp_path / name, tmp_path / "top.qcow2"
    good("convert", raw, base, *[w.format(tmp_path) for w in options])
    good("create", top, "8M")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 7 100k 3M",
                    "-c", "write -q -z 5M 1M", top], check=True)
    good("rebase", "--unsafe", "--backing", name, *secret, top)
    before = content(top, *secret)
    child = idle(f"{top},secret={word}" if secret else top)
    result = run("commit", "web")
    assert (result.returncode, result.stderr) == (0, "")
    assert chain() == [name]
    assert run("stop", "--force", "web").returncode == 0
    child.wait()
    assert not top.exists()
    if name != "base.luks":
        good("check", base)
    assert content(base, *secret) == before


@pytest.mark.parametrize("words", [["commit", "--base", "{}/base.qcow2"],
                                   ["rebase", "--none"]])
def test_killed_in_the_middle(tmp_path, idle, words):
    paths = chain_of(tmp_path)
    before = content(paths[2])
    child = idle(paths[2])
    work = subprocess.Popen([LODGE, *[w.format(tmp_path) for w in words],
                             "--speed", "1M", "web"],
                            stderr=subprocess.DEVNULL)
    while True:
        job = json.loads(run("job", "--json", "web").stdout)
        if job["state"] != "none" and job["done"] >= 2 * MIB:
            break
    assert job["state"] == "works"
    child.kill()
    child.wait()
    assert work.wait(30) == 1
    for path in paths:
        good("check", "--repair", path)
    assert content(paths[2]) == before
    idle(paths[2])
    assert run(*[w.format(tmp_path) for w in words], "web").returncode == 0


def test_speed_look_and_cancel(tmp_path, idle):
    top = chain_of(tmp_path)[2]
    idle(top)
    assert run("job", "web").stdout == "nothing is done to a disk\n"
    refused(run("job", "--cancel", "web"), 1, "no work")
    work = subprocess.Popen([LODGE, "rebase", "--none", "--speed", "64K",
                             "web"], stderr=subprocess.PIPE, text=True)
    while json.loads(run("job", "--json", "web").stdout)["state"] == "none":
        pass
    text = run("job", "web").stdout
    for words in ("rebase", str(top), "works", "64 KiB/s"):
        assert words in text
    refused(run("job", "--finish", "web"), 1, "not all is copied yet")
    refused(run("commit", "web"), 1, "there is a rebase of disk")
    assert run("job", "--speed", "0", "web").returncode == 0
    assert work.wait(60) == 0
    assert chain() == ["top.qcow2"]


def test_interrupted_the_disk_stays(tmp_path, idle):
    top = chain_of(tmp_path)[2]
    before = content(top)
    child = idle(top)
    work = spawn("commit", "--speed", "64K", "web")
    work.expect("committing")
    work.kill(signal.SIGINT)
    assert status_of(work) == 1
    assert "interrupted" in work.before
    assert chain() == ["top.qcow2", "mid.qcow2", "base.qcow2"]
    # Another one says when it is ended from elsewhere.
    work = spawn("rebase", "--none", "--speed", "64K", "web")
    work.expect("rebasing")
    assert run("job", "--cancel", "web").returncode == 0
    assert status_of(work) == 1
    assert "somebody else ended it" in work.before
    child.kill()
    child.wait()
    assert content(top) == before


def test_keep(tmp_path, idle):
    top = chain_of(tmp_path, 8 * MIB)[2]
    idle(top)
    result = run("commit", "--keep", "--json", "web")
    assert json.loads(result.stdout) == {"removed": False}
    assert chain() == ["mid.qcow2", "base.qcow2"]
    assert top.exists()


def test_what_is_refused(tmp_path, idle):
    base, _, top = chain_of(tmp_path, 8 * MIB)
    other = tmp_path / "other.qcow2"
    good("create", other, "--backing", base.name)
    idle(top)
    user = idle(other, name="db")
    refused(run("commit", "web", "--base", base), 1, str(base),
            f"in use by process {user.pid}")
    assert chain() == ["top.qcow2", "mid.qcow2", "base.qcow2"]
    refused(run("commit", "web", "--base", other), 1, "none of the images")
    refused(run("commit", "web", "--disk", "x"), 1, "no disk")
    refused(run("commit", "web", "x"), 2, "usage:")
    refused(run("rebase", "web"), 2, "--backing PATH or --none")
    refused(run("rebase", "web", "--backing", "gone.qcow2"), 1, "gone.qcow2",
            "missing")
    assert run("commit", "web").returncode == 0
    refused(run("commit", "web"), 1, "in use by process")
    refused(run("rebase", "db", "--backing", "/etc/hosts"), 1, "outside")
    assert run("rebase", "db", "--none").returncode == 0
    refused(run("rebase", "db", "--none"), 1, "stands on no other image")
    refused(run("commit", "db"), 1, "stands on no other image")
    assert chain() == ["mid.qcow2", "base.qcow2"]


def test_snapshots_are_not_removed(tmp_path, idle):
    top = chain_of(tmp_path, 8 * MIB, "base.vdi")[2]
    before = content(top)
    good("snapshot", "create", top, "s")
    child = idle(top)
    refused(run("commit", "web"), 1, "internal snapshots")
    assert chain() == ["top.qcow2", "mid.qcow2", "base.vdi"]
    assert run("commit", "--keep", "web", "--base",
               tmp_path / "base.vdi").returncode == 0
    assert chain() == ["base.vdi"]
    assert run("stop", "--force", "web").returncode == 0
    child.wait()
    assert content(tmp_path / "base.vdi") == before


# --- limits ------------------------------------------------------------------

def limits(*words):
    result = run("limit", "--json", "web", *words)
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    return found["iops"], found["bps"], found["burst"]


def test_limits_of_a_running_machine(tmp_path, idle):
    one = fill(tmp_path / "a.img", MIB, 1)
    idle(f"{one},iops=300,burst=2s")
    assert limits() == (300, 0, 2000)
    assert run("limit", "web", "bps=50M", "burst=500ms").stdout == ""
    assert limits() == (300, 50 << 20, 500)
    assert limits("iops=0", "bps=0") == (0, 0, 500)
    text = run("limit", "web").stdout
    assert "requests   no limit\nbytes      no limit\n" in text
    other = fill(tmp_path / "b.img", MIB, 1)
    assert run("attach", "web", "disk",
               f"{other},name=data,bps=1M,burst=1s").returncode == 0
    refused(run("limit", "web"), 1, "which disk?")
    assert limits("--disk", "data") == (0, 1 << 20, 1000)
    assert limits("--disk", one, "iops=5") == (5, 0, 500)
    assert limits("--disk", "data") == (0, 1 << 20, 1000)


@pytest.mark.parametrize("words,about", [
    (["iops=x"], "a number of requests"),
    (["bps=7"], "as 100M"),
    (["burst=0s"], "such as 500ms"),
    (["burst=61s"], "60s at most"),
    (["speed=5"], "unknown word"),
    (["--disk", "x"], "no disk x"),
    ([], None),
])
def test_bad_limits(tmp_path, idle, words, about):
    if about is None:
        refused(run("limit"), 2, "usage:")
        return
    idle(fill(tmp_path / "a.img", MIB, 1))
    refused(run("limit", "web", *words), 1 if "disk" in about else 2, about)


def test_a_limit_holds_a_guest(linux, tmp_path):
    """With ten requests in a second thirty of them take two more."""
    image = fill(tmp_path / "a.img", 8 * MIB, 1)
    shell = boot(linux, "--name", "web", "--disk", image)
    read = ("for i in $(seq 30); do echo 3 > /proc/sys/vm/drop_caches; "
            "dd if=/dev/vda of=/dev/null bs=4k count=1 skip=$((i * 60)) "
            "2>/dev/null; done; cut -d' ' -f1 /proc/uptime")
    assert run("limit", "web", "iops=10").returncode == 0
    begin = float(shell.run("cut -d' ' -f1 /proc/uptime"))
    assert float(shell.run(read)) - begin >= 2
    assert run("limit", "web", "iops=0").returncode == 0
    shell.run(read)
    assert shell.power_off() == 0
