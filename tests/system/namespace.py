# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of a test's own, and guests in them."""
import contextlib
import itertools
import os
import shutil
import subprocess

import pytest

from conftest import LODGE, Child, run
from test_linux import Shell

NUMBER = itertools.count()

# A user namespace in which nobody gets another network: no empty view either.
NO_SPACES = ["unshare", "-Ur", "sh", "-c",
             "echo 0 >/proc/sys/user/max_net_namespaces && exec \"$@\"", "-"]


def needed(*tools):
    """Skips a test that this host cannot run."""
    if os.geteuid():
        pytest.skip("needs root, for network namespaces")
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("there is no /dev/net/tun")
    for tool in ("ip", *tools):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is missing")


class Namespace:
    """Commands in a network namespace of its own."""

    def __init__(self, name):
        self.name = name
        self.words = ["ip", "netns", "exec", name]

    def run(self, *words, check=True, timeout=60, **kwargs):
        """A command's output, or with check=False its whole result."""
        result = subprocess.run([*self.words, *map(str, words)], text=True,
                                capture_output=True, timeout=timeout,
                                check=False, stdin=subprocess.DEVNULL,
                                **kwargs)
        if not check:
            return result
        assert result.returncode == 0, (words, result.stderr, result.stdout)
        return result.stdout

    def lodge(self, *words, **kwargs):
        return self.run(LODGE, *words, check=False, **kwargs)

    def popen(self, *words, **kwargs):
        return subprocess.Popen([*self.words, *map(str, words)], **kwargs)

    def boot(self, *words, **kwargs):
        """A guest's shell."""
        child = Child(
            self.words[0], [*self.words[1:], str(LODGE), *map(str, words)],
            timeout=120, encoding="utf-8", codec_errors="replace",
            dimensions=(24, 200), **kwargs)
        child.delaybeforesend = None
        return Shell(child)

    def pids(self):
        """What runs in it."""
        return [int(pid) for pid in subprocess.run(
            ["ip", "netns", "pids", self.name], check=True, text=True,
            capture_output=True).stdout.split()]

    def links(self):
        return self.run("ip", "-o", "link")


@contextlib.contextmanager
def namespace():
    """One that is gone afterwards, with all that runs in it."""
    needed()
    ns = Namespace(f"lodge-test-{os.getpid()}-{next(NUMBER)}")
    made = subprocess.run(["ip", "netns", "add", ns.name], check=False,
                          capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no network namespaces: {made.stderr.strip()}")
    try:
        ns.run("ip", "link", "set", "lo", "up")
        yield ns
    finally:
        for pid in ns.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        subprocess.run(["ip", "netns", "del", ns.name], check=False)


def settled(shell, card="eth0"):
    """An address of IPv6 is not used before it is known to be nobody else's:
    IFA_F_TENTATIVE, 0x40."""
    shell.run(f"while grep -q ' [4-7c-f][0-9a-f] *{card}' /proc/net/if_inet6; "
              "do sleep 0.1; done", timeout=120)


def stay(shell, *addresses, card="eth0"):
    """The guest's card gets these addresses and asks for no others."""
    shell.run(f"until [ -d /sys/class/net/{card} ]; do sleep 0.1; done; "
              "ps | grep '[/]etc/network' | while read pid more; do "
              "kill $pid; done; killall udhcpc; while ps | "
              "grep -q '[/]etc/dhcp'; do sleep 0.1; done", timeout=120)
    shell.run("; ".join([f"ip link set {card} up", *(
        f"ip addr add {address} dev {card}" for address in addresses)]))
    settled(shell, card)


def wait_for(shell, command, tenths=300):
    """Until a command of the guest's succeeds."""
    shell.run(f"for i in $(seq {tenths}); do {command} && break; sleep 0.1; "
              f"done; {command}", timeout=120)


def status(name):
    return run("status", name).stdout
