# SPDX-License-Identifier: Apache-2.0
"""The commands that have lodged do it."""
import json
import subprocess

import pexpect
import pytest

import tiny
from conftest import ENGINE, LODGE
from daemon import LODGED, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")


def test_commands(daemon, kernel, tmp_path):
    """From nothing: a private lodged comes by itself."""
    path = kernel()["kernel"]
    assert daemon.ps() == {} and not daemon.daemons()
    result = daemon.cli("create", "web", "--kernel", path, "--memory", "16M",
                        "--engine", ENGINE, "--label", "a=b")
    assert result.returncode == 0, result.stderr
    assert len(daemon.daemons()) == 1
    assert daemon.ps()["web"]["state"] == "stopped"
    assert daemon.cli("start", "web").returncode == 0
    row = daemon.ps()["web"]
    assert row["state"] == "running" and row["memory"] == 16 << 20
    assert row["labels"] == {"a": "b"}
    text = daemon.cli("ps").stdout
    assert "running" in text and str(row["pid"]) in text
    assert daemon.cli("pause", "web").returncode == 0
    assert wait_for(lambda: daemon.ps()["web"]["state"] == "paused")
    result = daemon.cli("start", "web")
    assert result.returncode == 1 and "lodge resume web" in result.stderr
    assert daemon.cli("resume", "web").returncode == 0
    assert daemon.cli("reset", "web").returncode == 0
    result = daemon.cli("rm", "web")
    assert result.returncode == 1 and "lodge stop web" in result.stderr
    assert daemon.cli("stop", "--force", "web").returncode == 0
    assert daemon.ps()["web"]["state"] == "stopped"
    result = daemon.cli("stop", "wbe")
    assert result.returncode == 1 and "did you mean web?" in result.stderr
    assert daemon.cli("start", "web").returncode == 0
    assert daemon.cli("rm", "--force", "web").returncode == 0
    assert daemon.ps() == {} and not daemon.processes()


def test_several_at_once(daemon, kernel):
    """By their names, or by a label."""
    config = kernel()
    for name, tier in ("a", "front"), ("b", "front"), ("c", "back"):
        result = daemon.cli("create", name, "--kernel", config["kernel"],
                            "--memory", "16M", "--engine", ENGINE,
                            "--label", f"tier={tier}", "--label", "all")
        assert result.returncode == 0, result.stderr

    def states():
        return [vm["state"] for _, vm in sorted(daemon.ps().items())]
    assert daemon.cli("start", "--label", "tier=front").returncode == 0
    assert states() == ["running", "running", "stopped"]
    assert daemon.cli("stop", "--force", "a", "b").returncode == 0
    assert states() == ["stopped"] * 3
    assert daemon.cli("start", "--label", "all").returncode == 0
    assert daemon.cli("stop", "--timeout", "1", "c").returncode == 0
    assert states() == ["running", "running", "stopped"]
    result = daemon.cli("start", "--label", "tier=none")
    assert result.returncode == 1 and "tier=none" in result.stderr
    # One that is refused does not keep the others.
    result = daemon.cli("start", "a", "none", "c")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 2
    assert states() == ["running"] * 3
    assert daemon.cli("rm", "--force", "--label", "all").returncode == 0
    assert states() == []


def test_edit_and_events(daemon, kernel):
    config = kernel()
    daemon.cli("create", "web", "--kernel", config["kernel"], "--memory",
               "16M", "--engine", ENGINE, "--disk", "/none.img")
    result = daemon.cli("start", "web")
    assert result.returncode == 1 and "/none.img" in result.stderr
    assert daemon.cli("edit", "web", "--unset", "disk", "--cpus", "2",
                      "--name", "db").returncode == 0
    assert daemon.cli("start", "db").returncode == 0
    assert daemon.ps()["db"]["cpus"] == 2
    result = daemon.cli("edit", "db", "--name", "web")
    assert result.returncode == 1 and "lodge stop db" in result.stderr
    result = daemon.cli("edit", "db", "--unset", "cpuz")
    assert result.returncode == 2 and "cpus" in result.stderr
    lines = daemon.cli("events", "--json").stdout.splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds == ["created", "starting", "failed", "renamed", "starting",
                     "running"]
    text = daemon.cli("events", "web").stdout
    assert "failed" in text and "/none.img" in text and "running" not in text
    follower = subprocess.Popen([LODGE, "events", "--follow"],
                                env=daemon.env, text=True,
                                stdout=subprocess.PIPE)
    try:
        assert "MACHINE" in follower.stdout.readline()
        for kind in kinds:
            assert kind in follower.stdout.readline()
        daemon.cli("stop", "--force", "db")
        assert "stopping" in follower.stdout.readline()
        assert "stopped" in follower.stdout.readline()
    finally:
        follower.kill()
        follower.communicate()


def test_networks_and_folders(daemon, kernel, tmp_path):
    """What names a place here is kept as its whole path."""
    made = daemon.cli("create", "web", "--kernel", kernel()["kernel"],
                      "--net", "network=lab,mtu=1400", "--net", "socket=peer",
                      "--share", "site:/srv,readonly", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    config = daemon.vm("web")["config"]
    assert config["networks"] == [
        {"mode": "network=lab", "mtu": 1400},
        {"mode": f"socket={tmp_path}/peer"}]
    assert config["shares"] == [f"{tmp_path}/site:/srv,readonly"]
    (tmp_path / "site").mkdir()
    started = daemon.cli("start", "web")
    assert started.returncode == 1 and "no network lab" in started.stderr


def test_console(daemon, tmp_path):
    """What it said is there for whoever comes, keys go to it."""
    path = tmp_path / "words.elf"
    path.write_bytes(tiny.kernel(tiny.text("hello") + tiny.ECHO))
    daemon.cli("create", "web", "--kernel", path, "--memory", "16M",
               "--engine", ENGINE)
    result = daemon.cli("console", "web")
    assert result.returncode == 1 and "lodge ps" in result.stderr
    daemon.cli("start", "web")
    child = pexpect.spawn(str(LODGE), ["console", "web"], env=daemon.env,
                          timeout=60)
    child.expect("hello")
    child.send("\x01x")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert daemon.ps()["web"]["state"] == "running"
    other = subprocess.Popen([LODGE, "console", "web"], env=daemon.env,
                             stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    other.stdin.write(b"x")
    other.stdin.flush()
    assert other.stdout.read(1) == b"x"  # it is there
    daemon.cli("stop", "--force", "web")
    other.communicate(timeout=60)
    assert other.returncode == 0


def test_plain_machines_are_listed(daemon, kernel):
    config = kernel()
    daemon.cli("create", "kept", "--kernel", config["kernel"])
    plain = subprocess.Popen(
        [LODGE, "run", "--kernel", config["kernel"], "--memory", "16M",
         "--engine", ENGINE, "--serial", "none", "--name", "plain"],
        env=daemon.env, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: "plain" in daemon.ps())
        rows = daemon.ps()
        assert rows["plain"]["managed"] is False
        assert rows["plain"]["pid"] == plain.pid
        assert rows["kept"]["managed"] is True
        assert "not kept" in daemon.cli("ps").stdout
        assert daemon.cli("stop", "--force", "plain").returncode == 0
        plain.wait(60)
        assert "plain" not in daemon.ps()
    finally:
        plain.kill()
        plain.wait()


def test_the_same_name_twice(daemon, kernel):
    """A plain machine has the name of a kept one, which then cannot start."""
    config = kernel()
    daemon.cli("create", "web", "--kernel", config["kernel"], "--engine",
               ENGINE, "--memory", "16M")
    plain = subprocess.Popen(
        [LODGE, "run", "--kernel", config["kernel"], "--memory", "16M",
         "--engine", ENGINE, "--serial", "none", "--name", "web"],
        env=daemon.env, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: daemon.cli("status", "web").returncode == 0)
        result = daemon.cli("start", "web")
        assert result.returncode == 1 and "name web" in result.stderr
        assert daemon.cli("stop", "--force", "web").returncode == 0
        plain.wait(60)
        assert daemon.cli("start", "web").returncode == 0
    finally:
        plain.kill()
        plain.wait()


def test_bad_commands(daemon):
    for words, status in ((["create"], 2), (["create", "a", "b", "c"], 2),
                          (["create", "a", "--cpus", "x"], 2),
                          (["create", "a", "--cpus", "1000"], 2),
                          (["create", "a", "--restart", "no"], 2),
                          (["create", ".a"], 2), (["start"], 2),
                          (["start", "none"], 1), (["rm", "none"], 1)):
        result = daemon.cli(*words)
        assert result.returncode == status, (words, result.stderr)
        assert len(result.stderr.splitlines()) == 1
