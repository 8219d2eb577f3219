# SPDX-License-Identifier: Apache-2.0
"""Images of a real Ceph cluster: a monitor and a store in memory, both here and
on the loopback interface alone. With LODGE_CEPH=1 (make rbd); test_rbd.py has
the rest, with a library that plays the cluster.
"""
import json
import os
import shutil
import socket
import subprocess
import uuid

import pytest

from conftest import LODGE, kill, run
from test_disk import copy_random
from test_disk_tool import MIB, digest, fill, good
from test_linux import boot
from test_usage import refused

SIZE = 48 * MIB
PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "rbd", "monmaptool")

pytestmark = [
    pytest.mark.skipif(not os.environ.get("LODGE_CEPH"),
                       reason="LODGE_CEPH is not set: see make rbd"),
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)),
                       reason="packages ceph-mon, ceph-osd are missing"),
    pytest.mark.skipif(not (LODGE.parent / "lodge-rbd.so").exists(),
                       reason="built without librbd")]

CONF = """[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{port}/0]
mon_initial_members = a
public_network = 127.0.0.0/8
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data = {folder}/mon
mon_data_avail_crit = 1
mon_data_avail_warn = 2
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 1073741824
run_dir = {folder}
admin_socket = {folder}/$name.$pid.asok
log_file = {folder}/$name.log
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Cluster:
    """One node; its processes end with it."""

    def __init__(self, folder):
        self.folder, self.children = folder, []
        self.conf = folder / "ceph.conf"
        self.port = free_port()
        self.fsid, self.store = str(uuid.uuid4()), str(uuid.uuid4())
        self.conf.write_text(CONF.format(fsid=self.fsid, folder=folder,
                                         port=self.port))
        for name in ("mon", "osd"):
            (folder / name).mkdir()

    def call(self, program, *words):
        done = subprocess.run([program, "-c", self.conf, *map(str, words)],
                              capture_output=True, text=True, timeout=120,
                              check=False)
        assert done.returncode == 0, (program, words, done.stderr)
        return done.stdout

    def begin(self, program, *words):
        self.children.append(subprocess.Popen(
            [program, "-c", self.conf, "-f", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))

    def start(self):
        monitors = self.folder / "monitors"
        subprocess.run(["monmaptool", "--create", "--fsid", self.fsid,
                        "--addv", "a", f"[v2:127.0.0.1:{self.port}]", monitors],
                       check=True, capture_output=True)
        self.call("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors)
        self.begin("ceph-mon", "-i", "a")
        self.call("ceph", "osd", "new", self.store)
        self.call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", self.store)
        self.begin("ceph-osd", "-i", "0")
        self.call("ceph", "osd", "pool", "create", "vms", "8")
        self.call("rbd", "pool", "init", "vms")

    def stop(self):
        for child in reversed(self.children):
            child.kill()
            child.wait()


@pytest.fixture(scope="module", name="cluster")
def fixture_cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("ceph"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def address(cluster, image):
    return f"rbd:vms/{image}:conf={cluster.conf}"


def exported(cluster, image, path):
    """What Ceph's own program says that an image holds."""
    path.unlink(missing_ok=True)
    cluster.call("rbd", "export", f"vms/{image}", path)
    return digest(path)


def test_making_reading_writing(cluster, tmp_path):
    model, there = fill(tmp_path / "model", SIZE, 40), address(cluster, "one")
    good("convert", model, there)
    good("compare", model, there)
    assert exported(cluster, "one", tmp_path / "out") == digest(model)
    facts = json.loads(good("info", "--json", there))
    assert (facts["size"], facts["format"]) == (SIZE, "raw")
    assert facts["allocated"] <= SIZE
    extents = json.loads(good("map", "--json", there))
    assert sum(e["length"] for e in extents) == SIZE
    refused(run("disk", "create", there, "10M"), 1, "there already")
    refused(run("disk", "info", address(cluster, "gone")), 1, "no such image")
    cluster.call("rbd", "import", model, "vms/theirs")
    good("compare", model, address(cluster, "theirs"))


def test_sizes(cluster, tmp_path):
    there = address(cluster, "sizes")
    good("create", there, "10M")
    refused(run("disk", "resize", there, "5M"), 1, "--shrink")
    for word, size in (("30M", 30), ("20M", 20), ("41M", 41)):
        good("resize", "--shrink", there, word)
        info = json.loads(cluster.call("rbd", "info", "--format", "json",
                                       "vms/sizes"))
        assert info["size"] == size * MIB
    assert exported(cluster, "sizes", tmp_path / "out")
    assert not any((tmp_path / "out").read_bytes())


def test_snapshots_and_other_formats(cluster, tmp_path):
    model, there = fill(tmp_path / "model", SIZE, 30), address(cluster, "two")
    good("convert", model, there, "--to", "qcow2")
    good("check", "--format", "qcow2", there)
    good("snapshot", "create", "--format", "qcow2", there, "inner")
    good("convert", "--from", "qcow2", there, tmp_path / "back.raw")
    assert digest(tmp_path / "back.raw") == digest(model)
    good("convert", model, address(cluster, "plain"))
    cluster.call("rbd", "snap", "create", "vms/plain@s1")
    good("resize", "--shrink", address(cluster, "plain"), "1M")
    good("compare", address(cluster, "plain@s1"), model)
    refused(run("disk", "resize", address(cluster, "plain@s1"), "2M"), 1,
            "is a snapshot")


def test_a_guest_and_a_kill(cluster, tmp_path, linux):
    """What was flushed is there; the lock is the next one's in a while."""
    good("create", address(cluster, "guest"), "48M")
    shell = boot(linux, "--name", "web", "--disk", address(cluster, "guest"))
    wrote = copy_random(shell, "/dev/vda")
    shell.run("blkdiscard -o 8388608 -l 1048576 /dev/vda")
    refused(run("disk", "resize", address(cluster, "guest"), "64M"), 1,
            "is in use by")
    kill(shell.child)
    exported(cluster, "guest", tmp_path / "out")
    with open(tmp_path / "out", "rb") as file:
        file.seek(16 * MIB)
        (tmp_path / "part").write_bytes(file.read(8 * MIB))
    assert subprocess.run(["md5sum", tmp_path / "part"], capture_output=True,
                          check=True, text=True).stdout.split()[0] == wrote
    for _ in range(90):
        if run("disk", "resize", address(cluster, "guest"),
               "64M").returncode == 0:
            break
    else:
        pytest.fail("the dead one's lock is never given up")


def test_overlays_and_live_work(cluster, tmp_path, linux):
    """A machine on an overlay of an image moves into it, and elsewhere."""
    model = fill(tmp_path / "model", SIZE, 30)
    below, top = address(cluster, "base"), tmp_path / "top.qcow2"
    good("convert", model, below)
    good("create", top, "--backing", below)
    good("compare", "--folder", below, top, model)
    shell = boot(linux, "--name", "web", "--disk", f"{top},folder={below}")
    copy_random(shell, "/dev/vda")
    result = run("commit", "web")
    assert (result.returncode, result.stderr) == (0, "")
    assert not top.exists()
    copy_random(shell, "/dev/vda", seek=30)
    result = run("mirror", "web", address(cluster, "moved"))
    assert (result.returncode, result.stderr) == (0, "")
    shell.run("dd if=/dev/urandom of=/dev/vda bs=64k count=9 conv=fsync "
              "2>/dev/null")
    seen = shell.run("md5sum < /dev/vda").split()[0]
    assert shell.power_off() == 0
    exported(cluster, "moved", tmp_path / "out")
    assert subprocess.run(["md5sum", tmp_path / "out"], capture_output=True,
                          check=True, text=True).stdout.split()[0] == seen
    good("create", top, "--backing", below)
    good("commit", "--folder", below, top)
