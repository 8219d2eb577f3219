# SPDX-License-Identifier: Apache-2.0
"""Machines of a switch that exchange frames without it: when they do, when they
do not any more, and what one of them can do to the other by it."""
import mmap
import os
import signal
import socket
import struct
import time

import pytest

from conftest import run
from test_net import addressed, guest, peer  # noqa: F401, fixtures
from test_switch import (Card, MIB, folders, net, pings, ports,  # noqa: F401
                         served, show, start, until)

PORT = 7000


def serve(shell):
    shell.run(f"peer serve {PORT} >/tmp/said & until grep -q ready /tmp/said; "
              "do sleep 0.1; done")


def exchange(shell, address, size=MIB):
    shell.run(f"peer put {address} {PORT} {size}", timeout=120)
    shell.run(f"peer get {address} {PORT} {size}", timeout=120)


def shortcuts(name="lab"):
    return {machine: port["shortcuts"]
            for machine, port in ports(name).items()}


def until_joined(shell, address, count):
    """They exchange frames, until they do it so."""
    end = time.monotonic() + 60
    while shortcuts() != count:
        assert time.monotonic() < end, shortcuts()
        exchange(shell, address)


def pair(guest):  # noqa: F811
    net("create", "lab", "--kind", "isolated", "--subnet", "10.7.0.0/24",
        "--subnet", "fd00:7::/64")
    one, two = (addressed(start(guest, name)) for name in ("one", "two"))
    serve(two)
    until(lambda: len(ports()["two"]["addresses"]) == 2)
    return one, two, ports()["two"]["addresses"]


def test_shortcut(guest):  # noqa: F811
    """Both families, all kinds of traffic, each byte checked and counted."""
    one, two, addresses = pair(guest)
    both = {"one": 1, "two": 1}
    until_joined(one, addresses[0], both)
    assert "shortcuts 1" in net("show", "lab")
    before = ports()
    for to in addresses:
        exchange(one, to, 30 * MIB)
        one.run(f"peer rr {to} {PORT} 100", timeout=120)
        one.run(f"peer conn {to} {PORT} 30", timeout=120)
        one.run(f"peer udp {to} {PORT} 20 1400", timeout=120)
        pings(one, to, "ping6" if ":" in to else "ping")
    after = ports()
    for machine, other in ("one", "two"), ("two", "one"):
        sent, received = (
            {name: after[whose][way][name] - before[whose][way][name]
             for name in ("frames", "bytes")}
            for whose, way in ((machine, "sent"), (other, "received")))
        assert sent["bytes"] >= received["bytes"] > 60 * MIB
        assert sent["bytes"] / sent["frames"] > 1000
        assert after[machine]["refused"] == 0
    # A third machine has its own with each.
    three = addressed(start(guest, "three"))
    until_joined(three, addresses[0], {"one": 1, "two": 2, "three": 1})
    exchange(one, addresses[0])
    for shell in one, two, three:
        assert shell.power_off() == 0
    until(lambda: show()["switch"] is None)


def test_ends(guest):  # noqa: F811
    """With rules; with the switch; with the other machine."""
    one, two, addresses = pair(guest)
    both = {"one": 1, "two": 1}
    until_joined(one, addresses[0], both)
    one.run(f"peer conn {addresses[0]} {PORT} 3")
    net("rules", "lab", "two", "--rule", f"in deny tcp any {PORT}",
        "--rule", "in allow")
    assert shortcuts() == {"one": 0, "two": 0}
    one.run(f"! timeout 2 peer conn {addresses[0]} {PORT} 1")
    pings(one, "two")
    assert shortcuts() == {"one": 0, "two": 0}
    net("rules", "lab", "two", "--clear")
    until_joined(one, addresses[0], both)
    # The switch is killed: there is another one, and another shortcut.
    pid = show()["switch"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: len(ports()) == 2)
    assert show()["switch"]["pid"] != pid
    pings(one, "two")
    until_joined(one, addresses[0], both)
    # The other machine is killed, and comes back.
    two.child.kill(signal.SIGKILL)
    until(lambda: shortcuts() == {"one": 0})
    pings(one, "10.7.0.2")
    two = addressed(start(guest, "two"))
    serve(two)
    pings(one, "two")
    until_joined(one, addresses[0], both)
    assert one.power_off() == 0 and two.power_off() == 0


def test_stands_still(guest):  # noqa: F811
    """A machine that is paused holds up nobody, and goes on."""
    one, two, addresses = pair(guest)
    three = addressed(start(guest, "three"))
    serve(three)
    until_joined(one, addresses[0], {"one": 1, "two": 1, "three": 0})
    assert run("pause", "two").returncode == 0
    one.run(f"peer pour {addresses[0]} 9 4000 1400")
    until(lambda: ports()["two"]["dropped"] > 0)
    exchange(one, ports()["three"]["addresses"][0])
    assert run("resume", "two").returncode == 0
    exchange(one, addresses[0])
    for shell in one, two, three:
        shell.power_off()


class End:
    """A machine's end of a shortcut, played here: see net/switch/wire.h."""
    SHORTCUT = 0x376c7377
    RINGS = (0, Card.PAGE, Card.IN), (2048, Card.PAGE + Card.IN, Card.OUT)

    def __init__(self, card):
        while True:
            said, fds, _, _ = socket.recv_fds(card.socket, 2048, 1)
            if len(said) > 8 and fds:  # not a word, nor the end of one
                break
        what, above = struct.unpack("<II", said[:8])
        assert what == self.SHORTCUT and said[8:14] == card.mac
        self.socket = socket.socket(fileno=fds[0])
        self.socket.settimeout(30)
        _, fds, _, _ = socket.recv_fds(self.socket, 16, 1)
        self.memory = mmap.mmap(fds[0], 0)
        self.shared, self.bytes, self.size = self.RINGS[above]
        self.head = 0
        self.socket.send(b"!")

    def put(self, frame, record=None):
        data = (record or struct.pack("<I4B4H", len(frame), *[0] * 8)) + frame
        data += bytes(-len(data) % 16)
        at = self.bytes + self.head % self.size
        assert self.head + len(data) <= self.size  # no test needs more
        self.memory[at:at + len(data)] = data
        self.head += len(data)
        self.set_head(self.head)

    def set_head(self, value):
        self.memory[self.shared:self.shared + 4] = struct.pack("<I", value)
        try:
            self.socket.send(b"!")
        except (BrokenPipeError, ConnectionResetError):
            pass

    def ended(self):
        try:
            while self.socket.recv(16):
                pass
        except ConnectionResetError:
            pass
        return True


def datagram(card, mac, source, target, port=9):
    """In IPv4 and UDP, with neither checksum."""
    payload = b"x" * 30
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 28 + len(payload), 0, 0, 64, 17,
                     0, source, target)
    total = sum(struct.unpack(">10H", ip))
    total = (total & 0xffff) + (total >> 16)
    ip = ip[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xffff) + \
        ip[12:]
    return (mac + card.mac + b"\x08\0" + ip +
            struct.pack(">HHHH", 1024, port, 8 + len(payload), 0) + payload)


def find(card, address):
    """Who has the address says so, and is known to the switch then."""
    card.put(card.arp(address))
    while True:
        frame = card.take()
        if frame[12:14] == b"\x08\x06" and frame[21] == 2:
            return frame[6:12]


def test_hostile(served, guest):  # noqa: F811
    """Whatever a machine writes to a shortcut ends that, or is refused."""
    shell = start(guest, "one")
    shell.run("until ip addr show eth0 | grep -q 'inet 10'; do sleep 0.1; "
              "done", timeout=60)
    address = struct.unpack(">I", socket.inet_aton(
        ports()["one"]["addresses"][0]))[0]
    card = Card(served, 9)
    mac = find(card, address)
    good = datagram(card, mac, card.address, address)

    def join():
        card.memory[2048 + 64 + 4:2048 + 64 + 8] = bytes(4)  # awake
        for _ in range(20):
            card.put(good)
        return End(card)

    end = join()
    assert shortcuts() == {"one": 1, "vm9": 1}
    before = ports()["vm9"]
    wrong = [datagram(card, mac, address, address),  # another's address
             datagram(card, b"\xff" * 6, card.address, address),
             datagram(card, mac, card.address, address, 67),
             mac + bytes.fromhex("525400aabbcc") + good[12:],
             card.arp(address)]
    for frame in wrong + [good]:
        end.put(frame)
    until(lambda: ports()["vm9"]["refused"] == before["refused"] + len(wrong))
    until(lambda: ports()["vm9"]["sent"]["frames"] ==
          before["sent"]["frames"] + len(wrong) + 1)
    assert ports()["one"]["received"]["frames"] > 0
    # Nonsense: it is over, and the machine as well as it was.
    acts = [
        lambda e: e.set_head(e.head + 8),
        lambda e: e.set_head(e.head + e.size + 16),
        lambda e: e.put(bytes(100), bytes(16)),  # no size
        lambda e: e.put(bytes(100), b"\xff" * 16),
        lambda e: e.put(bytes(100), struct.pack("<I4B4H", 100, 2, 1, 0, 0, 99,
                                                0, 54, 0)),
    ]
    for act in acts:
        act(end)
        assert end.ended()
        card.memory[2048 + 64:2048 + 68] = card.memory[2048:2052]
        card.tail = card.get(2048)
        assert find(card, address) == mac
        time.sleep(1.1)  # before that there is no other
        end = join()
    end.socket.close()
    pings(shell, "10.7.0.2")
    assert shell.power_off() == 0
