# SPDX-License-Identifier: Apache-2.0
"""lodge run IMAGE: the machine's disk, its seed, who keeps what. The images
here are tiny; test_image.py has a real one."""
import json
import os
import shutil
import subprocess
import time

import pytest

import tiny
from conftest import BUILD, ENGINE, LODGE, kill, run, spawn, status_of

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE somebody@somewhere"


@pytest.fixture
def place(tmp_path):
    """A store, a home and a folder for sockets of one's own."""
    class Place:
        home = tmp_path
        data = tmp_path / "data"
        machines = data / "lodge" / "machines"
        env = {"env": {**os.environ, "XDG_DATA_HOME": str(data),
                       "HOME": str(tmp_path),
                       "XDG_RUNTIME_DIR": str(tmp_path / "run")}}

        def image(self, name, code, **more):
            """An image whose kernel is this code."""
            folder = self.data / "lodge" / "images" / name
            folder.mkdir(parents=True)
            (folder / "disk.raw").write_bytes(b"base" * (1 << 18))
            (folder / "kernel").write_bytes(tiny.kernel(code))
            (folder / "initrd").write_bytes(b"070701" + b"0" * 122)
            (folder / "image.json").write_text(json.dumps({
                "version": 1, "name": name, "disk": "disk.raw",
                "kernel": "kernel", "initrd": "", "format": "raw",
                "size": 1 << 20, "append": "root=x",
                "created": "2026-11-21T14:50:00Z", **more}))

        def run(self, *args, **kwargs):
            return run("run", *args, **kwargs, **self.env)

        def image_command(self, *args):
            return run("image", *args, **self.env)

        def seed(self, name, file):
            """A file of a kept machine's seed, as a CD reader sees it."""
            out = tmp_path / "extracted"
            shutil.rmtree(out, ignore_errors=True)
            subprocess.run(
                ["xorriso", "-osirrox", "on", "-indev",
                 self.machines / name / "seed.iso", "-extract", "/", out],
                check=True, capture_output=True)
            subprocess.run(["chmod", "-R", "u+w", out], check=True)
            path = out / file
            return path.read_text() if path.exists() else None
    (tmp_path / "run").mkdir(mode=0o700)
    return Place()


def settings(text):
    assert text.startswith("#cloud-config\n")
    return json.loads(text.split("\n", 1)[1])


OFF = ["--engine", ENGINE, "--serial", "none"]


def refused(result, status, *words):
    assert result.returncode == status, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("lodge: ")
    for word in words:
        assert word in lines[0]


def test_a_kept_machine(place):
    place.image("tiny", tiny.power_off())
    result = place.run("tiny", *OFF)
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith("lodge: log in as lodge with the password")
    folder = place.machines / "tiny"
    assert sorted(os.listdir(folder)) == ["disk.qcow2", "machine.json",
                                          "seed.iso"]
    assert folder.stat().st_mode & 0o777 == 0o700
    # The same machine, password and seed the next time.
    seed = (folder / "seed.iso").read_bytes()
    assert place.run("tiny", *OFF).stderr == result.stderr
    assert (folder / "seed.iso").read_bytes() == seed
    listed = json.loads(place.image_command("machines", "--json").stdout)
    assert [(m["name"], m["image"], m["running"]) for m in listed] == [
        ("tiny", "tiny", False)]
    refused(place.image_command("remove", "tiny"), 1, "machine tiny stands on")
    assert place.image_command("forget", "tiny").returncode == 0
    assert os.listdir(place.machines) == []
    assert place.image_command("remove", "tiny").returncode == 0


def test_a_moved_disk_is_found_again(place, tmp_path):
    """lodge mirror takes a kept machine's disk elsewhere, for good."""
    place.image("tiny", tiny.HALT)
    moved = [tmp_path / "far.vdi", tmp_path / "raw"]

    def start():
        child = subprocess.Popen([LODGE, "run", "tiny", *OFF], **place.env,
                                 stderr=subprocess.DEVNULL)
        while run("status", "tiny", **place.env).returncode:
            assert child.poll() is None
        status = run("status", "--json", "tiny", **place.env)
        return child, json.loads(status.stdout)["disks"][0]["path"]
    before = place.machines / "tiny" / "disk.qcow2"
    for target in moved:
        child, path = start()
        assert path == str(before)
        result = run("mirror", "--disk", before, "tiny", target, **place.env)
        assert (result.returncode, result.stderr) == (0, "")
        child.kill()
        child.wait()
        listed = json.loads(place.image_command("machines", "--json").stdout)
        assert listed[0]["disk"] == str(target)
        before = target
    # A copy is no move.
    child, path = start()
    assert path == str(before)
    copy = tmp_path / "copy.qcow2"
    assert run("mirror", "--keep", "--disk", before, "tiny", copy,
               **place.env).returncode == 0
    assert run("stop", "--force", "tiny", **place.env).returncode == 0
    child.wait()
    result = place.image_command("export", "--machine", "tiny",
                                 tmp_path / "out.img")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out.img").read_bytes() == b"base" * (1 << 18)
    assert place.image_command("forget", "tiny").returncode == 0
    assert before.exists()


def test_a_disk_stands_on_no_other_machine(place):
    """Whatever it says itself: a guest that had its process might."""
    place.image("tiny", tiny.power_off())
    for name in "one", "two":
        assert place.run("tiny", "--name", name, *OFF).returncode == 0
    mine, theirs = (place.machines / name / "disk.qcow2"
                    for name in ("one", "two"))
    mine.unlink()
    assert run("disk", "create", "--backing", theirs, "--folder",
               place.data, mine, **place.env).returncode == 0
    result = place.run("tiny", "--name", "one", *OFF)
    assert result.returncode == 1, result
    assert "lies outside of its folder" in result.stderr.splitlines()[-1]


def test_a_stored_image_is_not_committed_to(place):
    """Other machines may be made of it; but a machine can do without."""
    place.image("tiny", tiny.HALT)
    child = subprocess.Popen([LODGE, "run", "tiny", *OFF], **place.env,
                             stderr=subprocess.DEVNULL)
    disk = place.machines / "tiny" / "disk.qcow2"
    while run("status", "tiny", **place.env).returncode:
        assert child.poll() is None
    refused(run("commit", "--disk", disk, "tiny", **place.env), 1,
            "other machines may be made of")
    result = run("rebase", "--none", "--disk", disk, "tiny", **place.env)
    assert (result.returncode, result.stderr) == (0, "")
    assert run("stop", "--force", "tiny", **place.env).returncode == 0
    child.wait()
    base = place.data / "lodge" / "images" / "tiny" / "disk.raw"
    assert run("disk", "compare", base, disk).returncode == 0
    shutil.rmtree(base.parent)
    assert run("disk", "check", disk).returncode == 0


def test_what_was_stopped_can_be_forgotten(place):
    place.image("tiny", tiny.HALT)
    for _ in range(5):
        child = subprocess.Popen([LODGE, "run", "tiny", *OFF], **place.env,
                                 stderr=subprocess.DEVNULL)
        while run("status", "tiny", **place.env).returncode:
            assert child.poll() is None
        assert run("stop", "--force", "tiny", **place.env).returncode == 0
        assert place.image_command("forget", "tiny").returncode == 0
        child.wait()


def test_an_ephemeral_machine_leaves_nothing(place):
    place.image("tiny", tiny.power_off())
    assert place.run("tiny", "--ephemeral", *OFF).returncode == 0
    assert os.listdir(place.machines) == []


def test_a_killed_ephemeral_machine_is_cleared_away(place):
    place.image("tiny", tiny.text("up") + tiny.HALT)
    child = spawn("run", "tiny", "--ephemeral", "--engine", ENGINE,
                  **place.env)
    child.expect_exact("up")
    left = os.listdir(place.machines)
    assert len(left) == 1
    # It runs, so its image stays.
    refused(place.image_command("remove", "tiny"), 1, "in use")
    kill(child)
    assert place.image_command("remove", "tiny").returncode == 0
    assert os.listdir(place.machines) == []


def test_one_machine_runs_once(place):
    place.image("tiny", tiny.text("up") + tiny.HALT)
    child = spawn("run", "tiny", "--engine", ENGINE, **place.env)
    child.expect_exact("up")
    refused(place.run("tiny", *OFF), 1, "machine tiny runs already", "--name")
    refused(place.image_command("forget", "tiny"), 1, "lodge stop tiny")
    listed = json.loads(place.image_command("machines", "--json").stdout)
    assert listed[0]["running"]
    child.send("\x01x")
    assert status_of(child) == 0


def test_names(place):
    place.image("tiny", tiny.power_off())
    place.image("other", tiny.power_off())
    assert place.run("tiny", "--name", "a", *OFF).returncode == 0
    assert place.run("tiny", "--name", "b", *OFF).returncode == 0
    assert sorted(os.listdir(place.machines)) == ["a", "b"]
    refused(place.run("other", "--name", "a", *OFF), 1,
            "machine a stands on image tiny")


@pytest.mark.parametrize("args,status,words", [
    (["tini"], 1, ["no image tini", "did you mean tiny?"]),
    (["tiny", "more"], 2, ["unexpected argument \"more\""]),
    (["./disk.img"], 1, ["--disk ./disk.img", "lodge image import"]),
    (["--ephemeral"], 2, ["--ephemeral", "lodge run IMAGE"]),
    (["--user", "x"], 2, ["--user", "lodge run IMAGE"]),
    (["tiny", "--user", "Root"], 2, ["--user Root"]),
    (["tiny", "--cloud-init", "/nosuch"], 1, ["--cloud-init /nosuch",
                                             "check the path"]),
    (["tiny", "--cloud-init", "/bin/true"], 1, ["no text",
                                                "#cloud-config"]),
    (["tiny", "--ssh-key", "/nosuch"], 2, ["--ssh-key /nosuch"]),
    (["tiny", "--disk-size", "big"], 2, ["--disk-size big"]),
    (["tiny", "--cloud-init", "/dev/zero"], 1, ["/dev/zero"]),
])
def test_bad_input(place, args, status, words):
    place.image("tiny", tiny.power_off())
    refused(place.run(*args, *OFF), status, *words)
    assert not place.machines.exists() or os.listdir(place.machines) == []


def test_a_disk_grows_and_never_shrinks(place):
    place.image("tiny", tiny.power_off(), size=4 << 20)
    disk = place.data / "lodge" / "images" / "tiny" / "disk.raw"
    os.truncate(disk, 4 << 20)
    refused(place.run("tiny", "--disk-size", "2M", *OFF), 1, "4 MiB")
    assert place.run("tiny", "--disk-size", "8M", *OFF).returncode == 0
    assert place.run("tiny", "--disk-size", "16M", *OFF).returncode == 0
    refused(place.run("tiny", "--disk-size", "8M", *OFF), 1, "16 MiB")
    told = run("disk", "info", "--json",
               place.machines / "tiny" / "disk.qcow2", **place.env)
    assert json.loads(told.stdout)["size"] == 16 << 20


# --- the first boot ------------------------------------------------------------

def test_the_seed(place):
    place.image("tiny", tiny.power_off())
    (place.home / ".ssh").mkdir()
    (place.home / ".ssh" / "id_ed25519.pub").write_text(KEY + "\n")
    result = place.run("tiny", "--name", "my_box.1", *OFF)
    meta = json.loads(place.seed("my_box.1", "meta-data"))
    assert meta["local-hostname"] == "my-box-1"
    config = settings(place.seed("my_box.1", "user-data"))
    # The user's own, and that of lodge ssh.
    own = (place.data / "lodge" / "ssh" / "id_ed25519.pub").read_text()
    assert config["ssh_authorized_keys"] == [KEY, own.strip()]
    assert config["user"]["name"] == "lodge"
    assert not config["user"]["lock_passwd"]
    agent = (BUILD / "lodge-agent").exists()
    assert (place.seed("my_box.1", "vendor-data") or "").startswith(
        "#cloud-boothook\n#!/bin/sh\n" if agent else "")
    password = result.stderr.split()[-1]
    digest = config["user"]["passwd"]
    made = subprocess.run(["openssl", "passwd", "-6", "-salt",
                           digest.split("$")[2], password],
                          capture_output=True, text=True, check=True)
    assert made.stdout.strip() == digest


def test_the_seed_is_a_volume_that_linux_knows(place):
    place.image("tiny", tiny.power_off())
    assert place.run("tiny", *OFF).returncode == 0
    told = subprocess.run(["blkid", "-p", "-o", "export",
                           place.machines / "tiny" / "seed.iso"],
                          capture_output=True, text=True, check=True).stdout
    assert "LABEL=cidata" in told
    assert "TYPE=iso9660" in told


def test_user_data_of_ones_own(place):
    place.image("tiny", tiny.power_off())
    mine = place.home / "user-data"
    mine.write_text("#!/bin/sh\necho first boot\n")
    result = place.run("tiny", "--cloud-init", mine, "--no-agent", *OFF)
    assert result.returncode == 0
    assert result.stderr == ""  # no account of ours
    assert place.seed("tiny", "user-data") == mine.read_text()
    assert settings(place.seed("tiny", "vendor-data")) == {}
    first = json.loads(place.seed("tiny", "meta-data"))["instance-id"]
    # Given again, the first boot is done again.
    result = place.run("tiny", "--cloud-init", mine, "--user", "me",
                       "--no-agent", *OFF)
    assert "log in as me" in result.stderr
    assert settings(place.seed("tiny", "vendor-data"))["user"]["name"] == "me"
    assert json.loads(place.seed("tiny", "meta-data"))["instance-id"] != first


def test_a_private_key_is_refused(place):
    place.image("tiny", tiny.power_off())
    key = place.home / "id_x"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")
    refused(place.run("tiny", "--ssh-key", key, *OFF), 2, "is a private key",
            f"{key}.pub")


def test_uefi_variables_are_kept_with_the_machine(place):
    place.image("tiny", tiny.power_off(), kernel="")
    child = spawn("run", "tiny", "--firmware", "uefi", "--engine", ENGINE,
                  **place.env)
    kept = place.machines / "tiny" / "uefi-vars.fd"
    end = time.monotonic() + 60
    while not kept.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert kept.exists()
    child.send("\x01x")
    status_of(child)


def test_killed_at_any_time_it_is_whole_or_not_there(place):
    place.image("tiny", tiny.HALT)
    for i in range(30):
        child = subprocess.Popen(
            [LODGE, "run", "tiny",
             "--name", f"m{i}", *OFF], stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, **place.env)
        time.sleep(i * 0.0007)
        child.kill()
        child.wait()
    place.image_command("prune")
    for name in os.listdir(place.machines):
        assert not name.startswith(".")
        assert set(os.listdir(place.machines / name)) >= {
            "disk.qcow2", "machine.json", "seed.iso"}
        json.loads((place.machines / name / "machine.json").read_text())
        checked = run("disk", "info", place.machines / name / "disk.qcow2",
                      **place.env)
        assert checked.returncode == 0, checked.stderr
