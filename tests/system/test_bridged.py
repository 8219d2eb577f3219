# SPDX-License-Identifier: Apache-2.0
"""Networks that are bridges of the kernel's, made of their records: what
machines get of them, what they may not, what is left of them.

Each test has network namespaces and records of its own.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BUILD, run
from namespace import namespace, needed, stay, wait_for
from test_net import guest, peer  # noqa: F401, fixtures


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    needed("nft", "dnsmasq", "busybox")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


class Network:
    """A record, and what there is of it in a namespace."""

    def __init__(self, ns, name, *options):
        self.ns, self.name = ns, name
        made = ns.lodge("net", "create", name, "--backing", "bridge",
                        *options)
        assert made.returncode == 0, made.stderr

    def show(self):
        shown = self.ns.lodge("net", "show", self.name, "--json")
        assert shown.returncode == 0, shown.stderr
        return json.loads(shown.stdout)

    def boot(self, linux, machine, mac=None, *more):
        mac = f",mac={mac}" if mac else ""
        return self.ns.boot(*linux, "--net", f"bridge={self.name}{mac}",
                            "--name", machine, *more)

    def dropped(self, machine, why):
        return self.show()["dropped"].get(machine, {}).get(why, 0)

    def server(self):
        """The process of the name server, 0 when there is none."""
        for pid in self.ns.pids():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/exe").endswith("/dnsmasq"):
                    return pid
        return 0


def wait_until(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def nothing_left(ns):
    assert not re.search(": l[btxv][-0-9a-f]", ns.links())
    assert ns.run("nft", "list", "ruleset") == ""
    assert ns.pids() == []


def has_addresses(shell):
    wait_for(shell, "ip addr show eth0 | grep -q 'inet6 fd.*dynamic' && "
             "grep -q nameserver /etc/resolv.conf", 900)


def no_answer(shell, address):
    shell.run(f"! ping -c 2 -W 1 -i 0.2 {address}")


@pytest.fixture
def outside():
    """A namespace with a way to another one, which is the outside world."""
    with namespace() as ns, namespace() as world:
        ns.run("ip", "link", "add", "up0", "type", "veth", "peer", "name",
               "down0", "netns", world.name)
        ns.run("ip", "addr", "add", "192.0.2.1/24", "dev", "up0")
        ns.run("ip", "link", "set", "up0", "up")
        ns.run("ip", "route", "add", "default", "via", "192.0.2.2")
        world.run("ip", "addr", "add", "192.0.2.2/24", "dev", "down0")
        world.run("ip", "link", "set", "down0", "up")
        yield ns, world


def test_nat(outside, linux):
    """Addresses of both families, names, the way out; nobody is another."""
    ns, world = outside
    lab = Network(ns, "lab", "--subnet", "10.7.0.0/24", "--subnet",
                  "fd00:7::/64", "--domain", "lab.test", "--dhcp",
                  "10.7.0.100-10.7.0.199")
    one = lab.boot(linux, "one", "52:54:00:00:00:01")
    two = lab.boot(linux, "two", "52:54:00:00:00:02")
    for shell in one, two:
        has_addresses(shell)
    addresses = one.run("ip addr show eth0")
    assert "inet 10.7.0.100/24" in addresses
    assert "inet6 fd00:7::5054:ff:fe00:1/64" in addresses
    assert "default via 10.7.0.1" in one.run("ip route")
    assert "default via fe80::" in one.run("ip -6 route")
    for name in "two", "two.lab.test":
        assert "10.7.0.101" in one.run(f"nslookup {name} 10.7.0.2")
    assert "fd00:7::5054:ff:fe00:2" in one.run(
        "nslookup -type=aaaa two.lab.test 10.7.0.2")
    wait_for(one, "ping -c 1 -W 2 10.7.0.101")
    wait_for(one, "ping6 -c 1 -W 2 fd00:7::5054:ff:fe00:2")
    one.run("ping -c 1 -W 5 -s 9000 10.7.0.101")  # in fragments
    one.run("ping6 -c 1 -W 5 -s 9000 fd00:7::5054:ff:fe00:2")
    # The world knows nothing of 10.7.0.0/24: it answers to 192.0.2.1.
    wait_for(one, "ping -c 1 -W 2 192.0.2.2")
    world.run("ip", "route", "add", "10.7.0.0/24", "via", "192.0.2.1")
    assert world.run("busybox", "ping", "-c", "1", "-W", "1", "10.7.0.100",
                     check=False).returncode
    shown = lab.show()
    assert shown["dropped"]["in"] > 0
    assert not any(shown["dropped"].get("one", {}).values())
    # Another's IPv4 address, another's IPv6 address, another's card.
    one.run("ip addr add 10.7.0.101/24 dev eth0; "
            "! ping -c 2 -W 1 -i 0.2 -I 10.7.0.101 10.7.0.1")
    assert lab.dropped("one", "arp") + lab.dropped("one", "ip") > 0
    one.run("arping -c 2 -w 3 -U -I eth0 -s 10.7.0.101 10.7.0.101; true")
    assert lab.dropped("one", "arp") > 0
    one.run("echo 0 >/proc/sys/net/ipv6/conf/eth0/dad_transmits; "
            "ip addr add fd00:7::99/64 dev eth0; "
            "! ping6 -c 2 -W 1 -I fd00:7::99 fd00:7::1")
    assert lab.dropped("one", "ip") > 0
    one.run("ip link set eth0 down; ip link set eth0 address "
            "52:54:00:00:00:02; ip link set eth0 up; "
            "! ping -c 2 -W 1 -i 0.2 10.7.0.1")
    assert lab.dropped("one", "mac") > 0
    # The other one is as well as before.
    wait_for(two, "ping -c 1 -W 2 192.0.2.2")
    assert not any(lab.show()["dropped"].get("two", {}).values())
    for shell in one, two:
        assert shell.power_off() == 0
    nothing_left(ns)


def test_isolated(outside, linux):
    """Each network for itself; an isolated one without a way out."""
    ns, _ = outside
    cage = Network(ns, "cage", "--kind", "isolated", "--subnet",
                   "10.8.0.0/24", "--subnet", "fd00:8::/64")
    lab = Network(ns, "lab", "--subnet", "10.7.0.0/24", "--subnet",
                  "fd00:7::/64")
    Network(ns, "free", "--subnet", "10.9.0.0/24", "--allow", "lab")
    one = cage.boot(linux, "one", None, "--net", "bridge=free")
    two = lab.boot(linux, "two")
    for shell in one, two:
        has_addresses(shell)
    wait_for(one, "ip route | grep -q 'default via 10.9.0.1'", 900)
    assert "via 10.8.0.1" not in one.run("ip route")
    # Where it is allowed, one reaches the other; not back.
    wait_for(two, "ping -c 1 -W 2 10.9.0.16")
    no_answer(one, "10.7.0.16")
    one.run("ip link set eth1 down")
    wait_for(one, "ping -c 1 -W 2 10.8.0.1")
    wait_for(two, "ping -c 1 -W 2 192.0.2.2")
    for address in "10.8.0.1", "10.8.0.16":
        no_answer(two, address)
    assert lab.show()["dropped"] is not None
    assert cage.show()["dropped"]["other"] + \
        cage.show()["dropped"]["in"] > 0
    one.run("ip route add default via 10.8.0.1")
    for address in "192.0.2.2", "10.7.0.1", "10.7.0.16", "192.0.2.1":
        one.run(f"! nc -w 1 {address} 9 </dev/null")
    no_answer(one, "192.0.2.2")
    assert cage.show()["dropped"]["out"] > 0
    for shell in one, two:
        assert shell.power_off() == 0
    nothing_left(ns)


@pytest.fixture
def served(outside, peer):  # noqa: F811
    """The same with a name server and two servers' addresses outside; this
    computer's resolv.conf names it."""
    ns, world = outside
    world.run("ip", "addr", "add", "192.0.2.3/24", "dev", "down0")
    etc = pathlib.Path("/etc/netns") / ns.name
    etc.mkdir(parents=True)
    (etc / "resolv.conf").write_text("nameserver 192.0.2.2\n")
    servers = [world.popen(
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
        "--no-resolv", "--no-hosts", "--pid-file=", "--bind-interfaces",
        "--listen-address=192.0.2.2", "--address=/open.test/192.0.2.2",
        "--address=/other.test/192.0.2.3", stderr=subprocess.DEVNULL)]
    for port in "7000", "7001":
        servers.append(world.popen(peer, "serve", port,
                                   stdout=subprocess.PIPE))
        assert servers[-1].stdout.readline() == b"ready\n"
    yield ns
    for server in servers:
        server.kill()
        server.wait()
    shutil.rmtree(etc)


def test_rules(served, guest):  # noqa: F811
    """By name, address and port, each way; changed while machines run."""
    ns = served
    lab = Network(ns, "lab", "--subnet", "10.7.0.0/24")

    def rules(*texts):
        words = [word for text in texts for word in ("--rule", text)]
        done = ns.lodge("net", "rules", "lab", "one", *words or ["--clear"])
        assert done.returncode == 0, done.stderr

    rules("out allow tcp open.test 7000", "out allow udp 192.0.2.2",
          "in allow icmp", "in allow tcp two.internal 7000")
    one = lab.boot(guest, "one")
    two = lab.boot(guest, "two")
    for shell in one, two:
        wait_for(shell, "grep -q nameserver /etc/resolv.conf", 900)
    assert "in allow icmp" in ns.lodge("net", "rules", "lab", "one").stdout
    # Names are asked for, and their addresses are then reached.
    one.run("! timeout 2 peer conn 192.0.2.2 7000 1")
    assert "192.0.2.2" in one.run("nslookup -type=a open.test")
    wait_for(one, "timeout 9 peer conn 192.0.2.2 7000 3")
    one.run("peer udp 192.0.2.2 7000 5 1400")
    one.run("nslookup -type=a other.test")
    for words in ("192.0.2.2 7001", "192.0.2.3 7000"):
        one.run(f"! timeout 2 peer conn {words} 1")
    no_answer(one, "192.0.2.2")
    assert lab.dropped("one", "out") > 0
    # From the other one: answers to it pass, by its name and by the protocol.
    one.run("peer serve 7000 >/tmp/said & peer serve 7001 >/tmp/more & "
            "until grep -q ready /tmp/said && grep -q ready /tmp/more; do "
            "sleep 0.1; done")
    wait_for(two, "ping -c 1 -W 2 10.7.0.16")
    two.run("peer conn 10.7.0.16 7000 3")
    two.run("! timeout 2 peer conn 10.7.0.16 7001 1")
    assert lab.dropped("one", "in") > 0
    rules("in deny tcp any 7000", "in allow")
    two.run("! timeout 2 peer conn 10.7.0.16 7000 1")
    two.run("peer conn 10.7.0.16 7001 1")
    one.run("peer conn 192.0.2.3 7000 1")
    rules()
    two.run("peer conn 10.7.0.16 7000 1")
    for shell in one, two:
        assert shell.power_off() == 0
    nothing_left(ns)


def sweep_by_lodged(ns, tmp_path):
    """Its start takes away what belongs to none."""
    lodged = ns.popen(BUILD / "lodged", "--ready", 1, stdout=subprocess.PIPE,
                      env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})
    with lodged:
        assert lodged.stdout.readline() == b"ok\n"
        lodged.terminate()


def test_mended(outside, linux, tmp_path):
    """What goes under a machine comes back; of a killed one nothing stays."""
    ns, _ = outside
    lab = Network(ns, "lab", "--subnet", "10.7.0.0/24")
    one = lab.boot(linux, "one")
    wait_for(one, "grep -q nameserver /etc/resolv.conf", 900)
    before = lab.server()
    assert before
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: lab.server() not in (0, before))
    assert "10.7.0." in one.run("nslookup one 10.7.0.2")
    bridge = lab.show()["bridge"]
    ns.run("ip", "link", "del", bridge)
    wait_until(lambda: bridge in ns.links())
    wait_for(one, "ping -c 1 -W 2 10.7.0.1")
    # A start brings back what is not watched.
    ns.run("nft", "flush", "ruleset")
    two = lab.boot(linux, "two")
    assert "masquerade" in ns.run("nft", "list", "ruleset")
    wait_for(two, "grep -q nameserver /etc/resolv.conf", 900)
    refused = ns.lodge("net", "delete", "lab")
    assert "uses network lab" in refused.stderr
    for shell in one, two:
        shell.child.kill(signal.SIGKILL)
        shell.child.wait()
    assert bridge in ns.links()  # nobody has called lodge
    assert not re.search(": lt[0-9a-f]", ns.links())
    sweep_by_lodged(ns, tmp_path)
    nothing_left(ns)
    assert ns.lodge("net", "delete", "lab").returncode == 0


def test_joined(linux):
    """Two hosts' networks as one: over VXLAN, and by a VLAN of an uplink."""
    with namespace() as left, namespace() as right:
        for name in "wire", "trunk":
            left.run("ip", "link", "add", name, "type", "veth", "peer",
                     "name", name, "netns", right.name)
        made = left.run("ip", "link", "add", "link", "wire", "name", "probe",
                        "type", "vlan", "id", "7", check=False)
        vlan = []  # where the kernel has none, the uplink as it is
        if not made.returncode:
            left.run("ip", "link", "del", "probe")
            vlan = ["--vlan", "7"]
        shells = []
        for i, ns in enumerate((left, right), 1):
            ns.run("ip", "addr", "add", f"192.0.2.{i}/24", "dev", "wire")
            ns.run("ip", "link", "set", "wire", "mtu", "9100", "up")
            ns.run("ip", "link", "set", "trunk", "up")
        for i, ns in enumerate((left, right), 1):
            over = Network(ns, f"over{i}", "--subnet", f"10.7.{i}.0/24",
                           "--vxlan", "42", "--peer", f"192.0.2.{3 - i}",
                           "--dhcp", "off", "--mtu", "9000")
            tagged = Network(ns, f"tagged{i}", "--subnet",
                             f"10.8.{i}.0/24", "--uplink", "trunk", *vlan,
                             "--dhcp", "off")
            shells.append(ns.boot(
                *linux, "--name", f"joined{i}", "--net",
                f"bridge={over.name}", "--net", f"bridge={tagged.name}"))
        for i, shell in enumerate(shells, 1):
            stay(shell, f"10.7.{i}.9/16")
            stay(shell, f"10.8.{i}.9/16", card="eth1")
            assert "mtu 9000" in shell.run("ip link show eth0")
        wait_for(shells[0], "ping -c 1 -W 2 10.7.2.9")
        wait_for(shells[0], "ping -c 1 -W 2 10.8.2.9")
        shells[1].run("ping -c 2 -s 8900 -W 5 10.7.1.9")
        for shell in shells:
            assert shell.power_off() == 0
        for ns in left, right:
            nothing_left(ns)
            assert "wire" in ns.links()


@pytest.mark.parametrize("options, said", [
    (["--uplink", "none-such"], "uplink none-such: there is no such"),
])
def test_refused(linux, options, said):
    """One line, and nothing is left behind."""
    with namespace() as ns:
        bad = Network(ns, "bad", "--subnet", "10.9.0.0/24", *options)
        result = ns.lodge(*linux, "--net", "bridge=bad")
        assert result.returncode == 1
        assert said in result.stderr and result.stderr.count("\n") == 1
        assert bad.show()["users"] == []
        nothing_left(ns)
    made = run("net", "create", "mine", "--subnet", "10.10.0.0/24")
    assert made.returncode == 0
    for words, told in ((["mine"], "a machine's name is missing"),
                        (["mine", "one", "--rule", "in"], "give in or out"),
                        (["bad", "one", "--rule", "in"], "give in or out"),
                        (["bad", "one", "--rule", "in allow tcp any x"],
                         "x: give a port")):
        result = run("net", "rules", *words)
        assert result.returncode and told in result.stderr
    result = run(*linux, "--net", "bridge=mine")
    assert "that network is no bridge; give --net switch=mine" in \
        result.stderr
