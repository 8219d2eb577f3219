# SPDX-License-Identifier: Apache-2.0
"""Taps and bridges: given ones, made ones, what becomes of them.

Each test has network namespaces of its own.
"""
import json
import os
import signal
import subprocess

import pexpect
import pytest

from conftest import LODGE, run
from namespace import namespace, needed, stay, wait_for
from test_linux import Shell
from test_net import MIB, guest, peer  # noqa: F401, fixtures

MAC = "52:54:00:12:34:56"


@pytest.fixture
def ns():
    with namespace() as made:
        yield made


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def inspect(name):
    return json.loads(run("inspect", "--json", name).stdout)["nets"]


def answers(ns, address, *more):
    """Pings until there is an answer: the other side may be busy yet."""
    for _ in range(30):
        if ns.run("busybox", "ping", "-c", "1", "-W", "2", *more, address,
                  check=False).returncode == 0:
            return
    raise AssertionError(f"{address} does not answer")


def traffic(ns, shell, peer, address, here):  # noqa: F811
    """All kinds, each byte checked, both ways."""
    with ns.popen(peer, "serve", "7000", stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout.readline() == b"ready\n"
            for words in (f"get {here} 7000 {8 * MIB}",
                          f"put {here} 7000 {8 * MIB}",
                          f"rr {here} 7000 100", f"conn {here} 7000 20",
                          f"udp {here} 7000 20 1400",
                          f"udp {here} 7000 20 9000"):
                shell.run(f"peer {words}", timeout=300)
        finally:
            server.kill()
    shell.run("peer serve 7000 >/tmp/said & until grep -q ready /tmp/said; "
              "do sleep 0.1; done")
    for words in ["get", 8 * MIB], ["put", 8 * MIB], ["rr", 100]:
        ns.run(peer, words[0], address, 7000, *words[1:], timeout=300)


def test_made(ns, guest, peer):  # noqa: F811
    """One that is made, with several queues: traffic, link, its end."""
    shell = ns.boot(*guest, "--net", f"tap,mac={MAC},queues=2", "--name",
                    "tap", "--cpus", 2)
    ns.run("ip", "addr", "add", "10.9.0.1/24", "dev", "lodge0")
    ns.run("ip", "addr", "add", "fd09::1/64", "dev", "lodge0", "nodad")
    stay(shell, "10.9.0.2/24", "fd09::2/64")
    (net,) = inspect("tap")
    assert net["device"] == "lodge0" and net["link"] and net["mac"] == MAC
    assert "tap lodge0," in run("status", "tap").stdout
    answers(ns, "10.9.0.2")
    answers(ns, "fd09::2")
    traffic(ns, shell, peer, "10.9.0.2", "10.9.0.1")
    # A cable that is pulled, and back in.
    for state, carrier in ("down", 0), ("up", 1):
        ns.run("ip", "link", "set", "lodge0", state)
        wait_for(shell, f"[ $(cat /sys/class/net/eth0/carrier) = {carrier} ]")
    answers(ns, "10.9.0.2")
    assert shell.power_off() == 0
    assert "lodge0" not in ns.links()


def test_killed(ns, linux):
    """Of a machine that is killed nothing stays."""
    ns.run("ip", "link", "add", "br0", "type", "bridge")
    child = ns.popen(LODGE, *linux, "--net", "tap", "--net", "bridge=br0",
                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    with child:
        assert child.stdout.read(1)  # it runs
        assert "lodge0" in ns.links() and "lodge1" in ns.links()
        child.send_signal(signal.SIGKILL)
    assert "lodge" not in ns.links()


def test_bridge(ns, guest, linux):  # noqa: F811
    """Two guests on a bridge, at its MTU of 9000."""
    ns.run("ip", "link", "add", "br0", "mtu", "9000", "up", "type", "bridge")
    ns.run("ip", "addr", "add", "10.9.0.1/24", "dev", "br0")
    shells = [ns.boot(*guest, "--net", f"bridge=br0,mac=02:00:00:00:00:0{i}",
                      "--name", f"on-bridge-{i}") for i in (2, 3)]
    for i, shell in enumerate(shells, 2):
        stay(shell, f"10.9.0.{i}/24")
        assert "mtu 9000" in shell.run("ip link show eth0")
        answers(ns, f"10.9.0.{i}", "-s", "8900")
    assert inspect("on-bridge-2")[0]["mode"] == "bridge"
    twin = ns.lodge(*linux, "--net", "bridge=br0,mac=02:00:00:00:00:03")
    assert twin.returncode == 1 and twin.stderr == (
        "lodge: --net bridge=br0: mac 02:00:00:00:00:03: the machine of tap "
        "lodge1 has it there; give another with mac=\n")
    assert "lodge2" not in ns.links()
    shells[0].run("peer serve 7000 >/tmp/said & until grep -q ready "
                  "/tmp/said; do sleep 0.1; done")
    for words in f"get 10.9.0.2 7000 {8 * MIB}", \
            f"put 10.9.0.2 7000 {8 * MIB}", "udp 10.9.0.2 7000 20 20000":
        shells[1].run(f"peer {words}", timeout=300)
    for shell in shells:
        assert shell.power_off() == 0


def test_given(ns, linux):
    """A tap that is there already, of another user's, with its own MTU; what
    an administrator makes for those who may not."""
    ns.run("ip", "tuntap", "add", "mine", "mode", "tap", "user", "65534")
    ns.run("ip", "link", "set", "mine", "mtu", "4000", "up")
    ns.run("ip", "addr", "add", "10.9.0.1/24", "dev", "mine")
    shell = ns.boot(*linux, "--net", "tap=mine", "--name", "given")
    stay(shell, "10.9.0.2/24")
    answers(ns, "10.9.0.2", "-s", "3900")
    assert inspect("given")[0]["mtu"] == 4000
    taken = ns.lodge(*linux, "--net", "tap=mine")
    assert taken.returncode == 1
    assert "tap=mine: another process has it" in taken.stderr
    # Somebody takes it away: the guest is told.
    ns.run("ip", "link", "del", "mine")
    wait_for(shell, "[ $(cat /sys/class/net/eth0/carrier) = 0 ]")
    assert shell.power_off() == 0


# The mounts of ip netns exec are its own: the device may be for all there.
NOBODY = ["sh", "-c", """
mknod "$0" c 10 200 && chmod 666 "$0" && mount --bind "$0" /dev/net/tun
rm -f "$0"
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \\
    --bounding-set=-all "$@"
"""]


def test_without_privilege(ns, linux, tmp_path):
    """What needs it, what works without."""
    needed("setpriv")
    for folder in (tmp_path, *tmp_path.parents):
        if not os.stat(folder).st_mode & 1:
            folder.chmod(folder.stat().st_mode | 1)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    ns.run("ip", "link", "add", "br0", "up", "type", "bridge")
    env = {**os.environ, "XDG_RUNTIME_DIR": str(home), "HOME": str(home),
           "XDG_DATA_HOME": str(home)}

    def as_nobody(*words):
        return ns.run(*NOBODY, home.parent / "tun", LODGE, *words,
                      check=False, env=env)

    if as_nobody("version").returncode:
        pytest.skip("the build is where others cannot run it")
    if "Permission denied" in as_nobody("run", "--net", "tap=none").stderr:
        pytest.skip("no device may be made here")
    for mode in "tap", "bridge=br0":
        result = as_nobody("run", *linux[1:], "--net", mode)
        assert result.returncode == 1
        assert "making a tap takes CAP_NET_ADMIN" in result.stderr
        assert "--net user, or --net tap=NAME" in result.stderr
        assert result.stderr.count("\n") == 1
    result = as_nobody("net", "create", "lab", "--backing", "bridge")
    assert result.returncode == 0
    assert "you cannot run a machine on it" in result.stderr
    for mode in "network=lab", "bridge=lab":
        result = as_nobody("run", *linux[1:], "--net", mode)
        assert result.returncode == 1
        assert result.stderr == (
            f"lodge: --net {mode}: network lab is a bridge, which takes "
            "CAP_NET_ADMIN (root); without it: --net user, or a network with "
            "--backing switch\n")
    assert "lodge0" not in ns.links()
    ns.run("ip", "tuntap", "add", "other", "mode", "tap", "user", "0")
    result = as_nobody("run", *linux[1:], "--net", "tap=other")
    assert "it is another user's" in result.stderr
    ns.run("ip", "tuntap", "add", "mine", "mode", "tap", "user", "65534")
    ns.run("ip", "link", "set", "mine", "master", "br0", "up")
    ns.run("ip", "addr", "add", "10.9.0.1/24", "dev", "br0")
    words = [*ns.words, *NOBODY, tmp_path / "tun", LODGE, *linux, "--net", "tap=mine"]
    child = pexpect.spawn(str(words[0]), [str(w) for w in words[1:]],
                          env=env, timeout=120, encoding="utf-8",
                          codec_errors="replace", dimensions=(24, 200))
    shell = Shell(child)
    stay(shell, "10.9.0.2/24")
    answers(ns, "10.9.0.2")
    result = as_nobody("run", *linux[1:], "--net", "tap=mine,mtu=9000")
    assert "another process has it" in result.stderr
    assert shell.power_off() == 0
    result = as_nobody("run", *linux[1:], "--net", "tap=mine,mtu=9000")
    assert "mtu=9000: tap mine has 1500; as root: ip link set" in \
        result.stderr


GIVE_FD = """
import fcntl, os, struct, sys
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"handed", 0x1002 | {}))
os.set_inheritable(fd, True)
os.dup2(fd, 9)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("header", [0, 0x4000])
def test_handed_in(ns, guest, peer, header):  # noqa: F811
    """An open descriptor, with and without a header before each frame."""
    words = [*ns.words, "/usr/bin/env", "python3", "-c",
             GIVE_FD.format(header), LODGE, *guest, "--net", "tap,fd=9"]
    child = pexpect.spawn(str(words[0]), [str(w) for w in words[1:]],
                          timeout=120, encoding="utf-8",
                          codec_errors="replace", dimensions=(24, 200))
    shell = Shell(child)
    ns.run("ip", "addr", "add", "10.9.0.1/24", "dev", "handed")
    ns.run("ip", "link", "set", "handed", "up")
    stay(shell, "10.9.0.2/24")
    answers(ns, "10.9.0.2")
    traffic(ns, shell, peer, "10.9.0.2", "10.9.0.1")
    assert shell.power_off() == 0


@pytest.mark.parametrize("words, said", [
    ("tap=none-such", "tap=none-such: there is none; as root: ip tuntap add"),
    ("tap=lo", "tap=lo: is no tap"),
    ("tap=only,queues=2", "tap=only: has one queue; leave out queues=2"),
    ("bridge=none-such", "bridge=none-such: there is none; as root: ip link"),
    ("bridge=only", "bridge=only: is no bridge"),
    ("tap,fd=0", "fd=0: give the descriptor of a tap"),
    ("tap,fd=999", "fd=999: give the descriptor of a tap"),
    ("tap,mtu=65535", "mtu=65535: tap lodge0: "),
])
def test_refused(ns, linux, words, said):
    ns.run("ip", "tuntap", "add", "only", "mode", "tap")
    before = ns.links()
    result = ns.lodge(*linux, "--net", words)
    assert result.returncode == 1
    assert said in result.stderr and result.stderr.count("\n") == 1
    assert ns.links() == before


@pytest.mark.parametrize("words, said", [
    ("bridge", "--net bridge: give bridge=NAME"),
    ("bridge=", "--net bridge: give bridge=NAME"),
    ("tap=", "--net tap: give tap=NAME"),
    ("tap=a/b", "--net tap: a/b: is no interface's name"),
    ("tap=seventeen-letters", "is no interface's name"),
    ("tap=x,fd=3", "give tap=NAME or fd=N"),
    ("tap,fd=x", "fd=x: give the number of an open descriptor"),
    ("tap,fd=3:4", "fd=3:4: are 2; queues=1 takes as many"),
])
def test_wrong_words(words, said):
    result = run("run", "--net", words)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
