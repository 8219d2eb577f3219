# SPDX-License-Identifier: Apache-2.0
"""Kept machines of images: one first boot each, clones that are machines of
their own, and images that they want."""
import json
import os
import shutil
import signal
import subprocess

import pytest

import tiny
from conftest import BUILD, ENGINE
from daemon import LODGED, Daemon
from kills import GONE, KILL_AT, KILLED, UNTRACED, sweep

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

MIB = 1 << 20
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} somebody@somewhere\n"


def keep_image(daemon, kernel):
    """An image "tiny" whose kernel this is."""
    folder = daemon.data / "images" / "tiny"
    folder.mkdir(parents=True)
    (folder / "disk.raw").write_bytes(b"base" * (MIB // 4))
    (folder / "kernel").write_bytes(kernel)
    (folder / "image.json").write_text(json.dumps({
        "version": 1, "name": "tiny", "disk": "disk.raw", "kernel": "kernel",
        "initrd": "", "format": "raw", "size": MIB, "append": "root=x",
        "created": "2026-11-21T14:50:00Z"}))


@pytest.fixture
def lodged(tmp_path):
    daemon = Daemon(tmp_path)
    assert daemon.start() == "ok"
    keep_image(daemon, tiny.kernel(tiny.power_off()))
    yield daemon
    daemon.clear()


def run_once(lodged, name):
    """Started, and powered off by itself."""
    assert lodged.say(name, "start").status == 200
    lodged.wait_state(name, "stopped")
    assert lodged.vm(name)["reason"] == "power-off", lodged.vm(name)


def seed_of(lodged, name):
    """The files of its seed, as a CD reader sees them."""
    out = lodged.base / "extracted"
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run(
        ["xorriso", "-osirrox", "on", "-indev",
         lodged.data / "machines" / name / "seed.iso", "-extract", "/", out],
        check=True, capture_output=True)
    subprocess.run(["chmod", "-R", "u+w", out], check=True)
    return {path.name: path.read_bytes().decode("latin-1")
            for path in out.iterdir()}


def instance_of(seed):
    return json.loads(seed["meta-data"])["instance-id"]


def words(text):
    return dict(line.split(" ", 1) for line in text.splitlines())


def test_the_first_boot_is_once(lodged, tmp_path):
    """Also with options that say what it does; others say it anew."""
    keys = tmp_path / "one.pub", tmp_path / "two.pub"
    for number, path in enumerate(keys):
        path.write_text(KEY.format(number))
    data = tmp_path / "user-data"
    data.write_text("#!/bin/sh\necho first boot\n")
    said = {"user": "me", "ssh_keys": [str(keys[0])], "cloud_init": str(data)}
    lodged.make("web", image="tiny", memory=16 * MIB, engine=ENGINE, **said)
    run_once(lodged, "web")
    seed = (lodged.data / "machines" / "web" / "seed.iso").read_bytes()
    first = instance_of(seed_of(lodged, "web"))
    for change in {}, {"cpus": 2}, {"labels": {"a": "b"}}:
        lodged.ask("PATCH", "/v1/vms/web", {"config": change})
        run_once(lodged, "web")
        assert (lodged.data / "machines" / "web" / "seed.iso"
                ).read_bytes() == seed
    seen = {first}
    for change in ({"ssh_keys": [str(k) for k in keys]}, {"user": "you"}):
        lodged.ask("PATCH", "/v1/vms/web", {"config": change})
        for _ in range(2):
            run_once(lodged, "web")
            now = instance_of(seed_of(lodged, "web"))
        seen.add(now)
    data.write_text("#!/bin/sh\necho another\n")
    run_once(lodged, "web")
    seen.add(instance_of(seed_of(lodged, "web")))
    assert len(seen) == 4


def test_a_clone_is_another_machine(lodged):
    """Another host name, instance, identity and password, each told once."""
    lodged.make("web", image="tiny", memory=16 * MIB, engine=ENGINE)
    run_once(lodged, "web")
    for name, new in ("web", "two"), ("two", "three"):
        answer = lodged.ask("POST", f"/v1/vms/{name}/clone?wait=60",
                            {"name": new})
        assert answer.status == 200, answer.text
    for name in "two", "three":
        run_once(lodged, name)
    seeds = {name: seed_of(lodged, name) for name in ("web", "two", "three")}
    accounts = {name: words(seed["account"]) for name, seed in seeds.items()}
    for word in "instance", "host", "password":
        assert len({a[word] for a in accounts.values()}) == 3, accounts
    assert "identity" not in accounts["web"]
    assert accounts["two"]["identity"] != accounts["three"]["identity"]
    # What cloud-init runs tells the same.
    if (BUILD / "recipes" / "seed" / "clone.sh").exists():
        for name in "two", "three":
            assert (f"#cloud-boothook\n#!/bin/sh\n"
                    f"identity={accounts[name]['identity']}\n"
                    in seeds[name]["vendor-data"])
    images = {name: (lodged.data / "machines" / name / "seed.iso").read_bytes()
              for name in seeds}
    for name, image in images.items():
        run_once(lodged, name)
        assert (lodged.data / "machines" / name / "seed.iso"
                ).read_bytes() == image


def test_an_image_that_is_wanted(lodged):
    """Also by a machine that was never started."""
    for name in "web", "db":
        lodged.make(name, image="tiny", memory=16 * MIB)
    answer = lodged.ask("DELETE", "/v1/images/tiny?wait=60")
    assert answer.status == 409 and answer["code"] == "in-use"
    assert ": db, web;" in answer["detail"], answer.text
    # What only looks at machines does nothing here.
    assert lodged.ask("DELETE", "/v1/vms/db?wait=60").status == 200
    assert lodged.ask("PATCH", "/v1/vms/web", {"config": {"image": None}}
                      ).status == 200
    answer = lodged.ask("DELETE", "/v1/images/tiny?dry_run=true", check=False)
    assert answer.status == 400
    assert [i["name"] for i in lodged.ask("GET", "/v1/images")["images"]] == [
        "tiny"]
    answer = lodged.ask("DELETE", "/v1/images/tiny?wait=60")
    assert answer.status == 200, answer.text
    assert lodged.ask("GET", "/v1/images")["images"] == []
    assert lodged.ask("DELETE", "/v1/images/tiny").status == 404


# --- another name -----------------------------------------------------------------

def test_one_of_lodge_run(lodged):
    """It is lodged's neither while it runs nor then: who looks for it there is
    told where it is."""
    result = lodged.cli("run", "tiny", "--name", "own", "--engine", ENGINE,
                        "--serial", "none")
    assert result.returncode == 0, result.stderr
    for verb in ("rm", "start"):
        result = lodged.cli(verb, "own")
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        assert "lodge image forget own" in result.stderr, result.stderr
    assert lodged.cli("image", "forget", "own").returncode == 0
    assert "no machine own" in lodged.cli("rm", "own").stderr


def rename(lodged, name, new):
    return lodged.ask("PATCH", f"/v1/vms/{name}", {"name": new})


def names(lodged):
    return [vm["name"] for vm in lodged.ask("GET", "/v1/vms")["vms"]]


def machines(lodged):
    return sorted(path.name for path in (lodged.data / "machines").iterdir()
                  if path.name[0] != ".")


def test_another_name(lodged):
    """Its disk goes along, also the layers that a clone has left it."""
    lodged.make("web", image="tiny", memory=16 * MIB, engine=ENGINE)
    assert rename(lodged, "web", "early").status == 200
    run_once(lodged, "early")
    inode = (lodged.data / "machines" / "early" / "disk.qcow2").stat().st_ino
    assert rename(lodged, "early", "web").status == 200
    assert machines(lodged) == ["web"]
    disk = lodged.data / "machines" / "web" / "disk.qcow2"
    assert disk.stat().st_ino == inode
    run_once(lodged, "web")
    seed = instance_of(seed_of(lodged, "web"))
    assert lodged.ask("POST", "/v1/vms/web/clone?wait=60",
                      {"name": "two"}).status == 200
    answer = rename(lodged, "web", "db")
    assert answer.status == 409 and "machine two stands on" in answer["detail"]
    assert rename(lodged, "two", "three").status == 200
    run_once(lodged, "three")
    assert lodged.ask("DELETE", "/v1/vms/three?wait=60").status == 200
    (lodged.data / "machines" / "taken").mkdir()
    answer = rename(lodged, "web", "taken")
    assert answer.status == 409 and "lodge image forget" in answer["detail"]
    (lodged.data / "machines" / "taken").rmdir()
    assert rename(lodged, "web", "db").status == 200
    assert machines(lodged) == ["db"]
    run_once(lodged, "db")
    assert instance_of(seed_of(lodged, "db")) == seed
    assert lodged.cli("disk", "info", "--json",
                      next((lodged.data / "machines" / "db").glob("disk-*"))
                      ).returncode == 0
    lodged.make("web", image="tiny", memory=16 * MIB, engine=ENGINE)
    run_once(lodged, "web")
    assert lodged.cli("rm", "--all").returncode == 0
    assert machines(lodged) == []


def test_killed_while_it_gets_another_name(lodged):
    lodged.make("a", image="tiny", memory=16 * MIB, engine=ENGINE)
    run_once(lodged, "a")
    inode = (lodged.data / "machines" / "a" / "disk.qcow2").stat().st_ino
    lodged.end()

    def kill(point):
        lodged.start(KILL_AT, "--alone", point)
        told = False
        try:
            name, = names(lodged)
            new = "b" if name == "a" else "a"
            told = rename(lodged, name, new).status == 200
            os.kill(lodged.ask("GET", "/v1")["pid"], signal.SIGTERM)
        except GONE:
            pass
        status = lodged.gone()[0]
        if status == UNTRACED:
            pytest.skip("processes may not be traced here")
        assert lodged.start() == "ok"
        now, = names(lodged)
        assert not told or now == new
        assert machines(lodged) == [now]
        assert (lodged.data / "machines" / now / "disk.qcow2"
                ).stat().st_ino == inode
        assert not list((lodged.data / "vms").glob("*/rename.json"))
        lodged.end()
        return status == KILLED

    sweep(kill, some=8)
    assert lodged.start() == "ok"
    run_once(lodged, *names(lodged))
