# SPDX-License-Identifier: Apache-2.0
"""A guest's network: addresses, reachability, what the host sees of it."""
import json

import pytest

from conftest import LODGE, run, spawn
from test_linux import Shell

USER = LODGE.parent / "lodge-user-net.so"
MAC = "52:54:00:12:34:56"
PREFIX = "fd6c:6f64:6765:"

pytestmark = pytest.mark.skipif(not USER.exists(),
                                reason="built without libslirp")


def boot(linux, *args):
    """A guest's shell, once it has an address of each kind."""
    shell = Shell(spawn(*linux, *args, timeout=120))
    shell.run("for i in $(seq 100); do ip addr show eth0 | "
              "grep -q 'inet6.* global' && grep -q nameserver "
              "/etc/resolv.conf && break; sleep 0.1; done", timeout=120)
    return shell


def inspect(name):
    return json.loads(run("inspect", "--json", name).stdout)


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_addresses(linux):
    """DHCP, router advertisement, the router's answers; the card's counts."""
    shell = boot(linux, "--net", f"user,mac={MAC}", "--name", "netted")
    addresses = shell.run("ip addr show eth0")
    assert f"link/ether {MAC}" in addresses
    assert "inet 10.0.2.15/24" in addresses
    assert f"inet6 {PREFIX}0:5054:ff:fe12:3456/64" in addresses
    assert "default via 10.0.2.2" in shell.run("ip route")
    assert shell.run("cat /etc/resolv.conf") == "nameserver 10.0.2.3"
    assert "3 packets received" in shell.run("ping -c 3 -i 0.2 10.0.2.2")
    assert "3 packets received" in shell.run(
        f"ping6 -c 3 -i 0.2 {PREFIX}:2")
    (net,) = inspect("netted")["nets"]
    assert net["mac"] == MAC and net["mode"] == "user" and net["link"]
    assert net["sent"]["frames"] > 6 and net["received"]["bytes"] > 600
    text = run("status", "netted").stdout
    assert f"net        {MAC}: user, virtio, mtu 1500" in text
    assert shell.power_off() == 0


def test_other_networks(linux):
    """Two cards, each with a network of its own; another MTU."""
    shell = boot(linux, "--net", "user,net=192.168.7.0/27,net6=fd00:7::/64,"
                 "mtu=9000,queues=2", "--net", "user", "--cpus", 2)
    shell.run("for i in $(seq 100); do ip addr show eth1 | "
              "grep -q 'inet ' && break; sleep 0.1; done", timeout=120)
    addresses = shell.run("ip addr show eth0")
    assert "inet 192.168.7.15/27" in addresses and "mtu 9000" in addresses
    assert "inet6 fd00:7::" in addresses
    assert "inet 10.0.2.15/24" in shell.run("ip addr show eth1")
    assert "2 packets received" in shell.run(
        "ping -c 2 -s 8000 -i 0.2 192.168.7.2")
    assert "2 packets received" in shell.run("ping -c 2 -i 0.2 10.0.2.2")
    macs = shell.run("cat /sys/class/net/eth*/address").split()
    assert macs[0] != macs[1]
    assert shell.power_off() == 0


def test_none(linux):
    shell = Shell(spawn(*linux, "--net", "none", timeout=120))
    assert "1af4:1041" not in shell.run("cat /proc/bus/pci/devices; ls "
                                        "/sys/class/net")
    assert shell.run("ls /sys/class/net") == "lo"
    assert shell.power_off() == 0


@pytest.mark.parametrize("words, said", [
    (["--net", "mars"], "--net mars: give user or none"),
    (["--net", "user,mac=1:2:3"], "mac=1:2:3: give the address of one card"),
    (["--net", "user,mac=01:00:5e:00:00:01"], "the address of one card"),
    (["--net", "user,mtu=67"], "mtu=67: give 68 to 65535"),
    (["--net", "user,queues=9"], "queues=9: give 1 to 8"),
    (["--net", "user,model=ne2000"], "model=ne2000: give virtio"),
    (["--net", "user,net=10.0.2.0"], "net=10.0.2.0: give a network"),
    (["--net", "user,net=10.0.2.1/24"], "net=10.0.2.1/24: give a network"),
    (["--net", "user,net=10.0.0.0/28"], "of /8 to /27"),
    (["--net", "user,net6=fd00::/48"], "net6=fd00::/48: give a network"),
    (["--net", "user,cable=red"], 'there is no option "cable"'),
    (["--net", "user,restrict=yes"], "--net user: give restrict"),
    (["--net", "user,net=10.0.2.0/24,net=10.0.3.0/24"], "net is there twice"),
    (["--net", f"user,mac={MAC}", "--net", f"user,mac={MAC}"],
     f"two cards have the address {MAC}"),
    (["--net", "none", "--net", "user"], "--net none: stands alone"),
    (["--net", "user"] * 9, "more than 8 network cards"),
    (["--publish", "80"], "--publish 80: give [HOST:]PORT:GUESTPORT[/udp]"),
    (["--publish", "0:80"], "--publish 0:80: give"),
    (["--publish", "8080:65536"], "give [HOST:]PORT"),
    (["--publish", "8080:80/sctp"], "give [HOST:]PORT"),
    (["--publish", "here:8080:80"], "give [HOST:]PORT"),
    (["--publish", "::1:8080:80"], "give [HOST:]PORT"),
    (["--net", "none", "--publish", "8080:80"], "goes with --net user"),
])
def test_wrong_words(words, said):
    result = run("run", *words)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
