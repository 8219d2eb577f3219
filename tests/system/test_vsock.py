# SPDX-License-Identifier: Apache-2.0
"""Sockets between Linux and the host (virtio-vsock), both ways."""
import hashlib
import pathlib
import random
import select
import shutil
import socket
import subprocess
import sys
import time

import pytest

import tiny
from conftest import SOURCE, run, spawn, status_of
from test_linux import boot

MIB = 1 << 20
CID = 42
TOOL = pathlib.Path(__file__).parent / "vsock" / "tool.c"


@pytest.fixture(scope="session")
def guest(linux, tmp_path_factory):
    """The default guest with a program for sockets."""
    folder = tmp_path_factory.mktemp("vsock")
    tool = TOOL.with_suffix("")  # there where no compiler is
    if not tool.exists():
        if not shutil.which("gcc"):
            pytest.skip("gcc is missing")
        tool = folder / "vsock"
        subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o",
                        tool, TOOL], check=True)
    subprocess.run([sys.executable, SOURCE / "guests" / "make_initrd.py",
                    folder / "more", "--file", f"{tool}:/bin/vsock"],
                   check=True)
    initrd = linux.index("--initrd") + 1
    (folder / "initrd").write_bytes(
        pathlib.Path(linux[initrd]).read_bytes() +
        (folder / "more").read_bytes())
    return [*linux[:initrd], folder / "initrd", *linux[initrd + 1:]]


def wait_for_driver(shell):
    """The guest loads it after the prompt."""
    shell.run("until [ -e /sys/bus/virtio/drivers/vmw_vsock_*transport/virt* "
              "]; do sleep 0.1; done")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "v.sock"


@pytest.fixture
def shell(guest, path):
    shell = boot(guest, "--cpus", 2, "--vsock", f"{CID},path={path}")
    wait_for_driver(shell)
    yield shell
    shell.child.close(force=True)


def md5(data):
    return hashlib.md5(data).hexdigest()


def call(path, port):
    """Connects to a port of the guest."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(str(path))
    client.sendall(b"CONNECT %d\n" % port)
    answer = b""
    while not answer.endswith(b"\n"):
        part = client.recv(1)
        if not part:
            raise ConnectionRefusedError(port)
        answer += part
    assert answer.startswith(b"OK ") and answer[3:].strip().isdigit()
    return client


def call_soon(path, port):
    """When the guest listens."""
    for _ in range(300):
        try:
            return call(path, port)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("nobody listens")


def listen(path, port):
    server = socket.socket(socket.AF_UNIX)
    server.settimeout(60)
    server.bind(f"{path}_{port}")
    server.listen(16)
    return server


def read_all(client):
    parts = []
    while part := client.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def test_guest_connects(shell, path):
    """Megabytes each way, whole; the ends come through."""
    assert shell.run("vsock cid") == str(CID)
    server = listen(path, 1000)
    shell.child.sendline("dd if=/dev/urandom of=/tmp/d bs=1M count=16 "
                         "2>/dev/null; vsock connect 1000 </tmp/d | md5sum; "
                         "md5sum </tmp/d")
    client = server.accept()[0]
    client.settimeout(60)
    sent = read_all(client)
    assert len(sent) == 16 * MIB
    answer = random.Random(1).randbytes(16 * MIB)
    client.sendall(answer)
    client.close()
    shell.child.expect(md5(answer))
    shell.child.expect(md5(sent))
    shell.wait()
    shell.run("! dmesg | grep -iE 'virtio.*(error|fail)'")
    assert shell.power_off() == 0
    assert not path.exists()


def test_host_connects(shell, path):
    shell.run("vsock echo 2000 & true")
    data = random.Random(2).randbytes(8 * MIB)
    client = call_soon(path, 2000)
    client.setblocking(False)
    echoed, sent = bytearray(), 0
    while len(echoed) < len(data):
        readable, writable, _ = select.select(
            [client], [client] if sent < len(data) else [], [], 60)
        assert readable or writable
        if writable:
            sent += client.send(data[sent:sent + (1 << 16)])
        if readable:
            echoed += client.recv(1 << 16)
    assert md5(echoed) == md5(data)
    client.shutdown(socket.SHUT_WR)
    client.setblocking(True)
    assert client.recv(1) == b""
    assert shell.power_off() == 0


def test_many_connections(shell, path):
    shell.run("vsock echo 2000 & true")
    call_soon(path, 2000).close()
    # The guest takes only so many that nobody has accepted yet.
    clients = [call_soon(path, 2000) for _ in range(200)]
    for n, client in enumerate(clients):
        client.sendall(b"I am %d" % n)
    for n, client in enumerate(clients):
        assert client.recv(100) == b"I am %d" % n
    for client in clients[::2]:
        client.close()
    for n, client in enumerate(clients[1::2]):
        client.sendall(b"still %d" % n)
        assert client.recv(100) == b"still %d" % n
        client.close()
    for turn in range(200):  # one after another
        client = call_soon(path, 2000)
        client.sendall(b"%d" % turn)
        assert client.recv(100) == b"%d" % turn
        client.close()
    assert shell.power_off() == 0


def test_refused(shell, path):
    assert "reset" in shell.run(
        "vsock connect 999 </dev/null 2>&1 || true")  # nobody on the host
    with pytest.raises(ConnectionRefusedError):
        call(path, 999)  # nor in the guest
    for words in (b"CONNECT x\n", b"CONNECT 99999999999\n", b"GET / \n",
                  b"C" * 100, b"CONNECT \n"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(words)
        try:
            assert client.recv(10) == b""
        except ConnectionResetError:
            pass  # for what was not read
    shell.run("vsock echo 2000 & true")
    call_soon(path, 2000).close()
    # A line in pieces, and words of the guest's right behind it.
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(str(path))
    client.sendall(b"CONN")
    time.sleep(0.1)
    client.sendall(b"ECT 2000\nwell")
    seen = b""
    while not seen.endswith(b"\nwell"):
        seen += client.recv(100)
    assert seen.startswith(b"OK ")
    assert shell.power_off() == 0


def test_the_other_side_ends(shell, path):
    """A program that goes is noticed, on either side."""
    server = listen(path, 1000)
    shell.child.sendline("cat /dev/zero | vsock connect 1000; echo EN''DED")
    client = server.accept()[0]
    client.settimeout(60)
    assert client.recv(100)
    client.close()
    shell.child.expect("ENDED")
    shell.wait()
    shell.child.sendline("echo last words | vsock connect 1000 end")
    client = server.accept()[0]
    client.settimeout(60)
    assert read_all(client) == b"last words\n"
    shell.wait()
    shell.child.sendline("sleep 1000 | vsock listen 3000; echo EN''DED")
    call_soon(path, 3000).close()
    time.sleep(0.5)
    shell.child.send("\x03")
    shell.wait()
    assert shell.power_off() == 0


def test_a_host_that_does_not_read(shell, path):
    """The guest waits; nothing is lost, and others go on."""
    server = listen(path, 1000)
    shell.run("vsock echo 2000 & true")
    shell.run("dd if=/dev/urandom of=/tmp/d bs=1M count=8 2>/dev/null")
    shell.run("(vsock connect 1000 end </tmp/d; echo sent >/tmp/sent) & true")
    slow = server.accept()[0]
    slow.settimeout(60)
    time.sleep(1)
    quick = call_soon(path, 2000)
    quick.sendall(b"quick")
    assert quick.recv(10) == b"quick"
    shell.run("[ ! -e /tmp/sent ]")
    assert md5(read_all(slow)) == shell.run("md5sum </tmp/d").split()[0]
    assert shell.power_off() == 0


def test_a_guest_that_does_not_read(shell, path):
    shell.run("mkfifo /tmp/f; (sleep 2; cat) </tmp/f >/tmp/got & true")
    shell.run("vsock listen 3000 </dev/null >/tmp/f & true")
    client = call_soon(path, 3000)
    data = random.Random(3).randbytes(4 * MIB)
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    for _ in range(100):
        if shell.run("md5sum </tmp/got").split()[0] == md5(data):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("not what was sent")
    assert shell.power_off() == 0


def test_reboot(shell, path):
    """Connections end, and new ones work."""
    shell.run("vsock echo 2000 & true")
    client = call_soon(path, 2000)
    client.sendall(b"x")
    assert client.recv(10) == b"x"
    shell.child.sendline("reboot -f")
    assert client.recv(10) == b""
    shell.wait()
    wait_for_driver(shell)
    shell.run("vsock echo 2000 & true")
    client = call_soon(path, 2000)
    client.sendall(b"y")
    assert client.recv(10) == b"y"
    assert shell.power_off() == 0


def test_a_guest_without_a_driver(make_kernel, path):
    """Is not waited for."""
    child = spawn(*make_kernel(tiny.text("ready\n") + tiny.SPIN), "--vsock",
                  f"{CID},path={path}")
    child.expect("ready")
    with pytest.raises(ConnectionRefusedError):
        call(path, 1000)
    child.send("\x01x")
    assert status_of(child) == 0
    assert not path.exists()


def test_wrong_words(make_kernel, tmp_path, monkeypatch):
    args = make_kernel(tiny.power_off())
    for words in ("", "x", "2", "4294967295", "3,", "3,path=", "3,port=5",
                  "-3"):
        result = run(*args, "--vsock", words)
        assert result.returncode == 2, words
        assert len(result.stderr.splitlines()) == 1
    for words in ("3,path=" + "a" * 110, f"3,path={tmp_path}/none/x"):
        result = run(*args, "--vsock", words)
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    result = run(*args, "--vsock", "3", "--name", "vm")
    assert result.returncode == 0, result.stderr
