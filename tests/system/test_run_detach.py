# SPDX-License-Identifier: Apache-2.0
"""Machines that go on without a terminal: lodge run --detach, Ctrl-A d."""
import os
import signal

import pexpect
import pytest

import tiny
from conftest import ENGINE, LODGE
from daemon import LODGED, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

CTRL_A = "\x01"


@pytest.fixture
def kernel(tmp_path):
    def make(code=tiny.text("ready\n") + tiny.ECHO, name="echo"):
        path = tmp_path / f"{name}.elf"
        path.write_bytes(tiny.kernel(code))
        return ["--kernel", path, "--engine", ENGINE, "--memory", "16M"]
    return make


def detach(daemon, *args):
    result = daemon.cli("run", "--detach", *args)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.strip()


def refused(result, status, *words):
    assert result.returncode == status
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


# --- in the background -----------------------------------------------------------

def test_detach_tells_a_free_name(daemon, kernel):
    names = [detach(daemon, *kernel()) for _ in range(2)]
    assert names == ["lodge", "lodge-2"]
    machines = daemon.ps()
    assert [machines[n]["state"] for n in names] == ["running"] * 2
    assert all(machines[n]["managed"] for n in names)
    assert detach(daemon, *kernel(), "--name", "web") == "web"
    refused(daemon.cli("run", "--detach", "--name", "web", *kernel()), 1,
            "there is a machine web")
    assert daemon.cli("stop", "--force", "lodge").returncode == 0
    assert daemon.ps()["lodge"]["state"] == "stopped"
    assert detach(daemon, *kernel()) == "lodge-3"


def test_options_of_both(daemon, kernel):
    detach(daemon, *kernel(), "--name", "web", "--label", "tier=front",
           "--restart", "always", "--cpus", "2")
    machine = daemon.ps()["web"]
    assert machine["labels"] == {"tier": "front"} and machine["cpus"] == 2


@pytest.mark.parametrize("args, words", [
    (["--gdb", "1234"], "--gdb: does not go with --detach"),
    (["--testdev"], "--testdev: does not go with --detach"),
    (["--nmae", "web"], "did you mean --name?"),
    (["--cpus", "0"], "1 to 64"),
    (["a", "b"], 'unexpected argument "b"'),
])
def test_wrong_words(daemon, args, words):
    refused(daemon.cli("run", "--detach", *args), 2, words)
    assert daemon.ps() == {}


@pytest.mark.parametrize("code, kind", [
    (tiny.power_off(), "power-off"),
    (b"\x0F\x01\x1D" + b"\x00\x00\x00\x00" + b"\xCC", "crash")])
def test_rm_deletes_what_has_ended(daemon, kernel, code, kind):
    # One that has crashed already is told of as such.
    daemon.cli("run", "--detach", "--rm", "--name", "brief", *kernel(code))
    wait_for(lambda: daemon.ps() == {})
    result = daemon.cli("events", "brief")
    assert kind in result.stdout or "triple fault" in result.stdout
    assert "deleted" in result.stdout


def test_force_of_a_temporary_one(daemon, kernel):
    detach(daemon, "--rm", "--name", "a", *kernel())
    detach(daemon, "--rm", "--name", "b", *kernel())
    detach(daemon, "--name", "c", *kernel())
    for args in (["a"], ["--all"]):
        result = daemon.cli("rm", "--force", *args)
        assert result.returncode == 0, result.stderr
    wait_for(lambda: daemon.ps() == {})


@pytest.mark.parametrize("command", [
    ["status", "wbe"], ["exec", "wbe", "--", "true"], ["cp", "wbe:a", "b"],
    ["ssh", "wbe"], ["stop", "wbe"], ["inspect", "wbe"], ["agent", "wbe"]])
def test_a_name_that_is_near(daemon, kernel, command):
    detach(daemon, "--name", "web", *kernel())
    result = daemon.cli(*command)
    refused(result, result.returncode, "did you mean web?")
    assert daemon.cli("stop", "--force", "web").returncode == 0
    # Kept, but it does not run.
    result = daemon.cli(*command)
    refused(result, result.returncode, "did you mean web?")
    if command[0] not in ("stop", "cp"):
        command = [w.replace("wbe", "web") for w in command]
        result = daemon.cli(*command)
        refused(result, result.returncode, "does not run; lodge start web")


def test_rm_when_lodged_was_killed(daemon, kernel):
    detach(daemon, "--rm", "--name", "brief", *kernel())
    for pid in daemon.daemons():
        os.kill(pid, signal.SIGKILL)
    for pid in daemon.processes():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not daemon.processes() and daemon.ps() == {})


def test_rm_in_the_foreground(daemon, kernel):
    """Nothing is kept of a kernel's machine, so that is right, too."""
    result = daemon.cli("run", "--rm", "--name", "brief",
                        *kernel(tiny.power_off()))
    assert result.returncode == 0, result.stderr
    assert daemon.ps() == {}


# --- from a terminal ----------------------------------------------------------------

def shell(daemon):
    child = pexpect.spawn("/bin/sh", timeout=60, encoding="utf-8",
                          env={**daemon.env, "PS1": "$ "},
                          dimensions=(24, 300))
    child.delaybeforesend = None
    child.expect_exact("$ ")
    return child


def start(child, args):
    quoted = " ".join(f"'{a}'" for a in [LODGE, "run", *args])
    child.sendline(f"{quoted}; echo status=$?")
    child.expect_exact("ready")


def ended_with(child):
    child.expect(r"status=(\d+)\r\n")
    return int(child.match.group(1))


def test_leaving_and_coming_back(daemon, kernel):
    child = shell(daemon)
    start(child, ["--name", "fore", *kernel()])
    refused(daemon.cli("console", "fore"), 1, "Ctrl-A d")
    child.send(CTRL_A + "d")
    child.expect_exact("lodge: fore goes on")
    assert ended_with(child) == 0
    machine = daemon.ps()["fore"]
    assert machine["state"] == "running" and not machine["managed"]
    assert os.getsid(machine["pid"]) == machine["pid"]
    for _ in range(2):
        child.sendline(f"'{LODGE}' console fore; echo status=$?")
        child.expect_exact("leaves the console")
        child.send("hello")
        child.expect_exact("hello")
        child.send(CTRL_A + "d")
        assert ended_with(child) == 0
    child.close()
    assert daemon.cli("stop", "--force", "fore").returncode == 0
    assert daemon.ps() == {}
    assert not list(daemon.runtime.glob("fore*"))


def test_the_guest_ends_after_it_was_left(daemon, kernel):
    child = shell(daemon)
    start(child, ["--name", "fore", *kernel()])
    child.send(CTRL_A + "d")
    assert ended_with(child) == 0
    child.sendline(f"'{LODGE}' console fore; echo status=$?")
    child.expect_exact("leaves the console")
    child.send("q")  # the kernel powers off
    assert ended_with(child) == 0
    wait_for(lambda: daemon.ps() == {})
    child.close()


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[1])


def test_the_machine_dies_with_who_stands_in_front(daemon, kernel):
    child = shell(daemon)
    start(child, ["--name", "fore", *kernel()])
    machine = daemon.ps()["fore"]["pid"]
    os.kill(parent_of(machine), signal.SIGKILL)
    assert ended_with(child) == 128 + signal.SIGKILL
    wait_for(lambda: daemon.ps() == {})
    child.close()


def test_stopped_and_continued_as_one(daemon, kernel):
    child = shell(daemon)
    child.sendline("set -m")
    start(child, ["--name", "fore", *kernel()])
    machine = daemon.ps()["fore"]["pid"]
    os.kill(parent_of(machine), signal.SIGTSTP)
    child.expect("Stopped")
    child.sendline("fg")
    child.expect_exact("run")
    child.send("hello")
    child.expect_exact("hello")
    child.send("q")
    child.expect_exact("$ ")
    child.close()
