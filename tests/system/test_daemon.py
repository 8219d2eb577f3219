# SPDX-License-Identifier: Apache-2.0
"""lodged: its API by its document, the states of machines."""
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading

import pytest

import tiny
from conftest import ENGINE, LODGE
from daemon import (LODGED, Connection, Daemon, check_schema, DOCUMENT,
                    LIMIT, figures, wait_for)

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")



# --- the document -----------------------------------------------------------------

def test_the_document_itself():
    """Every reference leads somewhere, every operation has a name."""
    text = json.dumps(DOCUMENT)
    names = []
    for part in DOCUMENT["paths"].values():
        for method, operation in part.items():
            if method == "parameters":
                continue
            names.append(operation["operationId"])
            assert "default" in operation["responses"]
    assert len(set(names)) == len(names)
    for reference in set(text.split('"$ref": "#/')[1:]):
        part = DOCUMENT
        for name in reference.split('"')[0].split("/"):
            part = part[name]


# --- one machine's life -------------------------------------------------------------

def test_a_life(lodged, kernel):
    made = lodged.make("web", **kernel(), labels={"tier": "front"})
    assert made["state"] == "stopped"
    assert made.location == "/v1/vms/" + made["id"]
    assert lodged.say("web", "start")["state"] == "done"
    vm = lodged.vm("web")
    assert vm["state"] == "running"
    assert lodged.processes() == {vm["pid"]}
    assert lodged.say("web", "pause")["state"] == "done"
    lodged.wait_state("web", "paused")
    assert lodged.vm("web")["reason"] == "by lodge pause"
    assert lodged.say("web", "resume")["state"] == "done"
    lodged.wait_state("web", "running")
    assert lodged.say("web", "reset")["state"] == "done"
    assert lodged.say("web", "stop", {"force": True})["state"] == "done"
    vm = lodged.vm(made["id"])
    assert vm["state"] == "stopped" and vm["reason"] == "stopped"
    assert "pid" not in vm
    assert lodged.ask("DELETE", "/v1/vms/web?wait=60")["state"] == "done"
    assert lodged.ask("GET", "/v1/vms/web").status == 404
    assert not lodged.processes()
    assert not list((lodged.data / "vms").iterdir())
    assert [e["kind"] for e in lodged.events(vm=made["id"])] == [
        "created", "starting", "running", "paused", "resumed", "stopping",
        "stopped", "deleting", "deleted"]


def test_each_verb_in_each_state(lodged, kernel):
    """What the table refuses is refused, with the verb that would work."""
    lodged.make("web", **kernel())

    def refused(verb, words, body=None):
        answer = lodged.say("web", verb, body)
        assert answer.status == 409 and answer["code"] == "wrong-state"
        assert words in answer["detail"]

    for verb in "stop", "reset", "pause", "resume":
        refused(verb, "lodge start web")
    assert lodged.say("web", "start").status == 200
    refused("start", "runs already")
    refused("resume", "lodge pause web")
    assert lodged.ask("DELETE", "/v1/vms/web").status == 409
    assert lodged.ask("PATCH", "/v1/vms/web", {"name": "db"}).status == 409
    lodged.say("web", "pause")
    lodged.wait_state("web", "paused")
    refused("pause", "lodge resume web")
    refused("start", "lodge resume web")
    refused("stop", "lodge stop --force web")
    assert lodged.say("web", "stop", {"force": True}).status == 200
    assert lodged.ask("PATCH", "/v1/vms/web", {"name": "db"}).status == 200
    assert lodged.say("db", "start").status == 200


def test_a_guest_that_does_not_heed(lodged, kernel):
    lodged.make("web", **kernel())
    lodged.say("web", "start")
    answer = lodged.say("web", "stop", {"timeout": 1})
    assert answer.status == 504 and answer["code"] == "not-heeded"
    assert "lodge stop --force web" in answer["detail"]
    assert lodged.state("web") == "running"
    assert lodged.say("web", "stop",
                      {"timeout": 1, "then": "force"}).status == 200
    assert lodged.state("web") == "stopped"


def test_a_guest_that_powers_off(lodged, linux):
    """Linux heeds the power button."""
    options = dict(zip(linux[1::2], map(str, linux[2::2])))
    lodged.make("web", kernel=options["--kernel"],
                initrd=options["--initrd"], engine=ENGINE,
                append=options["--append"])
    assert lodged.say("web", "start").status == 200

    def pressed():
        """Before Linux listens, the button is pressed in vain."""
        answer = lodged.say("web", "stop", {"timeout": 2})
        return answer.status == 200
    wait_for(pressed)
    assert lodged.vm("web")["reason"] == "power-off"


def test_a_start_that_fails(lodged, kernel, tmp_path):
    config = {**kernel(), "disks": [{"path": str(tmp_path / "none.img")}]}
    lodged.make("web", **config)
    answer = lodged.say("web", "start")
    assert answer.status == 500 and "none.img" in answer["detail"]
    vm = lodged.vm("web")
    assert vm["state"] == "stopped" and "none.img" in vm["reason"]
    assert lodged.ask("PATCH", "/v1/vms/web",
                      {"config": {"disks": None}}).status == 200
    assert lodged.say("web", "start").status == 200


def test_stopped_while_it_starts(lodged, kernel):
    lodged.make("web", **kernel())
    for _ in range(5):
        start = lodged.say("web", "start", wait=0)
        assert start.status in (200, 202)
        assert lodged.say("web", "stop", {"force": True}).status == 200
        vm = lodged.vm("web")
        assert (vm["state"], vm["reason"]) == ("stopped", "stopped")
        assert not lodged.processes()
        job = lodged.ask("GET", f"/v1/jobs/{start['id']}")
        assert job["state"] in ("done", "failed")


def test_restart_policies(lodged, kernel):
    lodged.make("never", **kernel(tiny.CRASH, "crash"))
    lodged.make("crash", **kernel(tiny.CRASH, "crash"), restart="on-failure")
    lodged.make("off", **kernel(tiny.power_off(), "off"),
                restart="on-failure")
    lodged.make("always", **kernel(tiny.power_off(), "off"),
                restart="always")
    for name in "never", "crash", "off", "always":
        lodged.say(name, "start")
    wait_for(lambda: lodged.kinds("crash").count("restarting") >= 2)
    wait_for(lambda: lodged.kinds("always").count("restarting") >= 2)
    wait_for(lambda: "triple fault" in lodged.vm("crash").get("reason", ""))
    assert lodged.say("crash", "stop").status == 200
    assert lodged.state("crash") == "stopped"
    assert lodged.vm("never")["state"] == "stopped"
    assert "restarting" not in lodged.kinds("never")
    assert lodged.vm("off")["reason"] == "power-off"
    assert "restarting" not in lodged.kinds("off")


# --- around lodged's own end --------------------------------------------------------------

def test_machines_outlive_it(lodged, kernel):
    lodged.make("web", **kernel())
    lodged.make("db", **kernel())
    lodged.say("web", "start")
    lodged.say("db", "start")
    before = lodged.processes()
    for end in lodged.kill, lodged.end, lodged.kill:
        end()
        assert lodged.processes() == before
        assert lodged.start() == "ok"
        assert {lodged.vm("web")["pid"], lodged.vm("db")["pid"]} == before
        assert lodged.state("web") == "running"
    # What becomes of one while nobody looks is seen afterwards.
    lodged.kill()
    pid, = before - {lodged.ps()["db"]["pid"]}
    os.kill(pid, signal.SIGKILL)
    for other in lodged.daemons():
        os.kill(other, signal.SIGKILL)
    wait_for(lambda: not lodged.daemons() and pid not in lodged.processes())
    assert lodged.start() == "ok"
    assert lodged.state("web") == "stopped"
    assert lodged.state("db") == "running"
    assert not (lodged.runtime / "web.sock").exists()
    assert lodged.say("web", "start").status == 200


def test_machines_outlive_an_upgrade(daemon, kernel, tmp_path):
    """The programs are replaced while machines run; the new lodged adopts
    them, and starts others with the new lodge-vm."""
    place = tmp_path / "bin"
    place.mkdir()

    def install():
        for name in ("lodge", "lodge-vm", "lodged"):
            shutil.copy(LODGE.parent / name, place / "new")
            (place / "new").replace(place / name)
        for path in LODGE.parent.glob("lodge-*.so"):
            if not (place / path.name).exists():
                (place / path.name).symlink_to(path)

    def program(pid):
        return os.readlink(f"/proc/{pid}/exe")

    install()
    assert daemon.start(program=place / "lodged") == "ok"
    daemon.make("old", **kernel())
    assert daemon.say("old", "start").status == 200
    pid = daemon.vm("old")["pid"]
    assert program(pid) == str(place / "lodge-vm")
    install()
    daemon.kill()
    assert daemon.start(program=place / "lodged") == "ok"
    daemon.wait_state("old", "running")
    assert daemon.vm("old")["pid"] == pid
    assert program(pid).endswith(" (deleted)")
    assert daemon.say("old", "pause").status == 200
    daemon.make("new", **kernel())
    assert daemon.say("new", "start").status == 200
    assert program(daemon.vm("new")["pid"]) == str(place / "lodge-vm")


def test_a_damaged_registry(lodged, kernel):
    lodged.make("web", **kernel())
    lodged.make("off", **kernel())
    lodged.say("web", "start")
    pid = lodged.vm("web")["pid"]
    lodged.kill()
    for name in "registry.db", "registry.db-wal":
        path = lodged.data / name
        if path.exists():
            path.write_bytes(b"\xa5" * path.stat().st_size)
    told = lodged.start()
    kept, = (p for p in lodged.data.glob("registry.db.damaged-*")
             if p.name[-4:] not in ("-wal", "-shm"))
    assert told == (f"ok the registry was damaged; it is kept as {kept}, and "
                    f"a new one is filled from the machines' folders")
    assert (lodged.data / "registry.db").stat().st_mode & 0o777 == 0o600
    lodged.wait_state("web", "running")
    assert lodged.vm("web")["pid"] == pid
    assert lodged.state("off") == "stopped"
    assert "registry-replaced" in [e["kind"] for e in lodged.events()]
    assert lodged.say("web", "stop", {"force": True}).status == 200


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_the_end_of_the_log_is_lost(lodged, kernel, tmp_path, part):
    """SQLite cannot tell that from a commit that was cut short; the machines'
    folders can."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    lodged.make("gone", **kernel())
    lodged.make("web", **kernel(), disks=[{"path": str(disk)}])
    lodged.make("old")
    assert lodged.ask("POST", "/v1/vms/web/clone?wait=60",
                      {"name": "two"}).status == 200
    assert lodged.ask("PATCH", "/v1/vms/old", {"name": "new"}).status == 200
    assert lodged.ask("PATCH", "/v1/vms/two", {"config": {"cpus": 2}}
                      ).status == 200
    assert lodged.ask("DELETE", "/v1/vms/gone?wait=60").status == 200
    lodged.say("two", "start")
    before = {vm["name"]: (vm["id"], vm["config"])
              for vm in lodged.ask("GET", "/v1/vms")["vms"]}
    files = sorted((lodged.data / "vms").glob("*/*.qcow2"))
    lodged.kill()
    log = lodged.data / "registry.db-wal"
    log.write_bytes(log.read_bytes()[:log.stat().st_size * part // 4])
    assert lodged.start() == "ok"
    lodged.wait_state("two", "running")
    found = {vm["name"]: (vm["id"], vm["config"])
             for vm in lodged.ask("GET", "/v1/vms")["vms"]}
    assert {name: found[name] for name in before} == before
    # One that the log's end had deleted may be known again.
    assert set(found) - set(before) <= {"gone"}
    assert sorted((lodged.data / "vms").glob("*/*.qcow2")) == files
    assert lodged.say("two", "stop", {"force": True}).status == 200
    assert lodged.say("web", "start").status == 200


@pytest.mark.parametrize("version", [None, 1, 4])
def test_a_registry_that_is_missing(lodged, version):
    """A folder that is no machine of this version is left alone."""
    lodged.make("web")
    strange = lodged.make("strange")
    lodged.end()
    copy = lodged.data / "vms" / strange["id"] / "vm.json"
    copy.write_text(copy.read_text().replace('"strange"', '"../x"'))
    (lodged.data / "vms" / "junk").mkdir()
    for path in lodged.data.glob("registry.db*"):
        path.unlink()
    if version:
        # Something else has its name.
        with contextlib.closing(
                sqlite3.connect(lodged.data / "registry.db")) as registry:
            registry.execute(f"PRAGMA user_version = {version}")
            registry.execute("CREATE TABLE mine (a)")
            registry.commit()
    result = lodged.cli("ps", "--json")
    assert [line[:47] for line in result.stderr.splitlines()] == bool(
        version) * ["lodge: the registry was damaged; it is kept as "]
    assert [vm["name"] for vm in json.loads(result.stdout)] == ["web"]
    assert copy.exists()
    assert not (lodged.data / "vms" / "junk").exists()


def test_one_for_a_folder(lodged):
    other = Daemon(lodged.base)
    assert f"process {lodged.child.pid}, another lodged" in other.start()
    other.gone()
    other.env["XDG_RUNTIME_DIR"] = str(lodged.base)
    lodged.base.chmod(0o700)
    assert "another lodged" in other.start()
    assert other.gone()[0] == 1


def test_autostart(daemon, kernel):
    assert daemon.start() == "ok"
    daemon.make("late", **kernel(), autostart=True, autostart_order=2)
    daemon.make("early", **kernel(), autostart=True, autostart_order=1)
    daemon.make("not", **kernel())
    daemon.kill()
    # The host has not started since.
    assert daemon.start() == "ok"
    assert daemon.state("late") == "stopped"
    daemon.kill()
    with contextlib.closing(
            sqlite3.connect(daemon.data / "registry.db")) as registry:
        registry.execute("UPDATE settings SET value = 'other' "
                         "WHERE name = 'boot'")
        registry.commit()
    assert daemon.start() == "ok"
    daemon.wait_state("late", "running")
    daemon.wait_state("early", "running")
    assert daemon.state("not") == "stopped"
    starts = [e["name"] for e in daemon.events() if e["kind"] == "starting"]
    assert starts == ["early", "late"]


def test_handed_a_socket(daemon):
    """As systemd does it."""
    path = daemon.base / "handed"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(daemon.base / "manager"))
    manager.settimeout(LIMIT)
    script = ('import os, sys; os.dup2(int(sys.argv[1]), 3); '
              'os.environ.update(LISTEN_PID=str(os.getpid()), '
              'LISTEN_FDS="1"); os.execv(sys.argv[2], ["lodged"])')
    daemon.child = subprocess.Popen(
        ["/usr/bin/python3", "-c", script, str(listener.fileno()),
         str(LODGED)], pass_fds=[listener.fileno()],
        env={**daemon.env, "NOTIFY_SOCKET": manager.getsockname()},
        stderr=subprocess.PIPE, text=True)
    daemon.socket = path
    assert manager.recv(100) == b"READY=1"
    assert daemon.ask("GET", "/v1")["pid"] == daemon.child.pid
    assert daemon.end()[0] == 0
    assert manager.recv(100) == b"STOPPING=1"


# --- the API ------------------------------------------------------------------------------

def test_versions_and_keys(lodged, kernel):
    body = {"name": "web", "config": kernel()}
    key = {"Idempotency-Key": "abc"}
    first = lodged.ask("POST", "/v1/vms", body, key)
    again = lodged.ask("POST", "/v1/vms", body, key)
    assert (first.status, again.status) == (201, 200)
    assert first["id"] == again["id"]
    lodged.kill()
    assert lodged.start() == "ok"
    assert lodged.ask("POST", "/v1/vms", body, key)["id"] == first["id"]
    assert lodged.ask("POST", "/v1/vms", body).status == 409
    change = {"config": {"cpus": 2}}
    assert lodged.ask("PATCH", "/v1/vms/web", change,
                      {"If-Match": first.etag}).status == 200
    assert lodged.ask("PATCH", "/v1/vms/web", change,
                      {"If-Match": first.etag}).status == 412
    assert lodged.vm("web")["config"]["cpus"] == 2


def test_what_is_known_is_not_sent(lodged):
    lodged.make("web")
    for path in "/v1/vms/web", "/v1/vms", "/v1/events":
        first = lodged.ask("GET", path)
        again = lodged.ask("GET", path, headers={"If-None-Match": first.etag})
        assert again.status == 304 and again.etag == first.etag
    lodged.make("db")
    assert lodged.ask("GET", "/v1/vms", headers={
        "If-None-Match": first.etag}).status == 200


def test_what_is_wrong_is_told(lodged):
    answer = lodged.ask("POST", "/v1/vms", {"name": "a", "config":
                                            {"memroy": 1}})
    assert answer.status == 400 and "memory" in answer["detail"]
    lodged.make("web")
    answer = lodged.ask("GET", "/v1/vms/wbe")
    assert answer.status == 404 and "web" in answer["detail"]
    for path in "/", "/v1/", "/v2", "/v1/vms/web/fly":
        answer = lodged.ask("GET", path, check=False)
        assert answer.status in (404, 405), path
        check_schema(DOCUMENT["components"]["schemas"]["Problem"],
                     answer.json)


def test_pages_and_labels(lodged):
    for i in range(7):
        lodged.make(f"vm{i}", labels={"odd": str(i % 2)})
    seen, after = [], ""
    while True:
        page = lodged.ask("GET", f"/v1/vms?limit=3&after={after}").json
        seen += [vm["name"] for vm in page["vms"]]
        after = page.get("next")
        if not after:
            break
    assert seen == [f"vm{i}" for i in range(7)]
    odd = lodged.ask("GET", "/v1/vms?label=odd=1")["vms"]
    assert [vm["name"] for vm in odd] == ["vm1", "vm3", "vm5"]


def test_events_as_they_come(lodged, kernel):
    last = lodged.ask("GET", "/v1")["last_event"]
    got = []

    def watch():
        since = last
        while len(got) < 3:
            page = lodged.ask("GET", f"/v1/events?since={since}&wait=60")
            got.extend(e["kind"] for e in page["events"])
            since = page["last"]
    thread = threading.Thread(target=watch)
    thread.start()
    lodged.make("web", **kernel())
    lodged.say("web", "start")
    thread.join(60)
    assert got[:3] == ["created", "starting", "running"]


def raw(lodged, data, end=True):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(str(lodged.socket))
    try:
        client.sendall(data)
        if end:
            client.shutdown(socket.SHUT_WR)
        return client.recv(65536)
    except (BrokenPipeError, ConnectionResetError):
        return b""
    finally:
        client.close()


def test_clients_that_are_wrong(lodged):
    """They harm nobody, themselves perhaps."""
    lodged.make("web")
    long = b"x" * 100000
    for data in (b"", b"\0", b"GET", b"GET /v1\r\n", b"\r\n\r\n", long,
                 b"GET /" + long + b" HTTP/1.1\r\n\r\n",
                 b"GET /v1 HTTP/1.1\r\nHost: x\r\nX: " + long + b"\r\n\r\n",
                 b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Length: 9999"
                 b"\r\n\r\n{",
                 b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Length: -1"
                 b"\r\n\r\n{}",
                 b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Length: "
                 b"99999999999999999999\r\n\r\n{}",
                 b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                 b"chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                 b"BREW /v1 HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET /v1/vms/%00%ff HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET /v1?" + b"a=b&" * 500 + b" HTTP/1.1\r\nHost: x"
                 b"\r\n\r\n"):
        raw(lodged, data)
        assert lodged.ask("GET", "/v1")["vms"] == 1
    big = b"{" + b" " * (1 << 20) + b"}"
    answer = raw(lodged, b"POST /v1/vms HTTP/1.1\r\nHost: x\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(big) + big)
    assert b" 413" in answer or not answer
    assert lodged.ask("GET", "/v1")["vms"] == 1


GOOD = [
    b"GET /v1/vms?limit=3&after=a HTTP/1.1\r\nHost: x\r\n"
    b'If-None-Match: "1", W/"2"\r\nIf-Match: *\r\n\r\n',
    b"POST /v1/vms/web/stop?wait=0 HTTP/1.1\r\nHost: x\r\n"
    b'Content-Length: 14\r\n\r\n{"force":true}',
    b"GET /v1/events/stream?since=1 HTTP/1.1\r\nHost: x\r\n"
    b"Last-Event-ID: 1\r\n\r\n",
    b"GET /v1/vms/web/console HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"PATCH /v1/vms/web HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n"
    b"Idempotency-Key: k\r\nOrigin: http://x\r\nContent-Length: 2\r\n\r\n{}",
]


def test_requests_with_changes(lodged):
    """Bytes turned, doubled, left out and mixed, the same ones each time."""
    lodged.make("web")
    dice = random.Random(7)
    for _ in range(int(os.environ.get("LODGE_REQUESTS", "400"))):
        data = bytearray(dice.choice(GOOD))
        for _ in range(dice.randrange(1, 8)):
            at = dice.randrange(len(data) + 1)
            how = dice.randrange(4)
            if how == 0:
                data[at:at + 1] = bytes([dice.randrange(256)])
            elif how == 1:
                data[at:at] = data[at:at + dice.randrange(40)]
            elif how == 2:
                del data[at:at + dice.randrange(20)]
            else:
                data[at:at] = dice.choice(GOOD)[:dice.randrange(200)]
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(lodged.socket))
        with contextlib.suppress(OSError):
            client.sendall(data)
            if dice.randrange(2):
                client.shutdown(socket.SHUT_WR)
        client.close()
    assert lodged.ask("GET", "/v1")["vms"] <= 1
    wait_for(lambda: clients(lodged) == 1)


def test_clients_that_hang(lodged):
    """Half a request each, and others are served."""
    hanging = []
    for i in range(100):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(lodged.socket))
        client.sendall(b"GET /v1/vms HTTP/1.1\r\nHost" if i % 2 else
                       b"POST /v1/vms HTTP/1.1\r\nHost: x\r\n"
                       b"Content-Length: 10\r\n\r\n{")
        hanging.append(client)
    assert lodged.ask("GET", "/v1")["vms"] == 0
    for client in hanging:
        client.close()
    assert lodged.ask("GET", "/v1")["vms"] == 0


def test_clients_in_great_number(lodged):
    """More connections than there are places, and requests without end that
    nobody reads the answers of: whoever comes next is served, and who waits
    for an answer keeps his place."""
    for i in range(20):
        lodged.make(f"a{i}")
    waits = Connection(lodged.socket)
    last = lodged.events()[-1]["id"]
    waits.request("GET", f"/v1/events?since={last}&wait=600")
    many = []
    for i in range(600):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(lodged.socket))
        client.setblocking(False)
        if i % 20 == 0:
            with contextlib.suppress(OSError):
                while True:
                    client.send(b"GET /v1/vms HTTP/1.1\r\nHost: l\r\n\r\n" *
                                100)
        many.append(client)
    assert lodged.ask("GET", "/v1")["vms"] == 20
    assert lodged.cli("ps").returncode == 0
    lodged.make("web")
    assert waits.getresponse().status == 200
    waits.close()
    for client in many:
        client.close()
    wait_for(lambda: clients(lodged) == 1)


def clients(lodged):
    return int(figures(lodged.ask("GET", "/metrics").text.decode())[
        "lodge_api_clients", None])


def test_clients_that_leave(lodged):
    """Whoever does not wait for his answer costs nothing more; whoever has
    shut his sending end gets it."""
    def wait(seconds):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(str(lodged.socket))
        client.sendall(b"GET /v1/events?since=0&wait=%d HTTP/1.1\r\n"
                       b"Host: x\r\n\r\n" % seconds)
        wait_for(lambda: clients(lodged) == 2)
        return client
    wait(3600).close()
    wait_for(lambda: clients(lodged) == 1)
    half = wait(3600)
    half.shutdown(socket.SHUT_WR)
    assert clients(lodged) == 2
    lodged.make("web")
    assert b'"kind":"created"' in half.recv(65536)
    half.close()


def test_many_requests_on_one_connection(lodged):
    connection = Connection(lodged.socket)
    for i in range(50):
        connection.request("POST", "/v1/vms", json.dumps({"name": f"a{i}"}))
        response = connection.getresponse()
        assert response.status == 201
        response.read()
        connection.request("POST", f"/v1/vms/a{i}/stop")
        response = connection.getresponse()
        assert response.status == 409
        response.read()
    connection.close()
    assert lodged.ask("GET", "/v1")["vms"] == 50
