# SPDX-License-Identifier: Apache-2.0
"""lodged: consoles and displays of machines over WebSockets, with Debian's
python3-websocket as the client."""
import contextlib
import os
import socket
import struct

import pytest
import websocket

import tiny
from conftest import ENGINE
from daemon import LODGED, LIMIT, Daemon, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

# 1: wait for a byte at the first serial port, give it back, again.
ECHO = (b"\xFA\x66\xBA\xFD\x03"      # cli; mov dx, 3fdh
        b"\xEC\xA8\x01\x74\xFB"      # 1: in al, dx; test al, 1; jz 1b
        b"\x66\xBA\xF8\x03\xEC\xEE"  # mov dx, 3f8h; in al, dx; out dx, al
        b"\xEB\xEE")                 # jmp to mov dx, 3fdh


@pytest.fixture
def lodged(tmp_path):
    daemon = Daemon(tmp_path)
    assert daemon.start(options=["--rate", "0"]) == "ok"
    yield daemon
    daemon.clear()


@pytest.fixture
def machine(lodged, tmp_path):
    def make(name, code, **config):
        path = tmp_path / f"{name}.elf"
        path.write_bytes(tiny.kernel(code))
        lodged.make(name, kernel=str(path), memory=16 << 20, engine=ENGINE,
                    **config)
        answer = lodged.say(name, "start")
        assert answer.status == 200, answer.text
    return make


def connect(lodged, path, protocols=("binary",), **more):
    plain = socket.socket(socket.AF_UNIX)
    plain.settimeout(LIMIT)
    plain.connect(str(lodged.socket))
    return websocket.create_connection(
        f"ws://lodged{path}", socket=plain, timeout=LIMIT,
        subprotocols=list(protocols), suppress_origin=True, **more)


def refusal(lodged, path, **more):
    with pytest.raises(websocket.WebSocketBadStatusException) as error:
        connect(lodged, path, **more)
    return error.value.status_code


def read(client, size):
    data = b""
    while len(data) < size:
        data += client.recv()
    return data


def test_a_console(lodged, machine):
    machine("web", tiny.text("hello") + ECHO)
    client = connect(lodged, "/v1/vms/web/console")
    assert client.subprotocol == "binary"
    assert read(client, 5) == b"hello"
    client.send_binary(b"abc")
    assert read(client, 3) == b"abc"
    client.send("text")
    assert read(client, 4) == b"text"
    line = lodged.ask("GET", "/v1/audit")["audit"][-1]
    assert (line["path"], line["status"]) == ("/v1/vms/web/console", 101)
    # It ends with the machine; who comes later is told why not.
    assert lodged.say("web", "stop", {"force": True}).status == 200
    with contextlib.suppress(websocket.WebSocketConnectionClosedException,
                             BrokenPipeError):
        while client.recv():
            pass
    assert refusal(lodged, "/v1/vms/web/console") == 409


def test_much_both_ways(lodged, machine):
    """A client that does not read holds up nobody but its machine."""
    machine("web", ECHO)
    machine("db", tiny.text("hello") + b"\xEB\xFE")
    client = connect(lodged, "/v1/vms/web/console", protocols=())
    data = os.urandom(20000)
    for i in range(0, len(data), 500):
        client.send_binary(data[i:i + 500])
        other = connect(lodged, "/v1/vms/db/console") if i == 5000 else None
        if other:
            assert read(other, 5) == b"hello"
            other.close()
    # The port has no flow control: what it lost is lost, the rest in order.
    assert client.recv()[0:1] == data[0:1]
    assert lodged.ask("GET", "/v1")["vms"] == 2
    client.close()


def test_a_display(lodged, machine):
    machine("web", tiny.HALT, display="std")
    client = connect(lodged, "/v1/vms/web/vnc")
    assert read(client, 12) == b"RFB 003.008\n"
    client.send_binary(b"RFB 003.008\n")
    kinds = read(client, 2)
    assert kinds[0] == len(kinds) - 1 and 1 in kinds[1:]
    client.send_binary(b"\x01")
    assert read(client, 4) == bytes(4)
    client.send_binary(b"\x01")
    first = read(client, 24)
    width, height = struct.unpack(">HH", first[:4])
    assert width >= 320 and height >= 200
    client.close()
    machine("plain", tiny.HALT)
    assert refusal(lodged, "/v1/vms/plain/vnc") == 409


def test_a_display_with_an_address(lodged, machine, tmp_path):
    path = tmp_path / "vnc"
    machine("web", tiny.HALT, display=f"vnc=unix:{path}")
    client = connect(lodged, "/v1/vms/web/vnc")
    assert read(client, 12) == b"RFB 003.008\n"
    client.close()


def test_who_may(lodged, machine):
    machine("web", ECHO)
    machine("db", tiny.HALT)
    body = {"name": "t", "grants": [{"vm": "web", "role": "operator"}]}
    token = lodged.ask("POST", "/v1/tokens", body)["token"]
    body = {"name": "v", "role": "viewer"}
    viewer = lodged.ask("POST", "/v1/tokens", body)["token"]

    def header(text):
        return {"header": {"Authorization": f"Bearer {text}"}}
    client = connect(lodged, "/v1/vms/web/console", **header(token))
    client.send_binary(b"a")
    assert read(client, 1) == b"a"
    client.close()
    client = connect(lodged, "/v1/vms/web/console",
                     protocols=("binary", f"bearer.{token}"))
    client.send_binary(b"b")
    assert read(client, 1) == b"b"
    client.close()
    console = "/v1/vms/web/console"
    assert refusal(lodged, console, **header("lodge_0")) == 401
    assert refusal(lodged, console, **header(viewer)) == 403
    line = lodged.ask("GET", "/v1/audit")["audit"][-1]
    assert (line["who"], line["status"]) == ("token v", 403)
    assert refusal(lodged, "/v1/vms/db/console", **header(token)) == 404
    assert refusal(lodged, "/v1/vms/web/fly") == 404
    assert refusal(lodged, "/v1/vms/none/console") == 404
    assert refusal(lodged, console,
                   header={"Origin": "https://evil.example"}) == 403
    # Without the upgrade there is nothing to see.
    plain = lodged.ask("GET", console)
    assert plain.status == 400 and plain["code"] == "no-websocket"


def test_clients_that_are_wrong(lodged, machine):
    machine("web", ECHO)
    ask = (b"GET /v1/vms/web/console HTTP/1.1\r\nHost: x\r\n"
           b"Upgrade: websocket\r\nConnection: Upgrade\r\n")
    good = (ask + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n")
    for data in (good.replace(b"GET", b"POST", 1),
                 good.replace(b"GET", b"DELETE", 1), ask + b"\r\n", ask + b"Sec-WebSocket-Version: 99\r\n\r\n",
                 good + b"\xff" * 1000,
                 good + b"\x82\xff" + b"\xff" * 20,
                 good + b"\x82\x7f\x7f" + b"\xff" * 7 + b"abcd" + b"x" * 999,
                 good + b"\x81\x05hello",  # not masked
                 good + b"\x82\x83abcdxyz" * 100):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(LIMIT)
        client.connect(str(lodged.socket))
        with contextlib.suppress(OSError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            client.recv(4096)
        client.close()
        assert lodged.ask("GET", "/v1")["vms"] == 1
    wait_for(lambda: b"\nlodge_api_clients 1\n" in
             lodged.ask("GET", "/metrics").text)
    client = connect(lodged, "/v1/vms/web/console")
    client.send_binary(b"z")
    while b"z" not in client.recv():
        pass  # what the others have sent
    client.close()
