# SPDX-License-Identifier: Apache-2.0
"""Linux's own driver on the e1000: an address, data both ways, down and up."""
import hashlib
import json
import os
import socket
import threading

import pytest

from conftest import LODGE, run, spawn
from namespace import namespace, stay, wait_for
from test_drivers import guest as drivers  # noqa: F401
from test_linux import Shell

SIZE = 8 << 20

pytestmark = pytest.mark.skipif(
    not (LODGE.parent / "lodge-user-net.so").exists(),
    reason="built without libslirp")


class Server(threading.Thread):
    """Takes bytes at one port and gives others at another."""

    def __init__(self):
        super().__init__(daemon=True)
        self.give = os.urandom(SIZE)
        self.taken = hashlib.md5()
        self.listeners = [socket.create_server(("127.0.0.1", 0))
                          for _ in range(2)]
        self.take_port, self.give_port = [
            listener.getsockname()[1] for listener in self.listeners]

    def run(self):
        with self.listeners[0].accept()[0] as client:
            while data := client.recv(1 << 20):
                self.taken.update(data)
        with self.listeners[1].accept()[0] as client:
            client.sendall(self.give)


def test_linux(drivers, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    server = Server()
    server.start()
    shell = Shell(spawn(*drivers, "--net", "user,model=e1000", "--name",
                        "old", timeout=180))
    shell.run("for i in $(seq 300); do ip addr show eth0 2>/dev/null | "
              "grep -q 'inet ' && break; sleep 0.2; done", timeout=180)
    assert "inet 10.0.2.15/24" in shell.run("ip addr show eth0")
    assert "1000 Mbps Full Duplex" in shell.run("dmesg | grep eth0")
    # Large segments, which the card cuts, and checksums left to it.
    shell.run(f"head -c {SIZE} /dev/urandom >/tmp/data", timeout=60)
    sent = shell.run("md5sum </tmp/data").split()[0]
    shell.run(f"nc 10.0.2.2 {server.take_port} </tmp/data", timeout=120)
    got = shell.run(f"nc 10.0.2.2 {server.give_port} </dev/null | md5sum",
                    timeout=120).split()[0]
    server.join(60)
    assert server.taken.hexdigest() == sent
    assert got == hashlib.md5(server.give).hexdigest()
    (net,) = json.loads(run("inspect", "--json", "old").stdout)["nets"]
    assert net["model"] == "e1000" and net["received"]["bytes"] > SIZE
    assert net["sent"]["refused"] == 0 and net["received"]["dropped"] == 0
    # Off and on again: rings made anew.
    shell.run("ifconfig eth0 down; ifconfig eth0 up; "
              "ip route add default via 10.0.2.2 2>/dev/null; "
              "for i in $(seq 100); do ping -c 1 -W 1 10.0.2.2 && break; "
              "sleep 0.1; done", timeout=120)
    assert shell.power_off() == 0


def test_on_a_switch_and_a_tap(drivers, linux, tmp_path,  # noqa: F811
                               monkeypatch):
    """Beside a virtio card on the one, and this computer on the other."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with namespace() as ns:
        made = ns.lodge("net", "create", "lab", "--kind", "isolated",
                        "--subnet", "10.7.0.0/24", "--dhcp", "off")
        assert made.returncode == 0, made.stderr
        new = ns.boot(*linux, "--name", "new", "--net", "network=lab")
        old = ns.boot(*drivers, "--name", "old", "--net",
                      "network=lab,model=e1000", "--net", "tap,model=e1000")
        ns.run("ip", "addr", "add", "10.9.0.1/24", "dev", "lodge0")
        stay(old, "10.7.0.8/24")
        wait_for(old, "[ -d /sys/class/net/eth1 ]")
        old.run("ip link set eth1 up; ip addr add 10.9.0.8/24 dev eth1")
        stay(new, "10.7.0.9/24")
        # Datagrams in several fragments, too.
        for shell, address in (old, "10.7.0.9"), (old, "10.9.0.1"), \
                (new, "10.7.0.8"):
            wait_for(shell, f"ping -c 1 -W 2 {address}")
            shell.run(f"ping -c 2 -s 8000 -W 5 {address}")
        digest = old.run(f"head -c {SIZE} /dev/urandom >/tmp/data; "
                         "md5sum </tmp/data", timeout=60).split()[0]
        new.run("nc -l -p 7000 >/tmp/got & "
                "until netstat -lnt | grep -q :7000; do sleep 0.1; done")
        old.run("nc 10.7.0.9 7000 </tmp/data", timeout=120)
        wait_for(new, f"[ $(md5sum </tmp/got | cut -c1-32) = {digest} ]")
        # The cable of the tap is pulled, and back in.
        for state, carrier in ("down", 0), ("up", 1):
            ns.run("ip", "link", "set", "lodge0", state)
            wait_for(old, f"[ $(cat /sys/class/net/eth1/carrier) = {carrier} ]")
        wait_for(old, "ping -c 1 -W 2 10.9.0.1")
        for shell in old, new:
            assert shell.power_off() == 0


def test_one_pair_of_queues():
    result = run("run", "--net", "user,model=e1000,queues=2")
    assert result.returncode == 2
    assert "queues=2: model=e1000 has one pair" in result.stderr
