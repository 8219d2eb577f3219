# SPDX-License-Identifier: Apache-2.0
"""What a switch makes of a machine's rules, tags, fixed addresses and published
ports: with no privileges the same as a bridge of the kernel's."""
import os
import signal

from namespace import wait_for
from test_bridged import Network, folders, no_answer  # noqa: F401
from test_bridged import outside, served  # noqa: F401, fixtures
from test_net import MIB, guest, peer  # noqa: F401, fixtures
from test_switch import until


class Lab(Network):
    """A record in a namespace, with a switch behind it."""

    def __init__(self, ns, *options, name="lab"):
        self.ns, self.name = ns, name
        made = ns.lodge("net", "create", name, *options)
        assert made.returncode == 0, made.stderr

    def boot(self, linux, machine, options="", *more):
        return self.ns.boot(*linux, "--name", machine, "--net",
                            f"network={self.name}{options}", *more)

    def port(self, machine):
        for port in self.show()["switch"]["ports"]:
            if port["machine"] == machine:
                return port
        return None

    def dropped(self, machine, why):
        return self.port(machine)["rules"][why]

    def rules(self, machine, *texts):
        words = [word for text in texts for word in ("--rule", text)]
        done = self.ns.lodge("net", "rules", self.name, machine,
                             *words or ["--clear"])
        assert done.returncode == 0, done.stderr


def leased(shell):
    wait_for(shell, "grep -q nameserver /etc/resolv.conf", 900)
    return shell


def serves(shell, *ports):
    for port in ports:
        shell.run(f"peer serve {port} >/tmp/said{port} & "
                  f"until grep -q ready /tmp/said{port}; do sleep 0.1; done")


def test_rules(served, guest):  # noqa: F811
    """By name, address and port, each way; changed while machines run; kept by
    the switch that takes a killed one's place."""
    lab = Lab(served, "--subnet", "10.7.0.0/24")
    lab.rules("one", "out allow tcp open.test 7000", "out allow udp 192.0.2.2",
              "in allow icmp", "in allow tcp two.internal 7000")
    one, two = lab.boot(guest, "one"), lab.boot(guest, "two")
    leased(one), leased(two)
    assert "in allow icmp" in served.lodge("net", "rules", "lab", "one").stdout
    one.run("! timeout 2 peer conn 192.0.2.2 7000 1")
    assert "192.0.2.2" in one.run("nslookup -type=a open.test")
    one.run("timeout 9 peer conn 192.0.2.2 7000 3")
    one.run("peer udp 192.0.2.2 7000 5 1400")
    one.run("nslookup -type=a other.test")
    for words in "192.0.2.2 7001", "192.0.2.3 7000":
        one.run(f"! timeout 2 peer conn {words} 1")
    no_answer(one, "192.0.2.2")
    assert lab.dropped("one", "out") > 0
    assert " out, of one" in served.lodge("net", "show", "lab").stdout
    serves(one, 7000, 7001)
    address = lab.port("one")["addresses"][0]
    wait_for(two, f"ping -c 1 -W 2 {address}")
    two.run(f"peer conn {address} 7000 3")
    two.run(f"! timeout 2 peer conn {address} 7001 1")
    assert lab.dropped("one", "in") > 0
    lab.rules("one", "in deny tcp any 7000", "in allow")
    two.run(f"! timeout 2 peer conn {address} 7000 1")
    two.run(f"peer conn {address} 7001 1")
    one.run("peer conn 192.0.2.3 7000 1")
    # The switch is killed: the rules are the record's.
    pid = lab.show()["switch"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: lab.show()["switch"] and lab.port("one") and lab.port("two"))
    wait_for(two, f"peer conn {address} 7001 1")
    two.run(f"! timeout 2 peer conn {address} 7000 1")
    lab.rules("one")
    two.run(f"peer conn {address} 7000 1")
    for shell in one, two:
        assert shell.power_off() == 0


def test_tags(served, linux):  # noqa: F811
    """Cards of different tags see the network's own, and not each other."""
    lab = Lab(served, "--kind", "isolated", "--subnet", "10.7.0.0/24",
              "--vlan", "5", "--mtu", "9000")
    assert lab.show()["backing"] == "switch"
    one = leased(lab.boot(linux, "one", ",vlan=7,address=10.7.0.7"))
    two = leased(lab.boot(linux, "two", ",address=10.7.0.8"))
    three = leased(lab.boot(linux, "three", ",vlan=7,address=10.7.0.9"))
    assert [lab.port(name)["vlan"] for name in ("one", "two", "three")] == [
        7, 5, 7]
    for shell in one, two, three:
        wait_for(shell, "ping -c 1 -W 2 10.7.0.2")
        assert "mtu 9000" in shell.run("ip link show eth0")
    wait_for(one, "ping -c 1 -W 2 10.7.0.9")
    one.run("ping -c 1 -W 9 -s 8972 three")
    assert lab.port("three")["received"]["bytes"] > 9000
    no_answer(one, "10.7.0.8")
    no_answer(two, "10.7.0.7")
    for shell in one, two, three:
        assert shell.power_off() == 0


def test_fixed_address(served, linux):  # noqa: F811
    """A machine has the address that was asked for, and nobody else."""
    lab = Lab(served, "--kind", "isolated", "--subnet", "10.7.0.0/24")
    one = leased(lab.boot(linux, "one", ",address=10.7.0.5"))
    assert "inet 10.7.0.5/24" in one.run("ip addr show eth0")
    wrong = [("10.7.0.5", 1, "address=10.7.0.5: machine one has it"),
             ("10.7.0.2", 1, "give one of 10.7.0.0/24, behind its first two"),
             ("10.8.0.5", 1, "give one of 10.7.0.0/24, behind its first two"),
             ("10.7.0", 2, "address=10.7.0: give an IPv4 address")]
    for address, status, said in wrong:
        done = served.lodge("run", *linux[1:], "--name", "two", "--net",
                            f"network=lab,address={address}")
        assert done.returncode == status and said in done.stderr
        assert done.stderr.count("\n") == 1
    assert [user["machine"] for user in lab.show()["users"]] == ["one"]
    assert one.power_off() == 0
    # It is kept, until somebody else is given it.
    one = leased(lab.boot(linux, "one"))
    assert "inet 10.7.0.5/24" in one.run("ip addr show eth0")
    assert one.power_off() == 0


def test_fixed_address_of_a_bridge(served, linux):  # noqa: F811
    """The same words for a bridge of the kernel's."""
    lab = Lab(served, "--kind", "isolated", "--subnet", "10.7.0.0/24",
              "--backing", "bridge")
    one = leased(lab.boot(linux, "one", ",address=10.7.0.5"))
    assert "inet 10.7.0.5/24" in one.run("ip addr show eth0")
    for options, said in (
            (",address=10.7.0.5", "address=10.7.0.5: machine one has it"),
            (",address=10.7.0.1", "give one of 10.7.0.0/24"),
            (",vlan=7", "the tag of a bridge is its own")):
        done = served.lodge("run", *linux[1:], "--name", "two", "--net",
                            f"network=lab{options}")
        assert done.returncode == 1 and said in done.stderr
        assert done.stderr.count("\n") == 1
    assert one.power_off() == 0


def test_publish(served, guest, peer):  # noqa: F811
    """A port of this computer leads to a machine on a switch, in both
    families, for as long as the machine lives."""
    lab = Lab(served, "--subnet", "10.7.0.0/24", "--subnet", "fd00:7::/64")
    words = ["--publish", "8000:7000", "--publish", "8000:7000/udp"]
    one = leased(lab.boot(guest, "one", "", *words))
    serves(one, 7000)
    until(lambda: len(lab.port("one")["addresses"]) == 2)

    def reach(host, *more):
        return served.run(peer, more[0], host, "8000", *more[1:],
                          check=False, timeout=300).returncode == 0

    for host in "127.0.0.1", "::1":
        assert reach(host, "get", 2 * MIB) and reach(host, "conn", 20)
        assert reach(host, "udp", 5, 1400)
    # By its rules the router is who connects.
    lab.rules("one", "in deny tcp 10.7.0.1 7000", "in allow")
    assert served.run("timeout", 3, peer, "conn", "127.0.0.1", "8000", 1,
                      check=False).returncode
    lab.rules("one")
    done = lab.ns.lodge("run", *guest[1:], "--name", "two", "--net",
                        "network=lab", *words)
    assert done.returncode == 1 and "has port 8000" in done.stderr
    assert "--net network=lab: --publish 8000:7000: " in done.stderr
    assert done.stderr.count("\n") == 1
    # A switch that is killed is replaced, and its ports with it.
    os.kill(lab.show()["switch"]["pid"], signal.SIGKILL)
    until(lambda: lab.show()["switch"] and lab.port("one"))
    until(lambda: reach("127.0.0.1", "conn", 1))
    # The machine is killed: another may have the port.
    two = leased(lab.boot(guest, "two"))
    one.child.kill(signal.SIGKILL)
    until(lambda: not lab.port("one"))
    until(lambda: not reach("127.0.0.1", "conn", 1))
    one = leased(lab.boot(guest, "one", "", *words))
    serves(one, 7000)
    assert reach("127.0.0.1", "conn", 1)
    assert one.power_off() == 0 and two.power_off() == 0


def test_publish_refused(served, linux):  # noqa: F811
    """Where nothing leads in it is said, and what does."""
    Lab(served, "--kind", "isolated", "--subnet", "10.7.0.0/24")
    Lab(served, "--backing", "bridge", "--subnet", "10.8.0.0/24", name="big")
    for name, said in (("lab", "kind nat has a way in"),
                       ("big", "ports go with --net user")):
        done = served.lodge("run", *linux[1:], "--net", f"network={name}",
                            "--publish", "8000:80")
        assert done.returncode == 1 and said in done.stderr
        assert done.stderr.count("\n") == 1
