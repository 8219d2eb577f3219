# SPDX-License-Identifier: Apache-2.0
"""Kills at every step of create, start, stop and delete: of lodged, before
each system call that changes something, and of the machine's process. What was
acknowledged holds, what is told is true, and nothing is left behind.
"""
import os
import pathlib
import signal
import subprocess

import pytest

import tiny
from conftest import ENGINE, LODGE
from daemon import LIMIT, LODGED, OtherPrograms, wait_for
from kills import GONE, KILL_AT, KILLED, KILLS, UNTRACED, sweep

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

RECVFROM = "45"  # the system call


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "idle.elf"
    path.write_bytes(tiny.kernel(tiny.HALT))
    return {"kernel": str(path), "memory": 16 << 20, "engine": ENGINE,
            "restart": "on-failure"}


@pytest.fixture(params=["bare", "furnished"])
def machine(request, config, tmp_path):
    """Nothing but a processor and memory; a disk, a folder and a net too."""
    if request.param == "bare":
        return config
    (tmp_path / "shared").mkdir()
    subprocess.run([LODGE, "disk", "create", tmp_path / "disk.qcow2", "16M"],
                   check=True, capture_output=True)
    return {**config, "disks": [{"path": str(tmp_path / "disk.qcow2")}],
            "shares": [f"{tmp_path / 'shared'}:/mnt"],
            "networks": [{"mode": "user"}], "cpu_shares": 512}


class Story:
    """The steps, as far as lodged lives, and what it has acknowledged."""
    def __init__(self, daemon, config):
        self.daemon, self.config = daemon, config
        self.told = []

    def tell(self):
        """True when it was told to the end."""
        say = self.daemon.say
        steps = (
            ("created", 201, lambda: self.daemon.ask(
                "POST", "/v1/vms", {"name": "web", "config": self.config})),
            ("start", 202, lambda: say("web", "start", wait=0)),
            ("running", 200, self.wait_running),
            ("edited", 200, lambda: self.daemon.ask(
                "PATCH", "/v1/vms/web", {"config": {"cpus": 2}})),
            ("stop", 202, lambda: say("web", "stop", {"force": True},
                                      wait=0)),
            ("stopped", 200, self.wait_stopped),
            ("renamed", 200, lambda: self.daemon.ask(
                "PATCH", "/v1/vms/web", {"name": "db"})),
            ("deleted", 200, lambda: self.daemon.ask(
                "DELETE", "/v1/vms/db?wait=60")),
        )
        for name, status, step in steps:
            try:
                answer = step()
            except GONE:
                return False
            assert answer.status in (200, status), answer.text
            self.told.append(name)
        return True

    def wait_for_state(self, state):
        while True:
            answer = self.daemon.ask("GET", "/v1/vms/web")
            if answer["state"] == state:
                return answer

    def wait_running(self):
        return self.wait_for_state("running")

    def wait_stopped(self):
        return self.wait_for_state("stopped")


def settle(daemon):
    """The one machine that there may be, when nothing is under way."""
    found = []

    def settled():
        found[:] = daemon.ask("GET", "/v1/vms")["vms"]
        return all(vm["state"] in ("stopped", "running") for vm in found)
    wait_for(settled)
    return found


def check(daemon, told):
    """Against what the story was told, and what the host has."""
    found = settle(daemon)
    last = told[-1] if told else None
    running = [vm for vm in found if vm["state"] == "running"]
    assert {vm["pid"] for vm in running} == daemon.processes()
    if last == "deleted":
        assert not found
    # The step after the last one that was told may have been taken.
    if last in ("start", "running"):
        assert found and running
    if last == "edited":
        assert found and found[0]["config"]["cpus"] == 2
    if last in ("stop", "stopped"):
        assert found and not running
    if last == "renamed" and found:
        assert found[0]["name"] == "db"
    if last == "created":
        assert found
    folders = {path.name for path in (daemon.data / "vms").iterdir()}
    assert folders <= {vm["id"] for vm in found}
    return found


def servers(daemon):
    """Of the machine's folder; their environment is empty."""
    folder = str(daemon.base / "shared").encode()
    return [path.parent.name
            for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
            if folder in content(path).split(b"\0")]


def content(path):
    """Of a process that may have ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def clean(daemon, found):
    """Verbs work on what is there, and then nothing is left."""
    for vm in found:
        if vm["state"] == "running":
            assert daemon.say(vm["id"], "stop", {"force": True}).status == 200
        assert daemon.say(vm["id"], "start").status == 200
        assert daemon.say(vm["id"], "stop", {"force": True}).status == 200
        assert daemon.ask("DELETE",
                          f"/v1/vms/{vm['id']}?wait=60").status == 200
    assert not daemon.processes()
    wait_for(lambda: not servers(daemon))
    assert not list((daemon.data / "vms").iterdir())
    left = {path.name for path in daemon.runtime.iterdir()}
    assert left <= {"lodged.api"}


def kill_at(daemon, config, point):
    """True: killed there; False: the story ended before."""
    assert daemon.start(KILL_AT, "--alone", point) in ("ok", "")
    story = Story(daemon, config)
    if story.tell():
        os.kill(daemon.ask("GET", "/v1")["pid"], signal.SIGTERM)
        status = daemon.gone()[0]
        assert status in (0, KILLED)
        return story, status == KILLED
    status = daemon.gone()[0]
    if status == UNTRACED:
        pytest.skip("processes may not be traced here")
    assert status == KILLED
    return story, True


def test_lodged_is_killed(daemon, machine):
    def kill(point):
        story, killed = kill_at(daemon, machine, point)
        assert daemon.start() == "ok"
        try:
            clean(daemon, check(daemon, story.told))
        except AssertionError as error:
            raise AssertionError(
                f"point {point} after {story.told}") from error
        daemon.end()
        return killed
    sweep(kill)


@pytest.mark.parametrize("before", [True, False])
def test_its_process_is_killed(daemon, config, before):
    """While it starts, or runs."""
    assert daemon.start() == "ok"
    config = {**config, "restart": "never"}
    daemon.make("web", **config)
    rounds = 8 if KILLS != "all" else 60
    for _ in range(rounds):
        daemon.say("web", "start", wait=0)
        if not before:
            daemon.wait_state("web", "running", "stopped")
        pid = daemon.vm("web").get("pid")
        if pid:
            os.kill(pid, signal.SIGKILL)
        daemon.wait_state("web", "stopped")
        assert not daemon.processes()
        assert daemon.ps()["web"]["state"] == "stopped"
    clean(daemon, daemon.ask("GET", "/v1/vms")["vms"])


def test_its_process_is_killed_at_each_step(tmp_path, machine):
    """Before each call that changes a file; then it starts as ever."""
    try:
        daemon = OtherPrograms(tmp_path)
    except OSError as error:
        pytest.skip(f"the programs cannot be linked to: {error}")
    try:
        assert daemon.start() == "ok"
        daemon.make("web", **{**machine, "restart": "never"})

        def kill(point):
            daemon.script("lodge-vm",
                          f'exec "{KILL_AT}" --alone {point} '
                          '"$real" "$@"')
            answer = daemon.say("web", "start")
            if answer.status == 200:
                daemon.say("web", "stop", {"force": True})
            daemon.wait_state("web", "stopped")
            told = daemon.vm("web")
            if "status 77" in told["reason"]:
                pytest.skip("processes may not be traced here")
            wait_for(lambda: not daemon.processes() and not servers(daemon))
            assert daemon.ps()["web"]["state"] == "stopped"
            assert "pid" not in told
            left = {path.name for path in daemon.runtime.iterdir()}
            assert left <= {"lodged.api"}, left
            # It was stopped by us, in order, when it came so far.
            return told["reason"] != "stopped"

        sweep(kill)
        daemon.script("lodge-vm", 'exec "$real" "$@"')
        assert daemon.say("web", "start").status == 200
        assert bool(servers(daemon)) == ("shares" in machine)
        clean(daemon, daemon.ask("GET", "/v1/vms")["vms"])
    finally:
        daemon.clear()


def test_both_are_killed(daemon, config):
    """In turn, with a machine that is to be started again."""
    assert daemon.start() == "ok"
    daemon.make("web", **config)
    assert daemon.say("web", "start").status == 200
    for _ in range(3):
        daemon.kill()
        for pid in daemon.processes():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not daemon.processes())
        assert daemon.start() == "ok"
        assert daemon.state("web") in ("waiting", "starting", "running")
        assert daemon.ps()["web"]["managed"]
        assert daemon.say("web", "start").status in (200, 409)
        daemon.wait_state("web", "running")
    clean(daemon, daemon.ask("GET", "/v1/vms")["vms"])


def test_a_question_is_asked_again(daemon):
    """A lodged that is killed has taken a connection that it does not answer:
    the command asks the next one."""
    assert daemon.start() == "ok"
    os.kill(daemon.child.pid, signal.SIGSTOP)
    asks = subprocess.Popen([LODGE, "ps", "--json"], env=daemon.env,
                            stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    call = pathlib.Path(f"/proc/{asks.pid}/syscall")
    wait_for(lambda: call.read_text().split()[0] == RECVFROM)
    daemon.kill()
    out, error = asks.communicate(timeout=LIMIT)
    assert (asks.returncode, out.strip(), error) == (0, "[]", "")
