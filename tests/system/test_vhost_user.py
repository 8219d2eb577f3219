# SPDX-License-Identifier: Apache-2.0
"""Cards whose frames go to a back end of vhost-user: a hub of our own, DPDK's
where it is installed, and back ends that lie."""
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading

import pytest

from conftest import run, spawn
from namespace import stay, wait_for
from test_linux import Shell
from test_net import MIB, guest, peer  # noqa: F401, fixtures
from test_net_socket import until
import vhost_hub

HUB = vhost_hub.__file__


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


class Hub:
    """Our back end as a process."""

    def __init__(self, *words):
        self.words = [sys.executable, HUB, *map(str, words)]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def hub(tmp_path):
    """Makes some, and ends them."""
    made = []

    def make(*words):
        made.append(Hub(*words))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def start(linux, name, path, *words, options=""):
    return Shell(spawn(*linux, "--name", name, "--net",
                       f"vhost-user={path}{options}", *words, timeout=120))


def addressed(one, two):
    stay(one, "10.5.0.1/24", "fd05::1/64")
    stay(two, "10.5.0.2/24", "fd05::2/64")
    wait_for(one, "ping -c 1 -W 2 10.5.0.2")


def serves(shell):
    shell.run("peer serve 7000 >/tmp/said & until grep -q ready /tmp/said; "
              "do sleep 0.1; done")


def carrier(shell, up):
    shell.run(f"until [ $(cat /sys/class/net/eth0/carrier) = {up} ]; do "
              "sleep 0.1; done", timeout=60)


@pytest.mark.parametrize("words", [[], ["--plain"]])
def test_two(guest, hub, tmp_path, words):  # noqa: F811
    """Two machines at a hub, with all features and with none; the hub is
    killed, and another one takes its place."""
    paths = [tmp_path / "a", tmp_path / "b"]
    between = hub(*words, *paths)
    one = start(guest, "one", paths[0], "--cpus", 2,
                options=",queues=2,mtu=3000")
    two = start(guest, "two", paths[1], options=",mtu=3000")
    addressed(one, two)
    serves(two)
    for to in "10.5.0.2", "fd05::2":
        one.run(f"peer put {to} 7000 {MIB}", timeout=300)
        one.run(f"peer get {to} 7000 {MIB}", timeout=300)
        one.run(f"peer conn {to} 7000 5", timeout=120)
        one.run(f"peer udp {to} 7000 5 2900", timeout=120)
    between.kill()
    carrier(one, 0)
    carrier(two, 0)
    between.start()
    carrier(one, 1)
    carrier(two, 1)
    wait_for(two, "ping -c 1 -W 2 10.5.0.1")
    one.run(f"peer put 10.5.0.2 7000 {MIB}", timeout=300)
    # A machine is killed: its hub goes on with others.
    two.child.kill(signal.SIGKILL)
    two = start(guest, "three", paths[1])
    stay(two, "10.5.0.2/24")
    wait_for(one, "ping -c 1 -W 2 10.5.0.2")
    assert one.power_off() == 0 and two.power_off() == 0


def test_listen(linux, hub, tmp_path):
    """The back end comes to the machine, as Open vSwitch's clients do."""
    paths = [tmp_path / "a", tmp_path / "b"]
    one = start(linux, "one", paths[0], options=",listen")
    two = start(linux, "two", paths[1], options=",listen")
    for path in paths:
        until(path.exists, "the socket")
    hub("--connect", *paths)
    addressed(one, two)
    assert one.power_off() == 0 and two.power_off() == 0
    assert not any(path.exists() for path in paths)


def test_captured(linux, hub, tmp_path):
    """Captures and limits are there as with any other mode."""
    hub(tmp_path / "a", tmp_path / "b")
    one = start(linux, "one", tmp_path / "a",
                options=f",pcap={tmp_path}/one.pcap,pps-out=1000")
    two = start(linux, "two", tmp_path / "b")
    addressed(one, two)
    assert one.power_off() == 0 and two.power_off() == 0
    capture = (tmp_path / "one.pcap").read_bytes()
    assert capture[:4] == struct.pack("<I", 0xa1b23c4d)
    assert socket.inet_aton("10.5.0.2") in capture


def test_testpmd(guest, tmp_path):  # noqa: F811
    """DPDK's vhost library between two machines."""
    if not shutil.which("dpdk-testpmd") or os.geteuid():
        pytest.skip("no dpdk-testpmd, or not root")
    paths = [tmp_path / "a", tmp_path / "b"]
    devices = [f"--vdev=net_vhost{i},iface={path}"
               for i, path in enumerate(paths)]
    log = open(tmp_path / "testpmd", "wb")
    with subprocess.Popen(
            ["dpdk-testpmd", "--no-huge", "-m", "256", "--no-pci",
             "--no-telemetry", f"--file-prefix={os.getpid()}", "-l", "0-1",
             *devices, "--", "--forward-mode=io", "--auto-start",
             "--total-num-mbufs=8192", "--stats-period=1"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL) as testpmd:
        try:
            until(lambda: testpmd.poll() is not None or
                  all(path.exists() for path in paths), "testpmd")
            if testpmd.poll() is not None:
                pytest.skip("dpdk-testpmd does not run here")
            one = start(guest, "one", paths[0])
            two = start(guest, "two", paths[1])
            addressed(one, two)
            serves(two)
            for what in "put", "get":
                one.run(f"peer {what} 10.5.0.2 7000 {MIB}", timeout=300)
            one.run("peer conn 10.5.0.2 7000 10", timeout=120)
            assert one.power_off() == 0 and two.power_off() == 0
        finally:
            testpmd.kill()
            log.close()


class Liar(vhost_hub.Hub):
    """A back end on a thread of the test's, which is told when to lie."""

    def __init__(self, path):
        super().__init__()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.connections = 0
        self.lie = None
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            end, _ = self.socket.accept()
            self.connections += 1
            machine = vhost_hub.Machine(self, end)
            self.machines = [machine]
            while machine.socket.fileno() >= 0 and self.machines:
                self.turn()
                lie = self.lie
                if lie and machine.ready():
                    self.lie = None
                    lie(machine)

    def is_joined(self):
        """Any thread."""
        return any(machine.ready() for machine in list(self.machines))

    def forward(self):
        """It takes what is sent, and gives nothing."""
        for machine in self.machines:
            if machine.ready():
                list(machine.frames())


def bare(ring, size, header=bytes(12)):
    """One buffer of `size` bytes, with that header."""
    head, pieces = ring.next()
    ring.owner.memory[pieces[0][0]:pieces[0][0] + 12] = header
    ring.give_back((head, size))
    ring.tell()


def test_liars(linux, tmp_path):
    """Whatever a back end says in its rings or on its socket: the machine goes
    on, and hears it again."""
    path = tmp_path / "a"
    liar = Liar(path)
    one = start(linux, "one", path)
    stay(one, "10.5.0.1/24")

    def index(machine, ring, value):
        ring = machine.ring[ring]
        ring.put("H", ring.used + 2, value)
        ring.tell()

    def use(machine, head, size):
        machine.ring[0].give_back((head, size))
        machine.ring[0].tell()

    def many(machine):
        """A frame of more buffers than it has used."""
        bare(machine.ring[0], 100, bytes(10) + b"\x09\x00")

    ends = [
        lambda m: index(m, 0, 5000),             # more than there are
        lambda m: index(m, 1, 30000),
        lambda m: use(m, 256, 60),               # no such buffer
        lambda m: use(m, 0xffffffff, 60),
        lambda m: use(m, 0, 5),                  # less than a header
        lambda m: use(m, 0, 0xffffffff),         # more than fits
        lambda m: m.ring[0].give_back((0, 60), (0, 60)) or m.ring[0].tell(),
        many,
        lambda m: bare(m.ring[0], 100, bytes(12)),  # of no buffers
        lambda m: bare(m.ring[0], 100, b"\xff" * 12),
        lambda m: m.socket.send(b"unasked"),
        lambda m: m.socket.shutdown(socket.SHUT_RDWR),
    ]

    def is_heard(before):
        """Frames, so that both look at their rings: one alone may wait for an
        address that is asked for already, or be gone before the lie."""
        one.run("ping -c 1 -W 1 10.5.0.2 || true")
        return liar.connections > before

    for number, lie in enumerate(ends):
        until(liar.is_joined, "one")
        before = liar.connections
        liar.lie = lie
        until(lambda: is_heard(before), f"lie {number}")
        carrier(one, 1)
    # Frames that are none are dropped, and the ring goes on.
    one_buffer = bytes(10) + b"\x01\x00"
    drops = [
        lambda m: bare(m.ring[0], 12, one_buffer),
        lambda m: bare(m.ring[0], 13, one_buffer),
        lambda m: bare(m.ring[0], 100, b"\x01\x00" + bytes(4) +
                       b"\xff\xff\xff\xff\x01\x00"),
        lambda m: bare(m.ring[0], 100, b"\x00\x04" + bytes(8) + b"\x01\x00"),
    ]
    for lie in drops:
        until(liar.is_joined, "one")
        before = liar.connections
        liar.lie = lie
        one.run("ping -c 1 -W 1 10.5.0.2 || true")
        until(lambda: liar.lie is None, "a frame")
        assert liar.connections == before
    assert one.power_off() == 0
    # Rings are stopped before the end.
    until(lambda: not liar.machines or 11 in liar.machines[0].said, "a stop")


ANSWERS = [
    b"",                                             # it hangs up
    struct.pack("<III", 1, 5, 8) + bytes(4),         # half of an answer
    struct.pack("<IIIQ", 1, 5, 8, 0),                # no virtio 1.0
    struct.pack("<IIIQ", 1, 1, 8, 1 << 32),          # no answer
    struct.pack("<IIIQ", 1, 6, 8, 1 << 32),          # of another version
    struct.pack("<IIIQ", 2, 5, 8, 1 << 32),          # to another question
    struct.pack("<III", 1, 5, 0xffffffff),           # of no size
    struct.pack("<IIIQ", 1, 5, 8, 1 << 32 | 1 << 30) + bytes(12),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_strange_answers(linux, tmp_path, answer):
    """Who is no back end is none before the machine starts."""
    path = tmp_path / "a"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve():
        end, _ = listener.accept()
        # With descriptors that nobody has asked for.
        if answer:
            socket.send_fds(end, [answer], [0, 1, 2])
        end.shutdown(socket.SHUT_WR)
        # What has come may be refused before it was read.
        with contextlib.suppress(ConnectionResetError):
            while end.recv(1024):
                pass
        end.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    done = run(*linux, "--net", f"vhost-user={path}")
    assert done.returncode == 1
    assert "is no back end of vhost-user" in done.stderr
    assert done.stderr.count("\n") == 1
    thread.join(30)
    assert not thread.is_alive()


def test_nobody(linux, tmp_path):
    """What is missing is told, and what to do."""
    done = run(*linux, "--net", f"vhost-user={tmp_path}/none")
    assert done.returncode == 1 and "nobody listens there" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run(*linux, "--net", "vhost-user")
    assert done.returncode == 2 and "give vhost-user=PATH" in done.stderr
