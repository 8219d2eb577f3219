# SPDX-License-Identifier: Apache-2.0
"""Clones and templates: what they share, what is their own, and kills at each
step of making one."""
import os
import pathlib
import subprocess

import pytest

import tiny
from conftest import ENGINE, LODGE
from daemon import LODGED, wait_for
from kills import GONE, KILL_AT, KILLED, UNTRACED, sweep

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

MIB = 1 << 20


def disk_tool(*args):
    return subprocess.run([LODGE, "disk", *map(str, args)], check=True,
                          capture_output=True, text=True).stdout


@pytest.fixture
def config(tmp_path):
    kernel = tmp_path / "idle.elf"
    kernel.write_bytes(tiny.kernel(tiny.HALT))
    image = tmp_path / "disk.img"
    image.write_bytes(b"base".ljust(512) * 2048 * 4)
    return {"kernel": str(kernel), "memory": 16 * MIB, "engine": ENGINE,
            "disks": [{"path": str(image), "serial": "s1"}],
            "networks": [{"mode": "user", "mac": "52:54:00:01:02:03"}],
            "labels": {"a": "b"},
            "restart": "on-failure"}


def clone(lodged, name, new, config=None, wait=120):
    body = {"name": new}
    if config is not None:
        body["config"] = config
    return lodged.ask("POST", f"/v1/vms/{name}/clone?wait={wait}", body)


def content(vm, folder):
    """Of the machine's first disk, as a raw image."""
    disk = vm["config"]["disks"][0]
    raw = folder / "raw.img"
    raw.unlink(missing_ok=True)
    folders = disk.get("folder", [])
    disk_tool("convert", *[f"--folder={f}" for f in folders], "--from",
              disk.get("format", "raw"), "--to", "raw", disk["path"], raw)
    return raw.read_bytes()


def test_a_clone(lodged, config, tmp_path):
    lodged.make("web", **config, publish=["8080:80"])
    answer = clone(lodged, "web", "two")
    assert answer.status == 200 and answer["verb"] == "clone"
    assert answer["name"] == "two"
    web, two = lodged.vm("web"), lodged.vm("two")
    assert two["state"] == "stopped" and two["id"] == answer["vm"]
    assert two["id"] != web["id"]
    # What would be both's is the first one's alone.
    assert "publish" not in two["config"]
    assert two["config"]["networks"] == [{"mode": "user"}]
    assert two["config"]["labels"] == {"a": "b"}
    assert web["config"]["publish"] == ["8080:80"]
    assert lodged.ask("PATCH", "/v1/vms/web", {"config": {"publish": None}}
                      ).status == 200
    # Both stand on the image, which nobody writes to any more.
    image = config["disks"][0]["path"]
    before = pathlib.Path(image).read_bytes()
    for vm in web, two:
        disk, = vm["config"]["disks"]
        assert disk["base"] == image and disk["serial"] == "s1"
        assert disk["path"].startswith(str(lodged.data / "vms" / vm["id"]))
        assert content(vm, tmp_path) == before
        # Thin.
        assert pathlib.Path(disk["path"]).stat().st_blocks * 512 < MIB
    for name in "web", "two":
        answer = lodged.say(name, "start")
        assert answer.status == 200, answer.text
    for name in "web", "two":
        assert lodged.say(name, "stop", {"force": True}).status == 200
    assert pathlib.Path(image).read_bytes() == before
    # Nothing of the first is in the second: it can go.
    assert lodged.ask("DELETE", "/v1/vms/web?wait=60").status == 200
    assert lodged.say("two", "start").status == 200


def test_nobody_commits_to_what_others_stand_on(lodged, config, tmp_path):
    """A disk that two machines share is neither's to write to."""
    lodged.make("web", **config)
    assert clone(lodged, "web", "two").status == 200
    image = pathlib.Path(config["disks"][0]["path"])
    before = image.read_bytes()
    lodged.say("two", "start")
    result = lodged.cli("commit", "two")
    assert result.returncode == 1, result
    assert "other machines" in result.stderr
    assert image.read_bytes() == before
    assert lodged.vm("two")["config"]["disks"][0]["base"] == str(image)


@pytest.mark.parametrize("clones", [["two"], ["two", "three"]])
def test_the_last_one_may_commit(lodged, config, tmp_path, clones):
    """To what nobody else stands on any more."""
    lodged.make("web", **config)
    image = config["disks"][0]["path"]
    before = pathlib.Path(image).read_bytes()
    for name in clones:
        assert clone(lodged, "web", name).status == 200
    below = lodged.vm("web")["config"]["disks"][0]["base"]
    assert (below == image) == (len(clones) == 1)
    # Somebody whose disks lie elsewhere.
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "disk.img"
    other.write_bytes(before)
    lodged.make("other", **{**config, "disks": [{"path": str(other)}]})
    for name in clones:
        assert lodged.say("web", "start").status == 200
        result = lodged.cli("commit", "web")
        assert result.returncode == 1 and "other machines" in result.stderr
        assert lodged.say("web", "stop", {"force": True}).status == 200
        assert lodged.ask("DELETE", f"/v1/vms/{name}?wait=60").status == 200
    top = lodged.vm("web")["config"]["disks"][0]["path"]
    assert lodged.say("web", "start").status == 200
    result = lodged.cli("commit", "web")
    assert result.returncode == 0, result.stderr
    wait_for(lambda: lodged.vm("web")["config"]["disks"][0]["path"] == below)
    assert not os.path.exists(top)
    assert lodged.say("web", "stop", {"force": True}).status == 200
    assert content(lodged.vm("web"), tmp_path) == before
    assert lodged.say("web", "start").status == 200


def test_clones_of_clones(lodged, config, tmp_path):
    lodged.make("a", **config)
    assert clone(lodged, "a", "b").status == 200
    assert clone(lodged, "b", "c").status == 200
    assert clone(lodged, "c", "d", {"memory": 32 * MIB}).status == 200
    assert lodged.vm("d")["config"]["memory"] == 32 * MIB
    first = pathlib.Path(config["disks"][0]["path"]).read_bytes()
    for name in "abcd":
        assert content(lodged.vm(name), tmp_path) == first
        assert lodged.say(name, "start").status == 200
    for name in "abcd":
        assert lodged.say(name, "stop", {"force": True}).status == 200
    # b's folder has what c stands on.
    answer = lodged.ask("DELETE", "/v1/vms/b?wait=60")
    assert answer.status == 409 and answer["code"] == "in-use"
    assert "c" in answer["detail"].split(": ")[1]
    assert lodged.vm("c")["clone_of"] == lodged.vm("b")["id"]
    result = lodged.cli("rm", "--all")
    assert result.returncode == 0, result.stderr
    assert not list((lodged.data / "vms").iterdir())


def test_a_template(lodged, config, tmp_path):
    lodged.make("base", **config, template=True)
    answer = lodged.say("base", "start")
    assert answer.status == 409 and answer["code"] == "is-template"
    assert "lodge clone base" in answer["detail"]
    for i in range(3):
        assert clone(lodged, "base", f"vm{i}").status == 200
    assert "template" not in lodged.vm("vm0")["config"]
    # It is as it was.
    assert lodged.vm("base")["config"] == {**config, "template": True}
    result = lodged.cli("start", "--all")
    assert result.returncode == 0, result.stderr
    assert [vm["state"] for _, vm in sorted(lodged.ps().items())] == [
        "stopped", "running", "running", "running"]
    answer = lodged.ask("PATCH", "/v1/vms/base", {"config":
                                                  {"template": None}})
    assert answer.status == 409 and "vm0, vm1, vm2" in answer["detail"]
    assert lodged.ask("DELETE", "/v1/vms/base").status == 409
    assert lodged.ask("PATCH", "/v1/vms/vm0", {"config": {"template": True}}
                      ).status == 409
    assert lodged.cli("rm", "--all", "--force").returncode == 0
    assert lodged.ps() == {}
    assert pathlib.Path(config["disks"][0]["path"]).exists()


def test_what_is_refused(lodged, config):
    lodged.make("web", **config)
    lodged.make("db")
    assert clone(lodged, "none", "x").status == 404
    assert clone(lodged, "web", "db").status == 409
    assert clone(lodged, "web", "../x").status == 400
    assert clone(lodged, "web", "x", {"memroy": 1}).status == 400
    assert clone(lodged, "web", "x", {"image": "debian"}).status == 400
    assert lodged.ask("POST", "/v1/vms/web/clone", {}).status == 400
    answer = lodged.ask("POST", "/v1/vms/web/clone?dry_run=true",
                        {"name": "x"})
    assert answer.status == 200 and answer["verb"] == "clone"
    lodged.say("web", "start")
    answer = clone(lodged, "web", "x")
    assert answer.status == 409 and "lodge stop web" in answer["detail"]
    lodged.say("web", "stop", {"force": True})
    os.unlink(config["disks"][0]["path"])
    answer = clone(lodged, "web", "x")
    assert answer.status == 500 and "disk.img" in answer["detail"]
    # Nothing is left of it, and the first is as it was.
    assert lodged.vm("web")["config"] == config
    assert sorted(lodged.ps()) == ["db", "web"]
    assert {p.name for p in (lodged.data / "vms").iterdir()} == {
        lodged.vm("web")["id"], lodged.vm("db")["id"]}
    assert not list((lodged.data / "vms").glob("*/*.qcow2*"))


def test_without_disks(lodged):
    lodged.make("web", memory=64 * MIB)
    result = lodged.cli("clone", "web", "two", "--cpus", "2")
    assert result.returncode == 0, result.stderr
    assert lodged.vm("two")["config"] == {"memory": 64 * MIB, "cpus": 2}
    assert "clone_of" not in lodged.vm("two")
    assert lodged.cli("clone", "web").returncode == 2
    assert lodged.cli("clone", "web", "two").returncode == 1


def test_asked_twice(lodged, config):
    """The same key makes one."""
    lodged.make("web", **config)
    answers = [lodged.ask("POST", "/v1/vms/web/clone?wait=60",
                          {"name": "two"}, {"Idempotency-Key": "k"})
               for _ in range(2)]
    assert [a.status for a in answers] == [200, 200]
    assert answers[0]["vm"] == answers[1]["vm"]
    assert sorted(lodged.ps()) == ["two", "web"]


# --- kills -----------------------------------------------------------------------

def settled(daemon):
    return {vm["name"]: vm for vm in wait_for(lambda: [
        vm for vm in daemon.ask("GET", "/v1/vms")["vms"]
        if vm["state"] != "cloning"])}


def wait_cloned(daemon):
    wait_for(lambda: all(vm["state"] != "cloning" for vm in
                         daemon.ask("GET", "/v1/vms")["vms"]))


def test_lodged_is_killed(daemon, config, tmp_path):
    """A clone that was acknowledged is there; of any other all or nothing."""
    first = pathlib.Path(config["disks"][0]["path"]).read_bytes()
    assert daemon.start() == "ok"
    daemon.make("web", **config)
    daemon.end()

    def kill(point):
        """False: the story ended before."""
        daemon.start(KILL_AT, "--alone", point)
        told = False
        try:
            told = clone(daemon, "web", "two", wait=0).status in (200, 202)
            wait_cloned(daemon)
            daemon.ask("DELETE", "/v1/vms/two?wait=60")
            os.kill(daemon.ask("GET", "/v1")["pid"], 15)
        except GONE:
            pass
        status = daemon.gone()[0]
        if status == UNTRACED:
            pytest.skip("processes may not be traced here")
        assert daemon.start() == "ok"
        wait_cloned(daemon)
        wait_for(lambda: all(vm["state"] == "stopped" for vm in
                             daemon.ask("GET", "/v1/vms")["vms"]))
        found = settled(daemon)
        if told and "two" not in found:
            kinds = daemon.kinds("two")
            assert "deleting" in kinds and "created" in kinds
        for vm in found.values():
            assert content(vm, tmp_path) == first
            assert daemon.say(vm["name"], "start").status == 200
            assert daemon.say(vm["name"], "stop",
                              {"force": True}).status == 200
        if "two" in found:
            assert daemon.ask("DELETE", "/v1/vms/two?wait=60").status == 200
        folders = {p.name for p in (daemon.data / "vms").iterdir()}
        assert folders == {daemon.vm("web")["id"]}
        # Begin again with a disk that is no layer.
        assert daemon.ask("PATCH", "/v1/vms/web", {"config": {
            "disks": config["disks"]}}).status == 200
        for path in (daemon.data / "vms").glob("*/disk-*"):
            path.unlink()
        daemon.end()
        return status == KILLED

    sweep(kill)


# --- what is used is not taken away ------------------------------------------------

def test_uses(lodged, config, tmp_path):
    path = config["disks"][0]["path"]
    image = tmp_path / "small.img"
    image.write_bytes(bytes(MIB))
    result = lodged.cli("image", "import", image, "--name", "debian")
    assert result.returncode == 0, result.stderr
    lodged.make("web", **config)
    assert lodged.ask("GET", "/v1/uses/disks")["uses"] == [
        {"name": path, "vm": lodged.vm("web")["id"], "vm_name": "web",
         "made": False}]
    assert clone(lodged, "web", "two").status == 200
    uses = lodged.ask("GET", f"/v1/uses/disks?name={path}")["uses"]
    assert [use["vm_name"] for use in uses] == ["two", "web"]
    made = [use for use in lodged.ask("GET", "/v1/uses/disks")["uses"]
            if use["made"]]
    assert [use["base"] for use in made] == [path] * 2
    result = lodged.cli("net", "create", "lab", "--subnet", "10.77.0.0/24")
    assert result.returncode == 0, result.stderr
    lodged.make("db", networks=[{"mode": "network=lab"}], image="debian")
    assert lodged.ask("GET", "/v1/uses/networks?name=lab")["uses"][0][
        "vm_name"] == "db"
    assert lodged.ask("GET", "/v1/uses/images")["uses"][0]["name"] == "debian"
    result = lodged.cli("net", "delete", "lab")
    assert result.returncode == 1 and "kept: db;" in result.stderr
    assert lodged.ask("PATCH", "/v1/vms/db", {"config": {"networks": None}}
                      ).status == 200
    assert lodged.ask("GET", "/v1/uses/networks")["uses"] == []
    assert lodged.cli("net", "delete", "lab").returncode == 0
    lodged.end()
    assert lodged.start() == "ok"
    assert len(lodged.ask("GET", "/v1/uses/disks")["uses"]) == 4
    assert lodged.cli("rm", "--all").returncode == 0
    for kind in "disks", "images", "networks":
        assert lodged.ask("GET", f"/v1/uses/{kind}")["uses"] == []


def test_an_image_that_a_machine_wants(lodged, tmp_path):
    """Also one that was never started has it."""
    image = tmp_path / "small.img"
    image.write_bytes(bytes(MIB))
    result = lodged.cli("image", "import", image, "--name", "small")
    if result.returncode:
        pytest.skip(result.stderr)
    lodged.make("web", image="small")
    result = lodged.cli("image", "remove", "small")
    assert result.returncode == 1 and "kept: web;" in result.stderr
    assert lodged.ask("DELETE", "/v1/vms/web?wait=60").status == 200
    assert lodged.cli("image", "remove", "small").returncode == 0
