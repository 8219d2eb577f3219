# SPDX-License-Identifier: Apache-2.0
"""lodge mirror and commit take a kept machine's disk elsewhere: its
configuration follows, whoever is killed meanwhile, and believes nobody else."""
import json
import os
import signal
import subprocess

import pytest

import tiny
from conftest import ENGINE, LODGE
from daemon import LODGED, wait_for
from kills import GONE, KILL_AT, KILLED, UNTRACED, sweep
from test_daemon_image import keep_image

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

MIB = 1 << 20


@pytest.fixture
def config(tmp_path):
    kernel = tmp_path / "idle.elf"
    kernel.write_bytes(tiny.kernel(tiny.HALT))
    for name in "a", "b":
        (tmp_path / f"{name}.img").write_bytes(name.encode() * MIB)
    return {"kernel": str(kernel), "memory": 16 * MIB, "engine": ENGINE,
            "disks": [{"path": str(tmp_path / f"{name}.img"), "serial": name}
                      for name in ("a", "b")]}


def paths(daemon):
    return [disk["path"] for disk in daemon.vm("web")["config"]["disks"]]


def mirror(daemon, disk, target, *more):
    result = daemon.cli("mirror", "--disk", disk, *more, "web", target)
    assert result.returncode == 0, result.stderr


def stop(daemon):
    assert daemon.say("web", "stop", {"force": True}).status == 200


def in_use(daemon):
    """What the running machine has open."""
    result = daemon.cli("status", "--json", "web")
    assert result.returncode == 0, result.stderr
    return [disk["path"] for disk in json.loads(result.stdout)["disks"]]


def test_the_record_follows(daemon, config, tmp_path):
    assert daemon.start() == "ok"
    daemon.make("web", **config)
    daemon.say("web", "start")
    first = paths(daemon)
    one, two, copy = (tmp_path / name for name in ("1.qcow2", "2.raw", "c"))
    mirror(daemon, first[0], one)
    # While it runs.
    wait_for(lambda: paths(daemon) == [str(one), first[1]])
    disk = daemon.vm("web")["config"]["disks"][0]
    assert disk == {"path": str(one), "format": "qcow2", "serial": "a"}
    assert {use["name"] for use in daemon.ask("GET", "/v1/uses/disks")["uses"]
            } == {str(one), first[1]}
    mirror(daemon, first[1], copy, "--keep")
    # Once more in the same run, and the other one.
    mirror(daemon, one, two)
    mirror(daemon, first[1], tmp_path / "3.qcow2")
    now = [str(two), str(tmp_path / "3.qcow2")]
    wait_for(lambda: paths(daemon) == now)
    for path in first:
        os.unlink(path)
    stop(daemon)
    assert paths(daemon) == now
    assert daemon.say("web", "start").status == 200
    assert in_use(daemon) == now
    assert daemon.kinds("web").count("moved") == 3
    # A clone's layer stands on nothing any more, once it has moved.
    stop(daemon)
    assert daemon.ask("POST", "/v1/vms/web/clone?wait=60",
                      {"name": "two"}).status == 200
    layers = paths(daemon)
    assert "base" in daemon.vm("web")["config"]["disks"][0]
    assert daemon.say("web", "start").status == 200
    mirror(daemon, layers[0], tmp_path / "whole.qcow2")
    wait_for(lambda: paths(daemon)[0] == str(tmp_path / "whole.qcow2"))
    assert set(daemon.vm("web")["config"]["disks"][0]) == {
        "path", "format", "serial"}
    stop(daemon)
    assert daemon.say("web", "start").status == 200


def test_the_disk_of_an_image(daemon, tmp_path):
    assert daemon.start() == "ok"
    keep_image(daemon, tiny.kernel(tiny.HALT))
    daemon.make("web", image="tiny", memory=16 * MIB, engine=ENGINE)
    own = daemon.data / "machines" / "web" / "disk.qcow2"
    for target in tmp_path / "1.raw", tmp_path / "2.qcow2":
        daemon.say("web", "start")
        before = in_use(daemon)[0]
        mirror(daemon, before, target)
        stop(daemon)
        daemon.say("web", "start")
        assert in_use(daemon)[0] == str(target)
        os.unlink(before)
        stop(daemon)
    assert not own.exists()
    assert daemon.ask("DELETE", "/v1/vms/web?wait=60").status == 200
    assert target.exists()


def make_disks(*words):
    for line in words:
        subprocess.run([LODGE, "disk", "create", *line], check=True)


@pytest.mark.parametrize("keep", [False, True])
def test_commit(daemon, config, tmp_path, keep):
    """The overlay is gone, and the next start is of what it stood on."""
    base, top = tmp_path / "base.qcow2", tmp_path / "top.qcow2"
    make_disks([base, "1M"], ["--backing", base, top])
    assert daemon.start() == "ok"
    daemon.make("web", **{**config, "disks": [
        {"path": str(top), "serial": "a", "folder": str(tmp_path)}]})
    daemon.say("web", "start")
    result = daemon.cli("commit", *["--keep"] * keep, "web")
    assert result.returncode == 0, result.stderr
    wait_for(lambda: paths(daemon) == [str(base)])
    assert top.exists() == keep
    assert daemon.vm("web")["config"]["disks"] == [
        {"path": str(base), "format": "qcow2", "serial": "a"}]
    stop(daemon)
    assert daemon.say("web", "start").status == 200
    assert in_use(daemon) == [str(base)]


def test_commit_into_the_middle(daemon, config, tmp_path):
    """What that stands on is found still."""
    far = tmp_path / "far"
    far.mkdir()
    base, middle, top = far / "base.qcow2", tmp_path / "m.qcow2", \
        tmp_path / "top.qcow2"
    make_disks([base, "1M"], ["--folder", far, "--backing", base, middle],
               ["--folder", far, "--backing", middle, top])
    assert daemon.start() == "ok"
    daemon.make("web", **{**config, "disks": [
        {"path": str(top), "folder": str(far)}]})
    daemon.say("web", "start")
    assert daemon.cli("commit", "web").returncode == 0
    wait_for(lambda: paths(daemon) == [str(middle)])
    disk, = daemon.vm("web")["config"]["disks"]
    assert (disk["base"], disk["folder"]) == (str(base), str(far))
    stop(daemon)
    assert daemon.say("web", "start").status == 200


def test_commit_to_what_no_record_can_name(daemon, config, tmp_path):
    base, top = tmp_path / "base", tmp_path / "top.qcow2"
    make_disks(["--format", "qcow2", base, "1M"],
               ["--backing", base, "--backing-format", "qcow2", top])
    assert daemon.start() == "ok"
    daemon.make("web", **{**config, "disks": [
        {"path": str(top)}]})
    daemon.say("web", "start")
    result = daemon.cli("commit", "web")
    assert result.returncode == 1
    assert "lodge disk commit" in result.stderr
    assert top.exists()
    stop(daemon)
    assert daemon.say("web", "start").status == 200


def test_commit_of_an_images_machine(daemon, tmp_path):
    """No clone, and none that it has, writes to what both stand on."""
    assert daemon.start() == "ok"
    keep_image(daemon, tiny.kernel(tiny.HALT))
    daemon.make("web", image="tiny", memory=16 * MIB, engine=ENGINE)
    daemon.say("web", "start")
    stop(daemon)
    assert daemon.ask("POST", "/v1/vms/web/clone?wait=60",
                      {"name": "two"}).status == 200
    below = daemon.data / "machines" / "web" / "disk.qcow2"
    before = below.read_bytes()
    for name in "two", "web":
        assert daemon.say(name, "start").status == 200
        result = daemon.cli("commit", "--disk", str(
            next((daemon.data / "machines" / name).glob(
                "disk.qcow2" if name == "two" else "disk-*"))), name)
        assert result.returncode == 1 and "other machines" in result.stderr
        assert daemon.say(name, "stop", {"force": True}).status == 200
    assert below.read_bytes() == before
    assert daemon.ask("DELETE", "/v1/vms/two?wait=60").status == 200
    for _ in range(2):
        assert daemon.say("web", "start").status == 200
        disk = in_use(daemon)[0]
        result = daemon.cli("commit", "--disk", disk, "web")
        if disk != str(below):
            assert result.returncode == 0, result.stderr
        else:  # what that stands on is the image
            assert result.returncode == 1, result
            assert "belongs to an image" in result.stderr
        stop(daemon)
    assert disk == str(below) and not list(below.parent.glob("disk-*"))


@pytest.mark.parametrize("both", [False, True])
def test_while_lodged_is_away(daemon, config, tmp_path, both):
    assert daemon.start() == "ok"
    daemon.make("web", **config)
    daemon.say("web", "start")
    first = paths(daemon)
    os.kill(daemon.child.pid, signal.SIGSTOP)
    mirror(daemon, first[0], tmp_path / "1.qcow2")
    daemon.kill()
    for pid in daemon.processes() if both else ():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not both or not daemon.processes())
    assert daemon.start() == "ok"
    now = [str(tmp_path / "1.qcow2"), first[1]]
    wait_for(lambda: paths(daemon) == now)
    if not both:
        stop(daemon)
    daemon.wait_state("web", "stopped")
    os.unlink(first[0])
    answer = daemon.say("web", "start")
    assert answer.status == 200, answer.json
    assert in_use(daemon) == now


def test_only_what_a_user_named(daemon, config, tmp_path):
    """A machine's process that was taken over may write that file."""
    assert daemon.start() == "ok"
    vm = daemon.make("web", **config)
    daemon.say("web", "start")
    first = paths(daemon)
    folder = daemon.data / "vms" / vm["id"]
    mirror(daemon, first[1], tmp_path / "1.qcow2")
    now = [first[0], str(tmp_path / "1.qcow2")]
    wait_for(lambda: paths(daemon) == now)
    for path in "/etc/shadow", str(tmp_path), f"{now[1]}\n/x", now[1][:-1], "":
        aside = folder / "aside"
        aside.write_text(json.dumps([{"from": first[0], "path": path,
                                      "format": "raw"}]))
        aside.rename(folder / "moves.json")
    for text in "", "[", "{}", "[1, [], {}]", '[{"from": 1, "path": 2}]':
        (folder / "moves.json").write_text(text)
    stop(daemon)
    assert paths(daemon) == now
    assert daemon.say("web", "start").status == 200


def test_lodged_is_killed(daemon, config, tmp_path):
    """At each step of taking it up."""
    def kill(point):
        daemon.start(KILL_AT, "--alone", point)
        target = tmp_path / f"{point}.qcow2"
        target.unlink(missing_ok=True)
        try:
            daemon.make("web", **config)
            assert daemon.say("web", "start").status == 200
            mirror(daemon, config["disks"][0]["path"], target)
            wait_for(lambda: paths(daemon)[0] == str(target))
            daemon.say("web", "stop", {"force": True})
            os.kill(daemon.ask("GET", "/v1")["pid"], signal.SIGTERM)
        except GONE:
            pass
        except AssertionError:
            if daemon.child.poll() is None:
                raise
        status = daemon.gone()[0]
        if status == UNTRACED:
            pytest.skip("processes may not be traced here")
        assert daemon.start() == "ok"
        found = daemon.ask("GET", "/v1/vms")["vms"]
        if found:
            daemon.wait_state("web", "stopped", "running")
            if target.exists():
                wait_for(lambda: paths(daemon)[0] == str(target))
            if daemon.state("web") == "running":
                stop(daemon)
            assert daemon.say("web", "start").status == 200
            assert in_use(daemon) == paths(daemon)
            stop(daemon)
            assert daemon.ask("DELETE", "/v1/vms/web?wait=60").status == 200
        daemon.end()
        return status == KILLED

    sweep(kill, some=5)
