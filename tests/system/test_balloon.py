# SPDX-License-Identifier: Apache-2.0
"""Memory that goes back to the host: by the balloon, by the guest's reports."""
import json
import os
import re
import time

import pytest

import tiny
from conftest import run, spawn, status_of
from test_linux import BOOT, MIB, boot

SIZE = 1024 * MIB
LOAD = ("/etc/drivers virtio_ring virtio virtio_pci_legacy_dev "
        "virtio_pci_modern_dev virtio_pci virtio_balloon; "
        "until [ -e /sys/bus/virtio/drivers/virtio_balloon/virtio* ]; "
        "do sleep 0.1; done")


class Machine:
    """A guest with the balloon's driver, and what the host sees of it."""

    def __init__(self, linux, *args):
        self.name = f"balloon-{os.getpid()}"
        self.shell = boot(linux, "--memory", "1G", "--name", self.name, *args)
        self.shell.run(LOAD)
        self.shell.run("mount -o remount,size=900M /tmp; "
                       "dd if=/dev/urandom of=/tmp/seed bs=1M count=20 "
                       "2>/dev/null")
        self.pid = self.status()["pid"]

    def status(self):
        return json.loads(run("status", "--json", self.name).stdout)

    def balloon(self, *size):
        result = run("balloon", "--json", self.name, *size)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def resident(self):
        """Bytes of guest memory that the host has given to the process."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return int(re.search(r"RssShmem:\s+(\d+)", status.read())[1]) * 1024

    def fill(self, mib):
        """Writes a file of so many MiB into the guest's memory."""
        self.shell.run(f"for n in $(seq {mib // 20}); do cat /tmp/seed; done "
                       ">/tmp/fill", timeout=BOOT)

    def wait(self, condition, what):
        deadline = time.time() + BOOT
        while not condition():
            assert time.time() < deadline, what
            time.sleep(0.2)


@pytest.fixture
def machine(linux):
    made = []

    def make(*args):
        made.append(Machine(linux, *args))
        return made[-1]
    yield make
    for m in made:
        m.shell.child.close(force=True)


def test_balloon(machine):
    """A smaller guest, then a large one again."""
    m = machine()
    free = m.balloon()["statistics"]["free"]
    assert free > 800 * MIB
    m.fill(200)
    m.shell.run("echo kept >/tmp/kept; md5sum /tmp/fill >/tmp/sum")
    assert m.resident() > 200 * MIB
    asked = m.balloon("600M")
    assert asked["target"] == 600 * MIB and asked["driver"] is True
    m.wait(lambda: m.balloon()["size"] == 600 * MIB, "inflated")
    assert m.balloon()["statistics"]["free"] < 300 * MIB
    status = m.status()
    assert status["memory"] == SIZE
    assert status["memory_target"] == status["memory_size"] == 600 * MIB
    assert "has 600 MiB" in run("status", m.name).stdout
    # What the guest has in use is as it was.
    m.shell.run("md5sum -c /tmp/sum && grep kept /tmp/kept")
    m.balloon("1G")
    m.wait(lambda: m.balloon()["size"] == SIZE, "deflated")
    m.shell.run("rm /tmp/fill")
    m.fill(500)
    m.shell.run("tail -c 20971520 /tmp/fill | cmp - /tmp/seed && "
                "grep kept /tmp/kept")
    m.shell.run("! dmesg | grep -E 'BUG|Oops|corrupt|Out of memory'")
    assert m.shell.power_off() == 0


def test_the_host_gets_it(machine, report):
    """Pages that the guest had used and freed, by the balloon alone."""
    m = machine("--report", report.path)
    m.fill(500)
    used = m.resident()
    assert used > 500 * MIB
    m.shell.run("rm /tmp/fill")
    m.balloon("256M")
    m.wait(lambda: m.balloon()["size"] == 256 * MIB, "inflated")
    assert m.resident() < 256 * MIB
    assert m.balloon()["touched"] < 256 * MIB
    assert m.shell.power_off() == 0
    assert report.read()["guest_memory_touched_bytes"] > 500 * MIB


def test_reports(machine):
    """Nobody asks, and the host has its memory back."""
    m = machine("--cpus", 2)
    before = m.resident()
    for _ in range(2):
        m.fill(400)
        assert m.resident() > before + 350 * MIB
        m.shell.run("rm /tmp/fill")
        m.wait(lambda: m.resident() < before + 60 * MIB, "reported")
    assert m.balloon()["size"] == SIZE
    assert m.shell.power_off() == 0


def test_programs_come_first(machine):
    """A balloon that is too large gives way to what the guest runs."""
    m = machine()
    m.balloon("256M")
    m.wait(lambda: m.balloon()["size"] == 256 * MIB, "inflated")
    # A program of 400 MiB; the tmpfs does not count as one.
    assert m.shell.run(
        "dd if=/dev/zero of=/dev/null bs=400M count=1 2>/dev/null && "
        "echo done", timeout=BOOT) == "done"
    m.shell.run("dmesg | grep -q 'Out of memory' && exit 1 || true")
    m.balloon("1G")
    m.wait(lambda: m.balloon()["size"] == SIZE, "deflated")
    assert m.shell.power_off() == 0


def test_a_reboot(machine):
    """The next kernel gets the initrd and all the memory it is to have."""
    m = machine()
    m.balloon("300M")
    m.wait(lambda: m.balloon()["size"] == 300 * MIB, "inflated")
    m.shell.child.sendline("reboot -f")
    m.shell.wait()
    assert m.balloon()["target"] == 300 * MIB
    m.shell.run(LOAD)
    m.wait(lambda: m.balloon()["size"] == 300 * MIB, "inflated again")
    assert m.shell.power_off() == 0


def test_without_a_driver(make_kernel):
    child = spawn(*make_kernel(tiny.text("ready\n") + tiny.ECHO), "--name",
                  f"none-{os.getpid()}")
    child.expect("ready")
    result = run("balloon", f"none-{os.getpid()}", "8M")
    assert result.returncode == 0
    assert "target     8 MiB" in result.stdout
    assert "has        16 MiB" in result.stdout
    assert result.stderr == (f"lodge: none-{os.getpid()}: its guest has no "
                             "balloon driver, or not yet\n")
    result = run("balloon", f"none-{os.getpid()}", "17M")
    assert result.returncode == 1
    assert "16 MiB" in result.stderr and result.stderr.count("\n") == 1
    child.send("q")
    assert status_of(child) == 0


@pytest.mark.parametrize("words", [["0"], ["x"], ["5X"], ["-1"], []])
def test_bad_sizes(words):
    result = run("balloon", *(["vm", *words] if words else []))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
