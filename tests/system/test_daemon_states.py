# SPDX-License-Identifier: Apache-2.0
"""Each verb in each state that a machine can be held in, and many verbs of many
clients at once: what is told is true, and every answer is one of the
document's."""
import http.client
import os
import random
import signal
import socket
import threading
import time

import pytest

import tiny
from daemon import LODGED, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

ROUNDS = int(os.environ.get("LODGE_ROUNDS", "40"))


# --- each in each ---------------------------------------------------------------

def begin(lodged, kernel, state):
    """A machine "vm" that stays in that state until a verb comes."""
    if state == "waiting":
        lodged.make("vm", **kernel(tiny.CRASH, "crash"), restart="on-failure")
        lodged.say("vm", "start", wait=0)
        # The pauses between tries become longer than any request takes.
        wait_for(lambda: lodged.vm("vm")["restarts"] >= 3 and
                 lodged.state("vm") == "waiting")
        return
    lodged.make("vm", **kernel())
    if state == "stopped":
        return
    assert lodged.say("vm", "start").status == 200
    if state == "paused":
        assert lodged.say("vm", "pause").status == 200
        lodged.wait_state("vm", "paused")
    if state == "stopping":
        # This guest does not heed the button.
        assert lodged.say("vm", "stop", {"timeout": 3600}, wait=0
                          ).status == 202
        assert lodged.state("vm") == "stopping"


VERBS = {
    "start": ("POST", "/start", None), "stop": ("POST", "/stop", None),
    "force": ("POST", "/stop", {"force": True}),
    "reset": ("POST", "/reset", None), "pause": ("POST", "/pause", None),
    "resume": ("POST", "/resume", None), "delete": ("DELETE", "", None),
    "rename": ("PATCH", "", {"name": "other"}),
    "edit": ("PATCH", "", {"config": {"cpus": 2}}),
    "clone": ("POST", "/clone", {"name": "clone"}),
}

# What a state allows, and where the verb leads.
ALLOWED = {
    "stopped": {"start": "running", "delete": None, "rename": "stopped",
                "edit": "stopped", "clone": "stopped"},
    "running": {"stop": "stopping", "force": "stopped", "reset": "running",
                "pause": "paused", "edit": "running"},
    "paused": {"force": "stopped", "reset": "paused", "resume": "running",
               "edit": "paused"},
    "stopping": {"stop": "stopping", "force": "stopped",
                 "edit": "stopping"},
    "waiting": {"start": None, "stop": "stopped", "force": "stopped",
                "delete": None, "rename": "waiting", "edit": "waiting"},
}


@pytest.mark.parametrize("state", ALLOWED)
def test_each_verb_in_each_state(lodged, kernel, state):
    for verb, (method, path, body) in VERBS.items():
        # To wait takes seconds: what is as it was is used again.
        if (state, verb) in (("waiting", "force"), ("waiting", "edit")):
            continue
        if not lodged.ps():
            begin(lodged, kernel, state)
        elif state == "waiting":
            wait_for(lambda: lodged.state("vm") == "waiting" and
                     lodged.vm("vm")["next_start"] > time.time() + 3)
        identity = lodged.vm("vm")["id"]
        wait = "?wait=60" if (state, verb) not in (
            ("running", "stop"), ("stopping", "stop"),
            ("waiting", "start")) else ""
        answer = lodged.ask(method, f"/v1/vms/vm{path}{wait}", body)
        leads = f"{verb} in {state}: {answer.text}"
        if verb not in ALLOWED[state]:
            assert answer.status == 409, leads
            assert answer["code"] == "wrong-state", leads
            assert lodged.state("vm") == state, leads
            continue
        assert answer.status < 300, leads
        goal = ALLOWED[state][verb]
        if goal:
            wait_for(lambda g=goal: lodged.state(identity) == g)
        elif verb == "delete":
            assert lodged.ask("GET", f"/v1/vms/{identity}"
                              ).status == 404
        result = lodged.cli("rm", "--all", "--force")
        assert result.returncode == 0, result.stderr
        assert lodged.ps() == {} and not lodged.processes()


# --- at the same time --------------------------------------------------------------

class Client(threading.Thread):
    """Says verbs by chance; what it is told is of the document."""
    def __init__(self, lodged, seed, names, config):
        super().__init__()
        self.lodged, self.names, self.config = lodged, names, config
        self.chance, self.wrong = random.Random(seed), []

    def one(self):
        name = self.chance.choice(self.names)
        verb = self.chance.choice([*VERBS, "start", "start", "create",
                                   "create", "get", "kill"])
        if verb == "create":
            return self.lodged.ask("POST", "/v1/vms", {
                "name": name, "config": self.config})
        if verb == "get":
            return self.lodged.ask("GET", f"/v1/vms/{name}")
        if verb == "kill":
            answer = self.lodged.ask("GET", f"/v1/vms/{name}")
            if answer.json.get("pid"):
                try:
                    os.kill(answer["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return answer
        method, path, body = VERBS[verb]
        if body and "name" in body:
            body = {"name": self.chance.choice(self.names)}
        wait = self.chance.choice([0, 0, 1, 5])
        return self.lodged.ask(method, f"/v1/vms/{name}{path}?wait={wait}",
                               body)

    def run(self):
        for _ in range(ROUNDS):
            try:
                answer = self.one()
                if answer.status not in (200, 201, 202, 404, 409, 500, 503,
                                         504):
                    self.wrong.append(answer.text)
            except (http.client.HTTPException, OSError, AssertionError,
                    ValueError) as error:
                self.wrong.append(repr(error))


def settle(lodged):
    found = []

    def settled():
        found[:] = lodged.ask("GET", "/v1/vms")["vms"]
        return all(vm["state"] in ("stopped", "running", "paused")
                   for vm in found)
    wait_for(settled)
    return found


@pytest.mark.parametrize("seed", range(2))
def test_many_verbs_at_once(lodged, kernel, seed):
    names = ["a", "b", "c"]
    clients = [Client(lodged, (seed, i).__repr__(), names, kernel())
               for i in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not [wrong for client in clients for wrong in client.wrong]
    # A stop that no guest heeds is under way perhaps.
    for vm in lodged.ask("GET", "/v1/vms")["vms"]:
        if vm["state"] == "stopping":
            lodged.say(vm["id"], "stop", {"force": True})
    found = settle(lodged)
    up = {vm["pid"] for vm in found if vm["state"] != "stopped"}
    wait_for(lambda: lodged.processes() == up)
    # And so it is found by another lodged.
    lodged.kill()
    assert lodged.start() == "ok"
    again = settle(lodged)
    assert {(vm["id"], vm["name"], vm["state"]) for vm in again} == {
        (vm["id"], vm["name"], vm["state"]) for vm in found}
    result = lodged.cli("rm", "--all", "--force")
    assert result.returncode == 0, result.stderr
    assert not lodged.processes()
    assert not list((lodged.data / "vms").iterdir())


# --- what may be wrong with the place ------------------------------------------------

def test_who_has_it(daemon, kernel, tmp_path):
    """A disk or port that a machine of lodged's has: told by its name."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert daemon.start() == "ok"
    config = kernel()
    daemon.make("web", **config, disks=[{"path": str(disk)}],
                publish=[f"{port}:80"])
    assert daemon.say("web", "start").status == 200
    pid = daemon.vm("web")["pid"]
    words = ["run", "--kernel", config["kernel"], "--engine", config["engine"]]
    result = daemon.cli(*words, "--disk", disk)
    assert result.returncode == 1
    assert f"is in use by process {pid} (machine web)" in result.stderr
    result = daemon.cli(*words, "--publish", f"{port}:80")
    assert result.returncode == 1
    assert f"machine web (process {pid}) has port {port}" in result.stderr


def test_a_full_disk(daemon, kernel):
    """A small file system of its own is full: nothing has changed, machines go
    on, and with room again so do verbs."""
    place = daemon.base / "d"
    if os.geteuid() or os.system(
            f"mount -t tmpfs -o size=2m none {place} 2>/dev/null"):
        pytest.skip("no file system can be mounted")
    try:
        assert daemon.start() == "ok"
        for name in "web", "off", "more":
            daemon.make(name, **kernel())
        assert daemon.say("web", "start").status == 200
        pid = daemon.vm("web")["pid"]
        fill = place / "fill"
        with open(fill, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        refused = None
        for i in range(200):
            answer = daemon.ask("POST", "/v1/vms", {
                "name": f"vm{i}", "config": {"append": "x" * 4000}})
            if answer.status != 201:
                refused = answer
                break
        assert refused is not None and refused.status in (500, 507)
        assert "room" in refused["detail"] or "full" in refused["detail"]
        assert daemon.vm("web")["pid"] == pid
        assert daemon.processes() == {pid}
        answer = daemon.ask("POST", "/v1/vms/off/clone?wait=60",
                            {"name": "copy"})
        assert answer.status == 507 and "make some" in answer["detail"]
        # What makes room can be done.
        assert daemon.ask("DELETE", "/v1/vms/off?wait=60").status == 200
        assert daemon.ask("GET", "/v1/vms/off").status == 404
        fill.unlink()
        assert daemon.ask("DELETE", "/v1/vms/more?wait=60").status == 200
        assert (daemon.data / "registry.db-spare").stat().st_blocks * 512 \
            >= 256 << 10
        wait_for(lambda: daemon.ask("POST", "/v1/vms", {
            "name": "after", "config": {}}).status == 201)
        assert daemon.say("web", "stop", {"force": True}).status == 200
        daemon.end()
    finally:
        daemon.clear()
        os.system(f"umount -l {place}")


def test_a_newer_registry(daemon):
    """Of a lodged that knows more: it is named, and left alone."""
    import sqlite3
    assert daemon.start() == "ok"
    daemon.make("web")
    daemon.end()
    with sqlite3.connect(daemon.data / "registry.db") as registry:
        registry.execute("PRAGMA user_version = 9999")
    registry.close()
    told = daemon.start()
    assert "newer lodged" in told and "9999" in told
    assert daemon.gone()[0] == 1
    result = daemon.cli("ps")
    assert result.returncode == 1 and "newer lodged" in result.stderr
    assert not list(daemon.data.glob("registry.db.damaged-*"))
