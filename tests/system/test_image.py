# SPDX-License-Identifier: Apache-2.0
"""Images: made, kept, listed, and a real Debian that boots from one.

Debian is built once; it is kept in the build folder under a name that comes
from the recipe's content, so that only another recipe makes another one.
"""
import hashlib
import json
import os
import shutil
import subprocess

import pytest

from conftest import BUILD, ENGINE, SOURCE, run, spawn

RECIPE = SOURCE / "guests" / "debian"
LOGIN = "debian login: "


def recipe_hash():
    digest = hashlib.sha256()
    for path in sorted(RECIPE.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(RECIPE)).encode() + b"\0")
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def store(folder):
    return {"env": {**os.environ, "XDG_DATA_HOME": str(folder)}}


@pytest.fixture(scope="session")
def debian():
    """A store with the image debian, and how to name it to lodge."""
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is missing")
    folder = BUILD / "guest" / "images" / recipe_hash()
    if run("image", "info", "debian", **store(folder)).returncode:
        shutil.rmtree(folder.parent, ignore_errors=True)
        result = run("image", "build", "debian", timeout=1200, **store(folder))
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        assert all(line.startswith("image: ")
                   for line in result.stdout.splitlines())
    return store(folder)


def info(where, name="debian"):
    result = run("image", "info", name, "--json", **where)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


# --- the image ---------------------------------------------------------------

def test_the_image_is_described(debian):
    image = info(debian)
    assert image["system"].startswith("Debian GNU/Linux")
    assert image["size"] == 10 << 30
    assert image["allocated"] < 2 << 30
    assert image["append"].startswith("root=")
    listed = json.loads(run("image", "list", "--json", **debian).stdout)
    assert image in listed
    assert sorted(os.listdir(image["folder"])) == [
        "disk.raw", "image.json", "initrd", "kernel"]


@pytest.fixture
def disk(debian, tmp_path):
    """A copy of the image's disk."""
    image = info(debian)
    path = tmp_path / "disk.raw"
    subprocess.run(["cp", "--sparse=always", "--no-preserve=mode",
                    f"{image['folder']}/{image['disk']}", path], check=True)
    return path


def test_boots_to_login_by_its_kernel(debian, disk):
    image = info(debian)
    folder = image["folder"]
    child = spawn("run", "--engine", ENGINE, "--memory", "1G",
                  "--kernel", f"{folder}/{image['kernel']}",
                  "--initrd", f"{folder}/{image['initrd']}",
                  "--append", f"{image['append']} console=ttyS0",
                  "--disk", disk, timeout=240)
    child.expect_exact(LOGIN)
    child.send("\x01x")


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_boots_to_login_by_firmware(disk, firmware):
    child = spawn("run", "--engine", ENGINE, "--memory", "1G",
                  "--firmware", firmware, "--disk", disk, timeout=240)
    child.expect_exact(LOGIN)
    child.send("\x01x")


# --- the store ---------------------------------------------------------------

@pytest.fixture
def empty(tmp_path):
    return store(tmp_path)


def refused(result, status, *words):
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


def test_an_empty_store(empty):
    assert run("image", "list", **empty).stdout == ""
    assert json.loads(run("image", "list", "--json", **empty).stdout) == []
    assert json.loads(run("image", "prune", "--json", **empty).stdout) == {
        "folders": 0, "bytes": 0}


@pytest.mark.parametrize("args,status,words", [
    (["image"], 2, ["lodge help image"]),
    (["image", "bild"], 2, ["did you mean build?"]),
    (["image", "build"], 2, ["what to build (debian) is missing"]),
    (["image", "build", "plan9"], 2, ["plan9", "debian"]),
    (["image", "build", "debian", "--size", "1G"], 2, ["2G to 16T"]),
    (["image", "build", "debian", "--suite", "a b"], 2, ["bookworm"]),
    (["image", "build", "debian", "--name", "../x"], 2, ["--name ../x"]),
    (["image", "info"], 2, ["an image's name is missing"]),
    (["image", "info", "x"], 1, ["no image x", "lodge image build"]),
    (["image", "remove", "x"], 1, ["no image x"]),
    (["image", "list", "x"], 2, ["unexpected argument \"x\""]),
])
def test_bad_input(empty, args, status, words):
    refused(run(*args, **empty), status, *words)


def test_no_place_for_a_store():
    refused(run("image", "list", env={"XDG_DATA_HOME": "x"}), 1,
            "XDG_DATA_HOME", "HOME")
    refused(run("image", "list", env={"XDG_DATA_HOME": "/proc/x"}), 1,
            "/proc/x")


def test_a_likeness_is_suggested(debian):
    refused(run("image", "info", "debain", **debian), 1,
            "did you mean debian?")


def test_an_image_is_not_made_twice(debian):
    refused(run("image", "build", "debian", **debian), 1, "--replace")


def test_a_failed_build_leaves_nothing(empty, tmp_path):
    result = run("image", "build", "debian", "--suite", "nosuchsuite",
                 timeout=300, **empty)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("image: cannot install Debian: ")
    assert os.listdir(tmp_path / "lodge" / "images") == []
