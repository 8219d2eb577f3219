# SPDX-License-Identifier: Apache-2.0
"""lodge top and the tables of lists: what they tell, on terminals of any size
and for programs."""
import json
import os
import pathlib
import re
import signal
import termios

import pexpect
import pytest

import tiny
from conftest import ENGINE, LODGE
from daemon import LODGED, Daemon, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

LONG = "a-machine-whose-name-is-rather-long-as-names-go"
SPIN = b"\xEB\xFE"  # jmp to itself


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A machine that computes, one that sleeps, one that is stopped."""
    daemon = Daemon(tmp_path_factory.mktemp("top"))
    for name, code in (("busy", SPIN), (LONG, tiny.HALT),
                       ("rests", tiny.HALT)):
        kernel = daemon.base / f"{name}.elf"
        kernel.write_bytes(tiny.kernel(code))
        result = daemon.cli("create", name, "--kernel", kernel, "--memory",
                            "16M", "--engine", ENGINE)
        assert result.returncode == 0, result.stderr
    assert daemon.cli("start", "busy", LONG).returncode == 0
    yield daemon
    daemon.clear()


def figures(place, *args, before=()):
    result = place.cli(*before, "top", "--json", *args)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_json(place, elsewhere):
    """Of processes that are seen, and as another computer's lodged tells it."""
    before = ["--connect", f"unix:{place.socket}"] if elsewhere else []
    # Its first instructions may take a while on a busy host.
    busy, = wait_for(lambda: [m for m in figures(place, before=before)
                              if m["name"] == "busy" and
                              m["cpu_percent"] > 5])
    machines = {m["name"]: m for m in figures(place, before=before)}
    assert set(machines) == {"busy", LONG}
    assert machines["busy"]["state"] == "running" and busy["cpus"] == 1
    for machine in machines.values():
        assert machine["memory"] == 16 << 20
        assert 1 << 20 < machine["memory_used"] < 1 << 30
        for figure in ("disk_read", "disk_written", "net_received",
                       "net_sent", "seconds"):
            assert machine[figure] >= 0


def test_order(place):
    names = [m["name"] for m in figures(place, "--sort", "name")]
    assert names == sorted(names)
    used = [m["memory_used"] for m in figures(place, "--sort", "memory")]
    assert used == sorted(used, reverse=True)


def test_once_without_a_terminal(place):
    result = place.cli("top")
    assert result.returncode == 0 and "\x1b" not in result.stdout
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["NAME", "STATE", "CPU%", "CPUS", "USES", "MEMORY",
                            "READ/S", "WRITTEN/S", "RECEIVED/S", "SENT/S",
                            "RUNS", "FOR"]
    assert {row.split()[0] for row in rows} == {"busy", LONG}


def on_terminal(place, *args, size=(20, 100), **env):
    child = pexpect.spawn(str(LODGE), [str(a) for a in args], timeout=60,
                          env={**place.env, "TERM": "xterm", **env},
                          dimensions=size, encoding="utf-8")
    child.delaybeforesend = None
    return child


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_live(place):
    child = on_terminal(place, "top", "--interval", "0.2")
    child.expect_exact("\x1b[?1049h")
    child.expect("2 machines.*by processor time")
    child.send("h")
    child.expect("sort by: c processor, m memory")
    child.send("h")
    child.send("m")
    child.expect("by memory")
    child.send("a")
    child.expect(r"by name.*NAME.*a-machine.*busy")
    child.send("q")
    child.expect(pexpect.EOF)
    assert child.before.endswith("\x1b[?25h\x1b[?1049l")
    child.close()
    assert child.exitstatus == 0


def screen(child, columns):
    """The lines of one that is drawn for a terminal of so many columns."""
    lines = []

    def fits():
        child.expect(r"\x1b\[H(.*?)\x1b\[J", timeout=60)
        lines[:] = plain(child.match.group(1)).split("\r\n")
        return max(map(len, lines)) < columns
    wait_for(fits)
    return lines


def test_another_size(place):
    child = on_terminal(place, "top", "--interval", "0.2", size=(20, 200))
    child.expect_exact("RECEIVED/S")
    for rows, columns in (6, 50), (3, 22), (2, 20):
        child.setwinsize(rows, columns)
        lines = screen(child, columns)
        assert len(lines) <= max(rows, 3)
        assert lines[-1] == ("1 more" if rows < 4 else "")
        head = lines[2 if rows == 6 else 0]
        assert head.startswith("NAME") and "CPU%" in head
    child.setwinsize(24, 100)
    child.expect("2 machines")
    child.send("\x03")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_it_is_held_by_ctrl_z(place):
    """The screen is the shell's meanwhile."""
    child = on_terminal(place, "top")
    child.expect_exact("\x1b[?1049h")
    child.expect_exact("NAME")
    raw = termios.tcgetattr(child.child_fd)
    child.send("\x1a")
    child.expect_exact("\x1b[?25h\x1b[?1049l")
    wait_for(lambda: pathlib.Path(f"/proc/{child.pid}/stat").read_text()
             .rsplit(")", 1)[1].split()[0] == "T")
    assert termios.tcgetattr(child.child_fd)[3] & termios.ECHO
    os.kill(child.pid, signal.SIGCONT)
    child.expect_exact("\x1b[?1049h")
    child.expect_exact("NAME")
    assert termios.tcgetattr(child.child_fd) == raw
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_signal_leaves_the_terminal_as_it_was(place):
    child = on_terminal(place, "top")
    child.expect_exact("NAME")
    os.kill(child.pid, signal.SIGTERM)
    child.expect_exact("\x1b[?25h\x1b[?1049l")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize("args, words", [
    (["--sort", "size"], "give cpu, memory"),
    (["--interval", "0"], "0.2 to 3600"),
    (["--intervall", "1"], "did you mean --interval?"),
    (["web"], 'unexpected argument "web"'),
])
def test_wrong_words(place, args, words):
    result = place.cli("top", *args)
    assert result.returncode == 2 and words in result.stderr
    assert len(result.stderr.splitlines()) == 1


# --- lists ------------------------------------------------------------------------

def shown(place, *args, **env):
    child = on_terminal(place, *args, **env)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    return child.before


def test_a_list_fits_the_terminal(place):
    text = shown(place, "ps", size=(24, 60))
    lines = plain(text).splitlines()
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("a-machine") and "..." in line
               for line in lines)
    wide = plain(shown(place, "ps", "--wide", size=(24, 60)))
    assert LONG in wide and "..." not in wide
    assert LONG in place.cli("ps").stdout


def test_colours(place):
    assert "\x1b[32mrunning" in shown(place, "ps")
    assert "\x1b" not in shown(place, "ps", NO_COLOR="1")
    assert "\x1b" in shown(place, "ps", NO_COLOR="")
    assert "\x1b" not in shown(place, "ps", TERM="dumb")
    assert "\x1b" not in place.cli("ps").stdout


def test_an_empty_list_says_so_to_people(tmp_path):
    daemon = Daemon(tmp_path)
    assert "lodge run starts one" in shown(daemon, "ps")
    assert "lodge run starts one" in shown(daemon, "top", "--wide")
    live = on_terminal(daemon, "top")
    live.expect_exact("no machine runs")
    live.send("q")
    live.expect(pexpect.EOF)
    live.close()
    result = daemon.cli("ps")
    assert result.stdout == "" and result.stderr == ""
