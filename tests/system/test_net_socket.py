# SPDX-License-Identifier: Apache-2.0
"""A guest's network in another program, over a stream socket: passt, QEMU, and
another lodge. What goes away comes back."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import run, spawn
from test_linux import Shell
from test_net import MIB, guest, peer, server  # noqa: F401


def until(condition, what, seconds=60):
    """Waits for a state."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextlib.contextmanager
def running(*words):
    """Another program, until the end; and that of all its processes."""
    with subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL,
                          start_new_session=True) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def listens(path, pid="self"):
    """Whether somebody does in the network of a process. He is not asked: some
    take one guest."""
    with open(f"/proc/{pid}/net/unix", encoding="utf-8") as file:
        return any(line.split()[3] == "00010000" and
                   line.rstrip().endswith(str(path)) for line in file)


@contextlib.contextmanager
def qemu(path):
    """A machine that never runs: its network's router, behind a socket."""
    program = shutil.which("qemu-system-x86_64")
    if not program:
        pytest.skip("qemu-system-x86_64 is missing")
    with running(program, "-M", "none", "-nodefaults", "-display", "none",
                 "-netdev", "user,id=user", "-netdev",
                 "hubport,id=one,hubid=0,netdev=user", "-netdev",
                 f"stream,id=stream,server=on,addr.type=unix,addr.path={path}",
                 "-netdev", "hubport,id=two,hubid=0,netdev=stream") as process:
        until(lambda: listens(path), "QEMU does not listen")
        yield process


def carrier(shell, up):
    shell.run(f"for i in $(seq 300); do [ $(cat /sys/class/net/eth0/carrier) "
              f"= {up:d} ] && break; sleep 0.1; done; "
              f"[ $(cat /sys/class/net/eth0/carrier) = {up:d} ]",
              timeout=120)


def test_qemu(guest, server, tmp_path):
    """Its router's addresses, TCP both ways, its end and its return."""
    path = tmp_path / "net"
    with qemu(path) as process:
        shell = Shell(spawn(*guest, "--net", f"socket={path}", timeout=120))
        shell.run("for i in $(seq 300); do ip addr show eth0 | grep -q "
                  "'inet 10.0.2.15' && break; sleep 0.1; done", timeout=120)
        assert "inet 10.0.2.15/24" in shell.run("ip addr show eth0")
        shell.run(f"peer get 10.0.2.2 {server} {MIB}", timeout=300)
        shell.run(f"peer put 10.0.2.2 {server} {MIB}", timeout=300)
        process.kill()
        process.wait()
        carrier(shell, False)
    path.unlink()
    with qemu(path):
        carrier(shell, True)
        assert "1 packets received" in shell.run("ping -c 1 -W 20 10.0.2.2",
                                                 timeout=120)
        shell.run(f"peer put 10.0.2.2 {server} 100000", timeout=300)
    assert shell.power_off() == 0


PASST = """
    ip link set lo up
    ip link add out type veth peer name far
    ip address add 192.0.2.9/24 dev out
    ip link set far up
    ip link set out up
    ip route add default via 192.0.2.1
    "$0" serve 7000 &
    exec passt --foreground --runas 0 --ipv4-only --tcp-ports 7001 --socket "$1"
"""


@contextlib.contextmanager
def passt(peer, path):
    """In a network of its own, with a server: what the guest sees of a host."""
    alone = ["unshare", "-n", "sh", "-e", "-c"]
    if not shutil.which("passt") or subprocess.run(
            [*alone, "ip link add out type veth peer name far"], check=False,
            capture_output=True).returncode:
        pytest.skip("no passt, or no network namespaces")
    with running(*alone, PASST, peer, path) as process:
        until(lambda: listens(path, process.pid), "passt does not listen")
        yield process.pid


def test_passt(guest, peer, tmp_path):
    """DHCP, TCP both ways, a published port; it goes and comes back."""
    path = tmp_path / "net"
    with passt(peer, path) as pid:
        shell = Shell(spawn(*guest, "--net", f"socket={path},mtu=65520",
                            timeout=120))
        shell.run("for i in $(seq 300); do ip addr show eth0 | grep -q "
                  "'inet 192.0.2.9' && break; sleep 0.1; done", timeout=120)
        assert "inet 192.0.2.9/24" in shell.run("ip addr show eth0")
        # The router's address leads to the host.
        for way in "get", "put":
            shell.run(f"peer {way} 192.0.2.1 7000 {8 * MIB}", timeout=300)
        shell.run("peer serve 7001 >/tmp/said & until grep -q ready "
                  "/tmp/said; do sleep 0.1; done")
        subprocess.run(["nsenter", "-n", "-t", str(pid), peer, "put",
                        "127.0.0.1", "7001", "100000"], check=True,
                       timeout=300)
    carrier(shell, False)
    path.unlink()
    with passt(peer, path):
        carrier(shell, True)
        shell.run(f"peer get 192.0.2.1 7000 {MIB}", timeout=300)
        assert shell.power_off() == 0


def test_two(guest, tmp_path):
    """Two guests on one cable; the one that listens begins again."""
    path = tmp_path / "net"
    one = Shell(spawn(*guest, "--net", f"socket={path},listen", timeout=120))
    assert listens(path)
    two = Shell(spawn(*guest, "--net", f"socket={path},mtu=9000",
                      timeout=120))
    for shell, address in (one, "192.0.2.1"), (two, "192.0.2.2"):
        carrier(shell, True)
        shell.run(f"ip addr add {address}/24 dev eth0")
    one.run("peer serve 7000 >/tmp/said & until grep -q ready /tmp/said; "
            "do sleep 0.1; done")
    two.run(f"peer put 192.0.2.1 7000 {MIB}", timeout=300)
    two.run(f"peer get 192.0.2.1 7000 {MIB}", timeout=300)
    two.child.kill(9)
    two.child.close()
    carrier(one, False)
    three = Shell(spawn(*guest, "--net", f"socket={path}", timeout=120))
    carrier(one, True)
    carrier(three, True)
    three.run("ip addr add 192.0.2.3/24 dev eth0")
    assert "1 packets received" in three.run("ping -c 1 -W 20 192.0.2.1",
                                             timeout=120)
    assert three.power_off() == 0
    assert one.power_off() == 0
    assert not os.path.exists(path)


def test_beside_it(guest, tmp_path, monkeypatch):
    """A path without a slash, in the sandbox; and again, from within it."""
    monkeypatch.chdir(tmp_path)
    def listen():
        other = socket.socket(socket.AF_UNIX)
        other.bind("hub")
        other.listen()
        other.settimeout(60)
        return other

    other = listen()
    shell = Shell(spawn(*guest, "--sandbox", "on", "--net", "socket=hub",
                        timeout=120))
    for again in True, False:
        with other.accept()[0]:
            # Else it would be back before the guest has looked.
            other.close()
            os.unlink("hub")
            carrier(shell, True)
        carrier(shell, False)
        other = listen() if again else None
    assert shell.power_off() == 0
    shell = Shell(spawn(*guest, "--sandbox", "on", "--net",
                        "socket=mine,listen", timeout=120))
    until(lambda: listens("mine"), "it does not listen")
    assert shell.power_off() == 0
    assert not os.path.exists("mine")


def test_strange_peer(guest, tmp_path):
    """Frames of no size, and of an impossible one."""
    path = tmp_path / "net"
    shell = Shell(spawn(*guest, "--net", f"socket={path},listen",
                        timeout=120))
    for data in bytes(4000), b"\xff" * 8, b"\0\0\0\x0dabc":
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(path))
            carrier(shell, True)
            stranger.sendall(data)
            if data[0]:  # hung up on
                stranger.settimeout(60)
                with contextlib.suppress(ConnectionResetError):
                    while stranger.recv(65536):
                        pass
        carrier(shell, False)
    assert shell.power_off() == 0


def test_nobody_and_somebody(guest, tmp_path):
    path = tmp_path / "net"
    result = run(*guest, "--net", f"socket={path}")
    assert result.returncode == 1
    assert f"socket={path}: nobody listens there; start the other" in \
        result.stderr
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        result = run(*guest, "--net", f"socket={path},listen")
        assert result.returncode == 1
        assert "somebody has that already" in result.stderr
    long = tmp_path / ("x" * 108)
    result = run(*guest, "--net", f"socket={long},listen")
    assert result.returncode == 1 and "too long" in result.stderr
    result = run("run", "--net", "socket")
    assert result.returncode == 2
    assert "give socket=PATH" in result.stderr
