# SPDX-License-Identifier: Apache-2.0
"""Machines on a network of their own, joined by its switch."""
import json
import mmap
import os
import signal
import socket
import struct
import time

import pytest

from conftest import LODGE, run, spawn
from test_linux import Shell
from test_net import addressed, guest, peer, server  # noqa: F401

USER = LODGE.parent / "lodge-user-net.so"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def net(*words):
    done = run("net", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def show(name="lab"):
    return json.loads(net("show", name, "--json"))


def ports(name="lab"):
    return {p["machine"]: p for p in (show(name)["switch"] or
                                      {"ports": []})["ports"]}


def until(what, seconds=60):
    """Waits for a state, long enough for any machine."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def start(linux, name, *words, network="lab"):
    return Shell(spawn(*linux, "--name", name, "--net", f"network={network}",
                       *words, timeout=120))


def pings(shell, name, command="ping"):
    shell.run(f"until {command} -c 1 -W 1 {name}; do sleep 0.1; done",
              timeout=60)


def gone(pid):
    """It may be a zombie of whoever adopts orphans here."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_by_name(linux, tmp_path):
    """Addresses, names, both families; then each process is killed."""
    net("create", "lab", "--kind", "isolated", "--subnet", "10.7.0.0/24",
        "--subnet", "fd00:7::/64")
    one, two = start(linux, "one"), start(linux, "two")
    for shell in addressed(one), addressed(two):
        text = shell.run("ip addr show eth0")
        assert "inet 10.7.0.1" in text and "inet6 fd00:7::" in text
        assert "default" not in shell.run("ip route")
        assert "nameserver 10.7.0.2" in shell.run("cat /etc/resolv.conf")
    address = {name: port["addresses"][0] for name, port in ports().items()}
    assert sorted(address.values()) == ["10.7.0.16", "10.7.0.17"]
    pings(one, "two")
    pings(two, "one.internal")
    pings(one, "two", "ping6")
    pings(one, "10.7.0.2")
    assert address["two"] in one.run("nslookup two")
    assert "one.internal" in two.run(f"nslookup {address['one']}")
    assert "NXDOMAIN" in one.run("nslookup three || true")
    # The switch is killed: another takes its place.
    pid = show()["switch"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: len(ports()) == 2)
    assert show()["switch"]["pid"] != pid
    pings(one, "two")
    pings(two, "one")
    assert address == {name: port["addresses"][0]
                       for name, port in ports().items()}
    done = run("net", "delete", "lab")
    assert done.returncode == 1 and "uses network lab" in done.stderr
    # A machine is killed: the other does not notice.
    two.child.kill(signal.SIGKILL)
    until(lambda: list(ports()) == ["one"])
    until(lambda: [u["machine"] for u in show()["users"]] == ["one"])
    two = start(linux, "two")
    addressed(two)
    pings(one, "two")
    assert ports()["two"]["addresses"][0] == address["two"]
    pid = show()["switch"]["pid"]
    assert one.power_off() == 0 and two.power_off() == 0
    until(lambda: gone(pid))
    assert show()["switch"] is None and show()["users"] == []
    assert not list((tmp_path / "lodge/networks/lab").glob("*.sock"))
    net("delete", "lab")


def test_spoofing(linux):
    """What is not the machine's own passes nowhere, and is counted."""
    net("create", "lab", "--kind", "isolated", "--subnet", "10.7.0.0/24")
    one, two = start(linux, "one"), start(linux, "two")
    for shell in one, two:
        shell.run("until ip addr show eth0 | grep -q 'inet 10'; do sleep 0.1; "
                  "done", timeout=60)
    pings(one, "two")
    address = ports()["two"]["addresses"][0]
    assert ports()["one"]["refused"] == 0
    one.run("ip addr add 10.7.0.99/24 dev eth0")
    assert "0 packets received" in one.run(
        f"ping -c 2 -i 0.2 -W 1 -I 10.7.0.99 {address} || true")
    until(lambda: ports()["one"]["refused"] > 0)
    before = ports()["one"]["refused"]
    one.run("ip addr del 10.7.0.99/24 dev eth0; ip link set eth0 down; "
            "ip link set eth0 address 52:54:00:aa:bb:cc; "
            "ip link set eth0 up")
    assert "0 packets received" in one.run(
        f"ping -c 2 -i 0.2 -W 1 {address} || true")
    assert ports()["one"]["refused"] > before
    assert ports()["two"]["refused"] == 0
    assert one.power_off() == 0 and two.power_off() == 0


@pytest.mark.skipif(not USER.exists(), reason="built without libslirp")
def test_outside(guest, server):  # noqa: F811
    """A way out; between machines all kinds of traffic, each byte checked."""
    net("create", "lab", "--subnet", "10.7.0.0/24", "--subnet", "fd00:7::/64")
    one = addressed(start(guest, "one"))
    two = addressed(start(guest, "two", "--net", "user", "--cpus", "2"))
    assert "default via 10.7.0.1" in one.run("ip route")
    # Before that its other card's would be the source, which is refused.
    two.run("until grep -q '^fd000007.* 40 00 00 ' /proc/net/if_inet6; "
            "do sleep 0.1; done")
    one.run(f"peer get 10.7.0.1 {server} {4 * MIB}", timeout=120)
    two.run(f"peer put fd00:7::1 {server} {MIB}", timeout=120)
    two.run("peer serve 7000 >/tmp/said & until grep -q ready /tmp/said; "
            "do sleep 0.1; done")
    # Of IPv6, one that it has told the network of.
    until(lambda: len(ports()["two"]["addresses"]) == 2)
    for to in ports()["two"]["addresses"]:
        one.run(f"peer get {to} 7000 {30 * MIB}", timeout=300)
        one.run(f"peer put {to} 7000 {30 * MIB}", timeout=300)
        one.run(f"peer rr {to} 7000 100", timeout=120)
        one.run(f"peer conn {to} 7000 30", timeout=120)
        one.run(f"peer udp {to} 7000 20 1400", timeout=120)
    count = ports()["one"]
    # Large segments pass as they are.
    assert count["sent"]["bytes"] > 60 * MIB
    assert count["sent"]["bytes"] / count["sent"]["frames"] > 3000
    assert one.power_off() == 0 and two.power_off() == 0


def test_ten(linux):
    """Ten machines: each finds its neighbour by name."""
    net("create", "lab", "--kind", "isolated")
    memory = linux.index("--memory") if "--memory" in linux else None
    if memory is not None:
        linux = linux[:memory] + linux[memory + 2:]
    shells = [start(linux, f"vm{i}", "--memory", "96M") for i in range(10)]
    until(lambda: sum(bool(p["addresses"]) for p in ports().values()) == 10)
    assert len({p["addresses"][0] for p in ports().values()}) == 10
    for i, shell in enumerate(shells):
        pings(shell, f"vm{(i + 1) % 10}")
    pid = show()["switch"]["pid"]
    for shell in shells:
        shell.child.kill(signal.SIGKILL)
    until(lambda: gone(pid) and not show()["users"])
    net("delete", "lab")


class Card:
    """A machine's end of the switch, played here: see net/switch/wire.h."""
    PAGE, IN, OUT = 4096, 1 << 20, 2 << 20

    def __init__(self, folder, number, name=None):
        self.mac = bytes([0x52, 0x54, 0, 0, 0, number])
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(30)
        self.socket.connect(str(folder / "switch.sock"))
        self.socket.send(struct.pack("<I6sHII64s5120x", 0x356c7377, self.mac,
                                     0, 0, 0, (name or f"vm{number}").encode()))
        welcome, fds, _, _ = socket.recv_fds(self.socket, 1024, 1)
        self.refused, self.address = struct.unpack("<II", welcome[:8])
        self.text = welcome[12:].split(b"\0")[0].decode()
        self.memory = mmap.mmap(fds[0], 0) if fds else None
        self.head = self.tail = 0

    def get(self, at):
        return struct.unpack("<I", self.memory[at:at + 4])[0]

    def set(self, at, value):
        self.memory[at:at + 4] = struct.pack("<I", value & 0xffffffff)

    def put(self, frame, record=None):
        """A frame into the ring, and a word to the switch."""
        data = (record or struct.pack("<I4B4H", len(frame), *[0] * 8)) + frame
        data += bytes(-len(data) % 16)
        until(lambda: self.head + len(data) - self.get(64) <= self.IN)
        at = self.PAGE + self.head % self.IN
        first = min(len(data), self.PAGE + self.IN - at)
        self.memory[at:at + first] = data[:first]
        self.memory[self.PAGE:self.PAGE + len(data) - first] = data[first:]
        self.head += len(data)
        self.set(0, self.head)
        self.wake()

    def wake(self):
        """Unless the switch has hung up."""
        try:
            self.socket.send(b"!")
        except (BrokenPipeError, ConnectionResetError):
            pass

    def take(self):
        """The next frame for this card."""
        while self.get(2048) == self.tail:
            self.set(2048 + 64 + 4, 1)  # asleep
            if self.get(2048) == self.tail:
                self.socket.recv(16)
        at = self.PAGE + self.IN + self.tail % self.OUT
        size, = struct.unpack("<I", self.memory[at:at + 4])
        self.tail += 16 + size + 15 & ~15
        self.set(2048 + 64, self.tail)
        return self.memory[at + 16:at + 16 + size]

    def arp(self, target):
        return (b"\xff" * 6 + self.mac + bytes.fromhex("08060001080006040001")
                + self.mac + struct.pack(">I", self.address) + bytes(6) +
                struct.pack(">I", target))

    def ended(self):
        """The switch has hung up."""
        try:
            while self.socket.recv(16):
                pass
        except ConnectionResetError:
            pass
        return True


@pytest.fixture
def served(tmp_path):
    """The folder of a network whose switch runs."""
    net("create", "lab", "--kind", "isolated", "--subnet", "10.7.0.0/24")
    child = spawn("net", "serve", "lab", timeout=60)
    child.expect("ready")
    yield tmp_path / "lodge/networks/lab"
    child.terminate(force=True)


def test_hostile(served):
    """Whatever a machine does to its ring or socket ends its own port."""
    one, two = Card(served, 1), Card(served, 2)
    assert one.address == 0x0a070010 and two.address == 0x0a070011

    def works():
        one.put(one.arp(two.address))
        assert two.take() == one.arp(two.address)

    works()
    wrong = [
        lambda c: c.set(0, 8),                # positions that cannot be
        lambda c: c.set(0, 0x80000000),
        lambda c: c.set(0, 1 << 20 | 16),
        lambda c: c.put(bytes(100), bytes(16)),  # no size
        lambda c: c.put(bytes(100), b"\xff" * 16),
        lambda c: c.put(bytes(100), struct.pack("<I4B4H", 101 << 4,
                                                *[0] * 8)),
        lambda c: c.put(bytes(100), struct.pack("<I4B4H", 100, 2, 1, 0, 0, 99,
                                                0, 54, 0)),
        lambda c: c.socket.send(b""),
    ]
    for act in wrong:
        card = Card(served, 3)
        assert card.address == 0x0a070012
        act(card)
        card.wake()
        assert card.ended()
        works()
    # The ring for it says nonsense: it gets no more, others do.
    card = Card(served, 3)
    card.set(2048 + 64, 12345)
    works()
    works()
    # One that takes nothing: its ring fills, and holds up nobody.
    big = two.mac + one.mac + bytes.fromhex("0800") + bytes.fromhex(
        "4500ffff000000004006") + bytes(2) + struct.pack(
            ">II", one.address, two.address) + bytes(60000)
    two.put(two.arp(one.address))
    one.take()
    for _ in range(60):
        one.put(big)
        one.put(one.arp(two.address))
    until(lambda: ports()["vm1"]["sent"]["frames"] >= 120)
    assert ports()["vm2"]["dropped"] > 0 and ports()["vm1"]["dropped"] == 0
    # One that takes a little at a time: others get theirs from its sender.
    four = Card(served, 4)
    four.put(four.arp(one.address))
    small = four.mac + big[6:30] + struct.pack(
        ">II", one.address, four.address) + bytes(60)
    until(lambda: one.take() == four.arp(one.address))
    while four.get(2048) != four.tail:
        four.take()
    for number in range(300):
        one.put(big)
        one.put(small)
        assert four.take() == small
        if number % 10 == 0:
            two.take()
            two.set(2048 + 4, 0)  # whoever waits for room may look
    assert ports()["vm4"]["dropped"] == 0
    # Words that mean nothing; more who connect than there are ports.
    for word in b"", b"x", bytes(76), bytes(1000):
        guest = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        guest.connect(str(served / "switch.sock"))
        guest.send(word)
        guest.settimeout(30)
        assert guest.recv(16) == b""
    assert Card(served, 1).text == "another card of it has that address"
    assert Card(served, 9, "../x").refused and Card(served, 9, "a b").refused
    more = [Card(served, number) for number in range(10, 80)]
    assert sum(not card.refused for card in more) == 59
    assert "as many cards as it can" in more[-1].text
    assert set(ports()) >= {"vm1", "vm2", "vm68"}


@pytest.mark.parametrize("kind", ["isolated", "nat"])
def test_walls(kind):
    """What a switch may do: no new privileges, next to no capabilities, few
    system calls, in all its threads."""
    net("create", "lab", "--kind", kind, "--subnet", "10.7.0.0/24")
    child = spawn("net", "serve", "lab", timeout=60)
    child.expect("ready")
    until(lambda: show()["switch"])
    for thread in os.listdir(f"/proc/{child.pid}/task"):
        with open(f"/proc/{child.pid}/task/{thread}/status",
                  encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file)
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Seccomp"].strip() == "2"
        # Root may publish ports below 1024.
        assert int(status["CapPrm"], 16) in (0, 1 << 10)
        assert int(status["CapEff"], 16) in (0, 1 << 10)
    child.terminate(force=True)


def test_nobody_comes():
    """A switch without machines is one; nobody starts another beside it."""
    net("create", "lab", "--kind", "isolated")
    child = spawn("net", "serve", "lab", timeout=60)
    child.expect("ready")
    assert show()["switch"] == {"pid": child.pid, "ports": []}
    child.terminate(force=True)
    net("create", "wide", "--vxlan", "7")
    done = run("net", "serve", "wide")
    assert done.returncode == 1 and "is no switch" in done.stderr


@pytest.mark.parametrize("words, status, said", [
    (["network"], 2, "--net network: give network=NAME"),
    (["switch="], 2, "--net switch: give switch=NAME"),
    (["network=../x"], 2, "../x: give the name of a network"),
    (["network=lba"], 1, "--net network=lba: there is no network lba"),
    (["switch=wide"], 1, "--net switch=wide: it is a bridge"),
    (["network=lab,restrict"], 2, 'there is no option "restrict"'),
])
def test_wrong_words(linux, words, status, said):
    net("create", "lab")
    net("create", "wide", "--vxlan", "7")
    done = run(*linux, "--net", *words)
    assert done.returncode == status
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert show()["users"] == [] and show("wide")["users"] == []


def test_same_address(linux):
    """A MAC that another machine of the network has is refused by its name."""
    net("create", "lab", "--kind", "isolated")
    words = "network=lab,mac=52:54:00:12:34:56"
    one = Shell(spawn(*linux, "--name", "one", "--net", words, timeout=120))
    done = run(*linux, "--name", "two", "--net", words)
    assert done.returncode == 1
    assert "mac 52:54:00:12:34:56: machine one has it" in done.stderr
    assert one.power_off() == 0
