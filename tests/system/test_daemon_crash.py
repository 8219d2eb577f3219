# SPDX-License-Identifier: Apache-2.0
"""What is kept of runs that ended badly, and how machines are started again."""
import contextlib
import os
import signal
import sqlite3

import pytest

import tiny
from daemon import LODGED, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")



def crashes(lodged, name):
    return lodged.ask("GET", f"/v1/vms/{name}/crashes")["crashes"]


def test_a_crash_is_kept(lodged, kernel):
    words = "panic: \x1b[2Jno root\nlodge: hello\n"
    lodged.make("web", **kernel(tiny.text(words) + tiny.CRASH, "crash"))
    assert crashes(lodged, "web") == []
    lodged.say("web", "start")
    lodged.wait_state("web", "stopped")
    crash, = crashes(lodged, "web")
    assert crash["kind"] == "crashed" and "triple fault" in crash["reason"]
    assert "rip" in crash["log"].lower()
    assert "  | panic: [2Jno root\n  | lodge: hello\n" in crash["log"]
    assert crash["report"]["exit_reason"] == "crash"
    # A second one, and its process killed: the newest first.
    lodged.ask("PATCH", "/v1/vms/web", {"config": kernel()})
    lodged.say("web", "start")
    os.kill(lodged.vm("web")["pid"], signal.SIGKILL)
    lodged.wait_state("web", "stopped")
    assert [c["kind"] for c in crashes(lodged, "web")] == ["failed",
                                                           "crashed"]
    assert "signal 9" in crashes(lodged, "web")[0]["reason"]
    result = lodged.cli("crashes", "web")
    assert result.returncode == 0 and "no root" in result.stdout
    assert "\x1b" not in result.stdout
    # What was stopped, or never began, is none.
    lodged.say("web", "start")
    lodged.say("web", "stop", {"force": True})
    lodged.ask("PATCH", "/v1/vms/web", {"config": {"kernel": "/none"}})
    lodged.say("web", "start")
    lodged.wait_state("web", "stopped")
    assert len(crashes(lodged, "web")) == 2
    assert lodged.cli("crashes", "none").returncode == 1


def test_what_was_said_before_is_no_reason(lodged, kernel):
    """A machine of a lodged that was there before has no exit status for us."""
    lodged.make("web", **kernel())
    lodged.say("web", "start")
    vm = lodged.vm("web")
    with open(lodged.data / "vms" / vm["id"] / "log", "a") as log:
        log.write("lodge: a warning of long ago\n")
    lodged.kill()
    assert lodged.start() == "ok"
    os.kill(vm["pid"], signal.SIGKILL)
    lodged.wait_state("web", "stopped")
    assert lodged.vm("web")["reason"] == (
        "its process was killed, or ended unseen; it said last: a warning of "
        "long ago")


def test_ten_are_kept(lodged, kernel):
    lodged.make("web", **kernel(tiny.CRASH, "crash"))
    for _ in range(12):
        lodged.say("web", "start")
        lodged.wait_state("web", "stopped")
    assert len(crashes(lodged, "web")) == 10


def test_ps_tells_of_restarts(lodged, kernel):
    lodged.make("web", **kernel(tiny.CRASH, "crash"), restart="on-failure")
    lodged.say("web", "start")

    def told():
        text = lodged.cli("ps").stdout
        return "restarted" in text and "again in" in text
    wait_for(told)
    lodged.say("web", "stop")
    assert lodged.ps()["web"]["restarts"] >= 1


def test_autostart_with_a_delay(lodged, kernel):
    """Those behind it wait."""
    lodged.make("a", **kernel(), autostart=True, autostart_order=1,
                autostart_delay=3600)
    lodged.make("b", **kernel(), autostart=True, autostart_order=2)
    lodged.make("c", **kernel(), autostart=True)
    lodged.kill()
    with contextlib.closing(
            sqlite3.connect(lodged.data / "registry.db")) as registry:
        registry.execute("UPDATE settings SET value = 'other' "
                         "WHERE name = 'boot'")
        registry.commit()
    assert lodged.start() == "ok"
    lodged.wait_state("a", "running")
    lodged.wait_state("c", "running")
    assert lodged.state("b") == "stopped"
    assert lodged.say("b", "start").status == 200


# The watchdog's configuration space, at slot 26: ticks of 1 us, and on. Both
# stages take a second as they are, and nobody comes.
HANG = (tiny.out32(0xCF8, 0x8000D060) + tiny.out8(0xCFC, 0x04) +
        tiny.out32(0xCF8, 0x8000D068) + tiny.out8(0xCFC, 0x02) + tiny.HALT)


@pytest.mark.parametrize("action", ["reset", "poweroff", "pause", "none"])
def test_a_watchdog(lodged, kernel, action):
    lodged.make("web", **kernel(HANG, "hang"), watchdog=action)
    lodged.say("web", "start")
    vm = lodged.vm("web")
    log = lodged.data / "vms" / vm["id"] / "log"
    wait_for(lambda: "watchdog" in log.read_text())
    if action == "poweroff":
        lodged.wait_state("web", "stopped")
        assert lodged.vm("web")["reason"] == "power-off"
        return
    if action == "pause":
        lodged.wait_state("web", "paused")
        assert lodged.vm("web")["reason"] == "by its watchdog"
        assert lodged.say("web", "resume").status == 200
        lodged.wait_state("web", "running")
        return
    assert lodged.vm("web")["pid"] == vm["pid"]
    if action == "reset":
        # It begins anew, and hangs anew.
        wait_for(lambda: log.read_text().count("watchdog") >= 2)


def test_a_watchdog_of_another_kind(lodged):
    answer = lodged.ask("POST", "/v1/vms", {"name": "web", "config": {
        "watchdog": "bark"}})
    assert answer.status == 400 and "poweroff" in answer["detail"]
