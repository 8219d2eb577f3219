# SPDX-License-Identifier: Apache-2.0
"""Images of Ceph clusters, with a library that keeps them in a folder
(tests/fake_rbd), so that no cluster is needed."""
import json
import shutil
import subprocess

import pytest

import tiny
from conftest import LODGE, run
from test_disk import copy_random
from test_disk_tool import MIB, digest, fill, good
from test_linux import boot
from test_usage import refused

FAKE = LODGE.parent / "tests" / "fake_rbd"
SIZE = 32 * MIB

pytestmark = pytest.mark.skipif(not (LODGE.parent / "lodge-rbd.so").exists(),
                                reason="built without librbd")


@pytest.fixture(autouse=True)
def library(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(FAKE))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(name="pool")
def fixture_pool(tmp_path):
    """A cluster with the pool "pool" and in that the image "image"."""
    pool = tmp_path / "pool"
    pool.mkdir()
    (tmp_path / "ceph.conf").write_text("")
    (tmp_path / "fail").write_text("0")
    fill(pool / "image", SIZE, 30)
    return pool


def address(pool, image="image", *options):
    conf = str(pool.parent / "ceph.conf")
    return ":".join([f"rbd:{pool.name}/{image}", f"conf={conf}", *options])


def test_read_map_and_compare(tmp_path, pool):
    image = address(pool)
    facts = json.loads(good("info", "--json", image))
    assert (facts["size"], facts["format"]) == (SIZE, "raw")
    assert 0 < facts["allocated"] < SIZE
    good("convert", image, tmp_path / "a.qcow2")
    good("compare", tmp_path / "a.qcow2", image)
    good("compare", pool / "image", image)
    extents = json.loads(good("map", "--json", image))
    assert any(e["kind"] == "zero" for e in extents)
    assert any(e["kind"] == "data" for e in extents)
    assert sum(e["length"] for e in extents) == SIZE


def test_namespaces_snapshots_and_escapes(tmp_path, pool):
    odd = pool.parent / "a:b"
    (odd / "space").mkdir(parents=True)
    fill(odd / "space" / "x@y=z", MIB, 3)
    shutil.copy(odd / "space" / "x@y=z", odd / "space" / "x@y=z@s1")
    conf = str(pool.parent / "ceph.conf")
    image = rf"rbd:a\:b/space/x\@y\=z:conf={conf}:id=me"
    good("compare", odd / "space" / "x@y=z", image)
    image = rf"rbd:a\:b/space/x\@y\=z@s1:mon_host={pool.parent}"
    good("compare", odd / "space" / "x@y=z", image)
    refused(run("disk", "resize", image, "2M"), 1, "is a snapshot",
            "readonly")


def test_resize_and_formats(pool):
    image = address(pool)
    good("resize", image, "40M")
    assert (pool / "image").stat().st_size == 40 * MIB
    # A format inside: it grows as it is written.
    qcow2 = pool.parent / "x.qcow2"
    good("create", qcow2, "64M")
    shutil.copy(qcow2, pool / "inner")
    before = (pool / "inner").stat().st_size
    good("snapshot", "create", "--format", "qcow2", address(pool, "inner"),
         "s")
    assert "s" in good("snapshot", "list", "--format", "qcow2",
                       address(pool, "inner"))
    assert (pool / "inner").stat().st_size > before
    good("check", "--format", "qcow2", address(pool, "inner"))


def test_making_and_converting(tmp_path, pool):
    image = address(pool, "new")
    good("create", image, "10M")
    assert (pool / "new").stat().st_size == 10 * MIB
    refused(run("disk", "create", image, "10M"), 1, "there already")
    (pool / "new").unlink()
    source = fill(tmp_path / "a.raw", SIZE, 20)
    good("convert", source, image)
    good("compare", source, image)
    refused(run("disk", "convert", source, image), 1, "there already")
    inside = address(pool, "inside")
    good("convert", source, inside, "--to", "qcow2")
    good("check", "--format", "qcow2", inside)
    good("convert", inside, tmp_path / "b.raw", "--from", "qcow2")
    assert digest(tmp_path / "b.raw") == digest(source)
    # Without room nothing is left.
    (tmp_path / "fail").write_text("28")
    refused(run("disk", "convert", source, address(pool, "third")), 1,
            "no room")
    assert not (pool / "third").exists()
    (tmp_path / "fail").write_text("0")
    refused(run("disk", "create", "nbd://localhost/x", "1M"), 1,
            "nothing can be made")


def test_a_guests_disk(linux, tmp_path, pool):
    shell = boot(linux, "--cpus", 2, "--disk", address(pool))
    seen = shell.run("md5sum < /dev/vda").split()[0]
    assert seen == subprocess.run(["md5sum"], stdin=open(pool / "image", "rb"),
                                  capture_output=True, check=True,
                                  text=True).stdout.split()[0]
    wrote = copy_random(shell, "/dev/vda")
    shell.run("dd if=/dev/vda bs=4k count=1 skip=1 2>/dev/null | md5sum")
    shell.run("blkdiscard -o 8388608 -l 1048576 /dev/vda")
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    assert shell.run("dd if=/dev/vda bs=1M skip=16 count=8 2>/dev/null "
                     "| md5sum").split()[0] == wrote
    # What the cluster cannot write is the guest's error.
    (tmp_path / "fail").write_text("5")
    shell.run("! dd if=/dev/zero of=/dev/vda bs=64k count=1 conv=fsync "
              "2>/dev/null")
    (tmp_path / "fail").write_text("0")
    assert shell.power_off() == 0
    with open(pool / "image", "rb") as image:
        image.seek(8 * MIB)
        assert image.read(MIB) == bytes(MIB)


def test_a_full_cluster_pauses_the_machine(linux, tmp_path, pool):
    shell = boot(linux, "--name", "web", "--disk", address(pool))
    (tmp_path / "fail").write_text("28")
    shell.child.sendline("dd if=/dev/zero of=/dev/vda bs=64k count=1 "
                         "conv=fsync 2>/dev/null; echo wrote $?")
    while json.loads(run("status", "--json",
                         "web").stdout)["state"] != "paused":
        pass
    (tmp_path / "fail").write_text("0")
    shell.child.expect("wrote 0")
    shell.child.expect("# ")
    assert shell.power_off() == 0


def test_one_writer(pool, make_kernel):
    image = address(pool)
    child = subprocess.Popen([LODGE, *make_kernel(tiny.HALT), "--name", "web",
                              "--serial", "none", "--disk", image],
                             stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL)
    try:
        while run("status", "web").returncode:
            assert child.poll() is None
        refused(run("disk", "resize", image, "40M"), 1,
                "in use by client.4711")
        good("info", image)
    finally:
        child.kill()
        child.wait()
    good("resize", image, "40M")
    (pool / "image.unlocked").write_text("")
    refused(run("disk", "resize", image, "41M"), 1, "exclusive-lock")


@pytest.mark.parametrize("name,words", [
    ("rbd:", ["write rbd:POOL/IMAGE"]),
    ("rbd:pool", ["write rbd:POOL/IMAGE"]),
    ("rbd:pool/", ["write rbd:POOL/IMAGE"]),
    ("rbd:pool/image@", ["write rbd:POOL/IMAGE"]),
    ("rbd:pool/image:conf", ["has no value"]),
    ("rbd:pool/image:conf={}/gone.conf", ["gone.conf", "No such file"]),
    ("rbd:pool/image", [":conf=FILE"]),
    ("rbd:pool/image:mon_host=/nowhere", ["does not answer"]),
    ("rbd:pool/image:conf={}/ceph.conf:id=nobody", ["client.nobody"]),
    ("rbd:pool/image:conf={}/ceph.conf:colour=red", ['"colour"']),
    ("rbd:pool/image:conf={}/ceph.conf:key=c2VjcmV0", ["keyring=FILE"]),
    ("rbd:gone/image:conf={}/ceph.conf", ["no pool gone"]),
    ("rbd:pool/gone:conf={}/ceph.conf", ["no such image"]),
    ("rbd:pool/image@gone:conf={}/ceph.conf", ["snapshot"]),
])
def test_what_is_refused(pool, name, words):
    image = name.format(pool.parent)
    refused(run("disk", "info", image), 1, image, *words)


def test_an_overlay(tmp_path, pool):
    """On a snapshot, by the user's word."""
    shutil.copy(pool / "image", pool / "image@s1")
    below, top = address(pool, "image@s1"), tmp_path / "top.qcow2"
    good("create", top, "--backing", below)
    refused(run("disk", "map", top), 1, below, "--folder")
    good("compare", "--folder", below, top, pool / "image")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -z 1M 64k",
                    f"json:{{\"driver\": \"qcow2\", \"backing\": null, \"file\""
                    f": {{\"driver\": \"file\", \"filename\": \"{top}\"}}}}"],
                   check=True)
    refused(run("disk", "commit", "--folder", below, top), 1, "snapshot")


def md5_of(path):
    with open(path, "rb") as image:
        return subprocess.run(["md5sum"], stdin=image, capture_output=True,
                              check=True, text=True).stdout.split()[0]


def test_a_running_machine_commits(linux, tmp_path, pool):
    """Into the image of the cluster, which it has alone from then on; a
    snapshot keeps what it has. Without the sandbox: this cluster is files."""
    below, top = address(pool), tmp_path / "top.qcow2"
    good("create", top, "--backing", below)
    shell = boot(linux, "--name", "web", "--sandbox", "off",
                 "--disk", f"{top},folder={below}")
    copy_random(shell, "/dev/vda")
    result = run("commit", "web")
    assert (result.returncode, result.stderr) == (0, "")
    assert not top.exists()
    shell.run("dd if=/dev/urandom of=/dev/vda bs=64k count=9 seek=100 "
              "conv=fsync 2>/dev/null")
    refused(run("disk", "resize", below, "40M"), 1, "in use")
    seen = shell.run("md5sum < /dev/vda").split()[0]
    assert shell.power_off() == 0
    assert md5_of(pool / "image") == seen
    shutil.copy(pool / "image", pool / "image@s1")
    below = address(pool, "image@s1")
    good("create", top, "--backing", below)
    shell = boot(linux, "--name", "web", "--sandbox", "off",
                 "--disk", f"{top},folder={below}")
    refused(run("commit", "web"), 1, "is a snapshot")
    assert shell.run("md5sum < /dev/vda").split()[0] == seen
    assert shell.power_off() == 0


def test_attach_and_mirror(tmp_path, pool, make_kernel):
    source = fill(tmp_path / "a.img", MIB, 3)
    fill(pool / "other", MIB, 3, seed=4)
    child = subprocess.Popen([LODGE, *make_kernel(tiny.HALT), "--name", "web",
                              "--serial", "none", "--disk", source,
                              "--sandbox", "off"],  # the cluster is files
                             stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL)
    try:
        while run("status", "web").returncode:
            assert child.poll() is None
        result = run("attach", "web", "disk",
                     f"{address(pool, 'other')},name=far")
        assert (result.returncode, result.stderr) == (0, "")
        assert run("mirror", "--disk", "far", "web",
                   tmp_path / "b.qcow2").returncode == 0
        assert run("mirror", "--disk", source, "web",
                   address(pool, "new")).returncode == 0
        (tmp_path / "fail").write_text("5")
        refused(run("mirror", "--disk", "far", "web", address(pool, "bad")),
                1, "bad")
        assert not (pool / "bad").exists()
        (tmp_path / "fail").write_text("0")
        assert run("stop", "--force", "web").returncode == 0
    finally:
        child.kill()
        child.wait()
    good("compare", tmp_path / "b.qcow2", pool / "other")
    good("compare", source, pool / "new")
