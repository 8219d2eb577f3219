# SPDX-License-Identifier: Apache-2.0
"""Machines that are paused by hand and go on."""
import json
import os
import subprocess
import time

import pytest

import tiny
from conftest import LODGE, run, status_of
from test_disk import fixture_small, state, wait_for_state
from test_linux import PROMPT, boot
from test_usage import refused

assert fixture_small


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def good(*words):
    result = run(*words)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_guest_does_not_notice(linux, cpus):
    """Its clock stands while it is paused; it answers afterwards."""
    shell = boot(linux, "--cpus", cpus, "--name", "web")
    shell.run("(while :; do :; done) & echo $! > /tmp/p")
    begin, before = time.monotonic(), float(
        shell.run("cut -d' ' -f1 /proc/uptime"))
    good("pause", "web")
    good("pause", "web")
    assert state("web")["reason"] == "by lodge pause"
    assert "paused     by lodge pause" in good("status", "web")
    assert "(paused)" in good("list")
    inspected = json.loads(good("inspect", "--json", "web"))
    assert (inspected["state"], inspected["reason"]) == ("paused",
                                                         "by lodge pause")
    shell.child.sendline("echo still''here")
    time.sleep(3)
    assert state("web")["state"] == "paused"
    good("resume", "web")
    shell.child.expect("stillhere")
    shell.child.expect(PROMPT)
    passed = float(shell.run("cut -d' ' -f1 /proc/uptime")) - before
    assert passed <= time.monotonic() - begin - 2.9
    assert state("web")["state"] == "running"
    assert "paused" not in good("list")
    good("resume", "web")
    shell.run("! dmesg | grep -iE 'stall|lockup|unstable'")
    shell.run("kill $(cat /tmp/p)")
    assert shell.power_off() == 0


def test_the_power_button_and_reset(linux):
    shell = boot(linux, "--name", "web")
    good("pause", "web")
    refused(run("stop", "web"), 1, "is paused", "--force")
    good("reset", "web")
    assert state("web")["state"] == "paused"
    good("resume", "web")
    shell.wait()
    good("pause", "web")
    good("stop", "--force", "web")
    assert status_of(shell.child) == 0


@pytest.mark.parametrize("small", ["raw"], indirect=True)
def test_a_full_host_besides(linux, small):
    """Each of the two reasons is enough."""
    ballast = small.parent / "ballast"
    ballast.write_bytes(bytes(16 << 20))
    shell = boot(linux, "--name", "web", "--disk", small)
    shell.child.sendline("dd if=/dev/zero of=/dev/vda bs=1M count=24 "
                         "conv=fsync 2>/dev/null; echo WRO''TE=$?")
    wait_for_state("web", "paused")
    good("pause", "web")
    refused(run("resume", "web"), 1, "no room on the host")
    good("pause", "web")
    ballast.unlink()
    while state("web")["reason"] != "by lodge pause":
        time.sleep(0.1)
    good("resume", "web")
    shell.child.expect("WROTE=0", timeout=60)
    shell.child.expect(PROMPT)
    assert shell.power_off() == 0


def test_what_is_refused(make_kernel):
    refused(run("pause"), 2, "name is missing")
    refused(run("resume", f"none-{os.getpid()}"), 1, "none-")
    child = subprocess.Popen([LODGE, *make_kernel(tiny.HALT), "--name", "web",
                              "--serial", "none"], stdin=subprocess.DEVNULL)
    while run("status", "web").returncode:
        assert child.poll() is None
    good("pause", "web")
    child.terminate()
    assert child.wait(30) >= 0
