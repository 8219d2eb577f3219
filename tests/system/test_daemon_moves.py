# SPDX-License-Identifier: Apache-2.0
"""lodge mirror takes a kept machine's disk elsewhere: its configuration
follows, whoever is killed meanwhile, and believes nobody else."""
import json
import os
import signal

import pytest

import tiny
from conftest import ENGINE
from daemon import LODGED, wait_for
from kills import GONE, KILL_AT, KILLED, UNTRACED, sweep
from test_daemon_image import keep_image

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

IDLE = b"\xFA\xF4\xEB\xFD"  # cli; 1: hlt; jmp 1b
MIB = 1 << 20


@pytest.fixture
def config(tmp_path):
    kernel = tmp_path / "idle.elf"
    kernel.write_bytes(tiny.kernel(IDLE))
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
    keep_image(daemon, tiny.kernel(IDLE))
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
    os.unlink(first[0])
    assert daemon.say("web", "start").status == 200
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
            vm = daemon.make("web", **config)
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
