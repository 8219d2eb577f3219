# SPDX-License-Identifier: Apache-2.0
"""lodged: that every operation of the OpenAPI document is asked for, and gives
each status that the document names for it. Daemon.ask() holds each request and
answer against the document; here is counted what was asked."""
import base64
import os
import socket

import pytest

import tiny
from conftest import ENGINE
from daemon import (LODGED, DOCUMENT, LIMIT, Connection, Daemon, check_answer,
                    resolved, wait_for)

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def operations():
    """(method, path of the document), and the operation."""
    return {(method.upper(), path): operation
            for path, item in DOCUMENT["paths"].items()
            for method, operation in item.items() if method != "parameters"}


class Counted(Daemon):
    """Keeps what was asked and answered: {(method, path): statuses}."""
    def __init__(self, base):
        super().__init__(base)
        self.seen = {}

    def does(self, method, pattern, status, *parts, query="", body=None,
             headers=None, token=None):
        """The answer, which has that status."""
        path = pattern
        for part in parts:
            head, _, rest = path.partition("{")
            path = head + str(part) + rest.partition("}")[2]
        answer = self.ask(method, path + query, body, headers, token=token)
        assert answer.status == status, (method, path, answer.text)
        self.seen.setdefault((method, pattern), set()).add(status)
        return answer


@pytest.fixture
def lodged(tmp_path):
    daemon = Counted(tmp_path)
    daemon.env = {k: v for k, v in daemon.env.items()
                  if not k.lower().endswith("_proxy")}
    assert daemon.start(options=["--rate", "0"]) == "ok"
    yield daemon
    daemon.clear()


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "idle.elf"
    path.write_bytes(tiny.kernel(tiny.HALT))
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    return {"kernel": str(path), "memory": 16 << 20, "engine": ENGINE,
            "display": "std", "disks": [{"path": str(disk)}]}


# --- machines -------------------------------------------------------------------------

def ask_machines(lodged, config):
    vms, vm = "/v1/vms", "/v1/vms/{vm}"
    body = {"name": "web", "config": config}
    key = {"Idempotency-Key": "one"}
    lodged.does("POST", vms, 201, body=body, headers=key)
    lodged.does("POST", vms, 200, body=body, headers=key)
    lodged.does("PATCH", vm, 200, "web", body={"config": {"usb": True}})
    for verb, undo in (("start", None), ("reset", None), ("pause", None),
                       ("resume", "pause")):
        path = f"{vm}/{verb}"
        if undo:
            lodged.say("web", undo)
        lodged.does("POST", path, 200, "web", query=f"?wait={LIMIT}")
        if verb == "start":
            lodged.say("web", "stop", {"force": True})
        else:
            lodged.say("web", "resume")
        if undo:
            lodged.say("web", undo)
        lodged.does("POST", path, 202, "web")
        lodged.wait_state("web", "paused" if verb == "pause" else "running")
        if verb == "pause":
            lodged.say("web", "resume")
    for way in "console", "vnc":
        upgrade(lodged, f"{vm}/{way}", "web")
    # It does not heed its button.
    stop = lodged.does("POST", f"{vm}/stop", 202, "web")
    job = lodged.does("GET", "/v1/jobs/{job}", 202, stop["id"])
    assert job["state"] == "active"
    lodged.does("POST", f"{vm}/stop", 200, "web", query=f"?wait={LIMIT}",
                body={"force": True})
    lodged.does("GET", "/v1/jobs/{job}", 200, stop["id"],
                query=f"?wait={LIMIT}")
    clone = f"{vm}/clone"
    lodged.does("POST", clone, 200, "web", query=f"?wait={LIMIT}",
                body={"name": "two"})
    lodged.does("POST", clone, 202, "web", body={"name": "three"})
    lodged.wait_state("three", "stopped")
    # The disk of one on an image is removed by a process of its own.
    (lodged.base / "four.img").write_bytes(bytes(1 << 20))
    assert lodged.cli("image", "import", lodged.base / "four.img", "--name",
                      "four").returncode == 0
    lodged.make("four", image="four")
    gone = lodged.does("DELETE", vm, 202, "four")
    lodged.ask("GET", f"/v1/jobs/{gone['id']}?wait={LIMIT}")
    lodged.does("DELETE", vm, 200, "two", query=f"?wait={LIMIT}")


def upgrade(lodged, pattern, name):
    """The head of a WebSocket's answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(lodged.socket))
        sock.settimeout(LIMIT)
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(f"GET {pattern.replace('{vm}', name)} HTTP/1.1\r\n"
                     "Host: l\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}"
                     "\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = sock.recv(1)
            assert piece, head
            head += piece
    assert head.startswith(b"HTTP/1.1 101 "), head
    lodged.seen.setdefault(("GET", pattern), set()).add(101)


# --- images, tokens, the rest -----------------------------------------------------------

def ask_images(lodged, config):
    images, image = "/v1/images", "/v1/images/{image}"
    file = config["disks"][0]["path"]
    for name, query, status in (("one", f"?wait={LIMIT}", 200),
                                ("two", "", 202)):
        made = lodged.does("POST", images, status, query=query,
                           body={"file": file, "name": name})
        lodged.ask("GET", f"/v1/jobs/{made['id']}?wait={LIMIT}")
    lodged.does("DELETE", image, 200, "one", query=f"?wait={LIMIT}")
    gone = lodged.does("DELETE", image, 202, "two")
    lodged.ask("GET", f"/v1/jobs/{gone['id']}?wait={LIMIT}")
    # One that does not come can be cancelled.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        pull = lodged.does("POST", images, 202, body={
            "source": f"http://127.0.0.1:{port}/a.img", "unchecked": True})
        lodged.does("DELETE", "/v1/jobs/{job}", 202, pull["id"])
        wait_for(lambda: lodged.ask(
            "GET", f"/v1/jobs/{pull['id']}")["state"] == "failed")


def ask_tokens(lodged):
    made = lodged.does("POST", "/v1/tokens", 201,
                       body={"name": "ci", "role": "viewer"})
    lodged.does("GET", "/v1/tokens/{token}", 200, "ci")
    return made["token"]


def ask_stream(lodged):
    connection = Connection(lodged.socket)
    connection.request("GET", "/v1/events/stream")
    response = connection.getresponse()
    assert response.getheader("content-type") == "text/event-stream"
    lodged.seen.setdefault(("GET", "/v1/events/stream"), set()).add(
        response.status)
    response.close()
    connection.close()


# What stands in braces for reading, of things that are there.
THERE = {"{vm}": "web", "{job}": None, "{token}": "ci", "{kind}": "disks"}


def ask_again(lodged, job):
    """Each that is read, with what the client has of it already."""
    for (method, path), operation in operations().items():
        if method != "GET" or operation.get("x-websocket") or \
                "stream" in path:
            continue
        parts = [THERE[part] or job for part in THERE if part in path]
        first = lodged.does(method, path, 200, *parts)
        assert first.etag, path
        if "304" in operation["responses"]:
            same = lodged.does(method, path, 304, *parts,
                               headers={"If-None-Match": first.etag})
            assert same.etag == first.etag


def test_every_operation_and_status(lodged, config):
    lodged.make("first", **{**config, "disks": []})
    ask_machines(lodged, config)
    ask_images(lodged, config)
    ask_tokens(lodged)
    ask_stream(lodged)
    job = lodged.ask("GET", "/v1/jobs")["jobs"][0]["id"]
    ask_again(lodged, job)
    lodged.does("DELETE", "/v1/tokens/{token}", 200, "ci")
    missing = {
        f"{method} {path} {status}"
        for (method, path), operation in operations().items()
        for status in operation["responses"] if status != "default" and
        int(status) not in lodged.seen.get((method, path), ())}
    assert not missing
    assert set(lodged.seen) == set(operations())


# --- what is wrong with any of them ----------------------------------------------------

def where(path, name="none"):
    for part in "{vm}", "{image}", "{job}", "{token}":
        path = path.replace(part, "0" if part == "{job}" else name)
    return path.replace("{kind}", "disks")


def test_every_operation_refuses(lodged):
    """Who is not known, what is not there, what is no JSON, a version that
    has passed, a number that is none: a problem with its mend, of each."""
    lodged.make("web")
    for (method, path), operation in operations().items():
        at, body = where(path), None
        if "requestBody" in operation:
            body = {}
            broken = lodged.ask(method, at, "no object")
            assert broken.status == 400, (method, path, broken.text)
            assert broken["detail"]
        # A token that was never given out.
        assert lodged.ask(method, at, body, token="lodge_00").status in (
            401, 429)
        if "{" in path and "{kind}" not in path:
            gone = lodged.ask(method, at, body)
            assert gone.status in (400, 404), (method, path, gone.text)
            assert gone["detail"]
        parameters = [resolved(p) for p in
                      operation.get("parameters", []) +
                      DOCUMENT["paths"][path].get("parameters", [])]
        names = {p["name"] for p in parameters}
        for name in names & {"wait", "limit", "since"}:
            if "stream" in path:
                continue
            bad = lodged.ask(method, f"{where(path, 'web')}?{name}=x", body)
            assert bad.status == 400 and name in bad["detail"], (method, path)
        if "dry_run" in names:
            bad = lodged.ask(method, f"{where(path, 'web')}?dry_run=x", body)
            assert bad.status == 400, (method, path, bad.text)
        if "If-Match" in names:
            bad = lodged.ask(method, where(path, "web"), body,
                             {"If-Match": '"0-0"'})
            assert bad.status == 412, (method, path, bad.text)


def test_no_other_methods(lodged):
    """What the document does not have is not there."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method.lower() in item:
                continue
            answer = lodged.ask(method, where(path), check=False)
            assert answer.status == 405, (method, path, answer.status)
            assert answer["code"] == "bad-method"
            check_answer(next(iter(item)).upper() if "parameters" not in item
                         else next(m for m in item if m != "parameters"),
                         path, answer)


# --- roles: those that the matrix of test_daemon_access.py leaves out ------------------

def test_roles_of_sockets_streams_and_removal(lodged, config):
    ranks = ["none", "viewer", "operator", "admin"]
    tokens = {}
    for name in "web", "other":
        lodged.make(name, **{**config, "disks": []})
    for role in ranks[1:]:
        tokens[role] = lodged.ask("POST", "/v1/tokens", {
            "name": role, "role": role})["token"]
    tokens["none"] = lodged.ask("POST", "/v1/tokens", {
        "name": "none", "grants": [{"vm": "web", "role": "viewer"}]})["token"]
    count = 0
    # The one that is removed goes last.
    for (method, path), operation in sorted(operations().items(),
                                            reverse=True):
        if not operation.get("x-websocket") and \
                operation["operationId"] not in ("deleteVm", "streamEvents"):
            continue
        for rank, role in enumerate(ranks):
            # A grant makes a viewer of who is none, on that machine alone.
            if "{vm}" in path and role == "none":
                rank = 1
            connection = Connection(lodged.socket)
            connection.request(method, where(path, "web"), headers={
                "Authorization": f"Bearer {tokens[role]}"})
            response = connection.getresponse()
            allowed = rank >= ranks.index(operation["x-role"])
            assert (response.status == 403) == (not allowed), (
                method, path, role, response.status)
            response.close()
            connection.close()
            count += 1
        if "{vm}" in path:
            hidden = lodged.ask(method, where(path, "other"),
                                token=tokens["none"])
            assert hidden.status == 404
    assert count == 16
