# SPDX-License-Identifier: Apache-2.0
"""The serial console: terminal and its keys, file, pseudo-terminal, pipes."""
import os
import re
import select
import signal
import subprocess
import termios
import time
import tty

import pexpect
import pytest

import tiny
from conftest import LODGE, run, spawn, status_of

ECHO = tiny.text("ready\n") + tiny.ECHO
CTRL_A = "\x01"


def settings(child):
    return termios.tcgetattr(child.child_fd)


def start(args, *more):
    """A lodge on a terminal, its settings before, its guest ready."""
    # The shell waits, so that the settings can be read before lodge runs.
    child = spawn(*args, *more)
    child.expect("ready")
    return child


@pytest.fixture
def echo(make_kernel):
    return make_kernel(ECHO)


# --- terminal --------------------------------------------------------------------

def test_typing_reaches_the_guest(echo):
    child = start(echo)
    child.send("hello\x03\x1a\x04")
    child.expect_exact("hello\x03\x1a\x04")
    child.send("q")
    assert status_of(child) == 0


def test_ctrl_a_x_stops(echo):
    child = start(echo)
    child.send(CTRL_A + "x")
    assert status_of(child) == 0


def test_ctrl_a_x_stops_a_guest_that_never_reads(make_kernel):
    child = start(make_kernel(tiny.text("ready\n") + tiny.SPIN))
    child.send("x" * 2000)
    child.send(CTRL_A + "x")
    assert status_of(child) == 0


def test_ctrl_a_h_lists_the_keys(echo):
    child = start(echo)
    child.send(CTRL_A + "h")
    child.expect_exact("Ctrl-A x")
    child.expect_exact("Ctrl-A h")
    child.send("q")
    assert status_of(child) == 0


@pytest.mark.parametrize("second", ["a", CTRL_A])
def test_ctrl_a_can_be_sent(echo, second):
    child = start(echo)
    child.send(CTRL_A + second + "z")
    child.expect_exact("\x01z")
    child.send("q")
    assert status_of(child) == 0


def test_an_unknown_key_does_nothing(echo):
    child = start(echo)
    child.send(CTRL_A + "Y" + "z")
    child.expect_exact("\x07")
    child.expect_exact("z")
    child.send("q")
    assert status_of(child) == 0


def test_ctrl_a_r_resets(echo):
    child = start(echo)
    child.send(CTRL_A + "r")
    child.expect("ready")
    child.send("q")
    assert status_of(child) == 0


def under_shell(args, then):
    """lodge in a shell on a terminal; the settings before and after."""
    child = spawn_shell()
    before = settings(child)
    quoted = " ".join(f"'{a}'" for a in [LODGE, *args])
    child.sendline(f"{quoted}; echo status=$?")
    then(child)
    child.expect(r"status=(\d+)\r\n", timeout=20)
    after, status = settings(child), int(child.match.group(1))
    child.close(force=True)
    return before, after, status


def spawn_shell():
    child = pexpect.spawn("/bin/sh", timeout=20, encoding="utf-8",
                          codec_errors="replace",
                          # The address sanitizer leaves signals to lodge.
                          env={"PS1": "$ ", "ASAN_OPTIONS": "handle_segv=0"},
                          dimensions=(24, 200))
    child.delaybeforesend = None
    child.expect_exact("$ ")
    return child


def test_terminal_is_raw_then_restored(echo):
    seen = {}

    def then(child):
        child.expect("ready")
        seen["raw"] = settings(child)
        child.send("q")
    before, after, status = under_shell(echo, then)
    assert status == 0
    assert before == after
    assert not seen["raw"][3] & (termios.ICANON | termios.ECHO | termios.ISIG)


@pytest.mark.parametrize("how", ["crash", "stop", "reset"])
def test_terminal_is_restored(make_kernel, how):
    ready = tiny.text("ready\n")
    codes = {"crash": (tiny.TRIPLE_FAULT, 3), "stop": (tiny.SPIN, 0),
             "reset": (tiny.RESET, 0)}
    code, wanted = codes[how]

    def then(child):
        child.expect("ready")
        if how == "stop":
            child.send(CTRL_A + "x")
    before, after, status = under_shell(
        make_kernel(ready + code, tiny.NO_IDT) + ["--no-reboot"], then)
    assert status == wanted
    assert before == after


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT,
                                    signal.SIGHUP, signal.SIGSEGV])
def test_terminal_is_restored_after_a_signal(echo, number):
    def then(child):
        child.expect("ready")
        pid = int(subprocess.check_output(
            ["pgrep", "-P", str(child.pid), "lodge"], text=True).split()[0])
        os.kill(pid, number)
    before, after, status = under_shell(echo, then)
    assert before == after
    assert status == (128 + number if number == signal.SIGSEGV else 0)


def test_terminal_is_restored_after_bad_input():
    before, after, status = under_shell(
        ["run", "--kernel", "/bin/true"], lambda child: None)
    assert status == 1
    assert before == after


def test_stopped_output_holds_the_guest_and_loses_nothing(make_kernel):
    """Ctrl-S on the terminal's other side: the reader just does not read."""
    count = 300000
    # mov ecx, count; mov dx, 0x3f8; mov al, 'y'; out; loop
    code = (tiny.text("ready\n") + b"\xB9" + count.to_bytes(4, "little") +
            b"\x66\xBA\xF8\x03\xB0y\xEE\xE2\xFD" + tiny.text("z") +
            tiny.power_off())
    child = spawn(*make_kernel(code))
    time.sleep(2)
    assert child.isalive()
    text = child.read()
    child.close()
    assert child.exitstatus == 0
    assert text.count("y") >= count
    assert text.rstrip().endswith("yz")


# --- pipes ------------------------------------------------------------------------

def test_input_from_a_pipe(echo):
    result = run(*echo, stdin=None, input="abc" * 2000 + "\x01xq")
    assert result.returncode == 0
    assert result.stdout == "ready\n" + "abc" * 2000 + "\x01x"


def test_input_from_a_file(echo, tmp_path):
    (tmp_path / "in").write_text("words" * 5000 + "q")
    with open(tmp_path / "in", encoding="ascii") as source:
        result = run(*echo, stdin=source)
    assert result.stdout == "ready\n" + "words" * 5000


def test_end_of_input_lets_the_guest_run(make_kernel):
    result = run(*make_kernel(tiny.text("still here\n") + tiny.power_off()))
    assert result.stdout == "still here\n"


def test_closed_standard_input(make_kernel):
    args = " ".join(f"'{a}'" for a in make_kernel(tiny.power_off()))
    assert subprocess.run(f"'{LODGE}' {args} <&-", shell=True, timeout=30,
                          check=False).returncode == 0


def test_closed_output_ends_it(make_kernel):
    args = " ".join(f"'{a}'" for a in make_kernel(tiny.FLOOD))
    result = subprocess.run(
        f"('{LODGE}' {args}; echo $? >&2) | head -c 1", shell=True,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
        check=False)
    assert result.stderr.splitlines() == [
        "lodge: serial console: cannot write: Broken pipe", "1"]


def test_output_does_not_make_the_pipe_nonblocking(make_kernel):
    reader, writer = os.pipe()
    subprocess.run([LODGE, *map(str, make_kernel(tiny.power_off()))],
                   stdin=subprocess.DEVNULL, stdout=writer, timeout=30,
                   check=True)
    assert os.get_blocking(writer)
    os.close(reader)
    os.close(writer)


# --- file, pty, none ---------------------------------------------------------------

def test_serial_to_a_file(make_kernel, tmp_path):
    log = tmp_path / "log"
    log.write_text("old content " * 100)
    result = run(*make_kernel(tiny.text("to the file\n") + tiny.power_off()),
                 "--serial", f"file:{log}")
    assert result.returncode == 0
    assert result.stdout == result.stderr == ""
    assert log.read_text() == "to the file\n"


def test_serial_to_a_pty(make_kernel):
    child = subprocess.Popen([LODGE, *map(str, make_kernel(ECHO)), "--serial",
                              "pty"], stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
    line = child.stderr.readline()
    name = re.fullmatch(r"lodge: serial console on (/dev/pts/\d+)\n", line)[1]
    fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd, termios.TCSANOW)  # keeps what has come already
    os.write(fd, b"over there")
    seen = b""
    while not seen.endswith(b"over there"):
        assert select.select([fd], [], [], 10)[0], seen
        seen += os.read(fd, 100)
    assert seen in (b"ready\nover there", b"over there")
    os.write(fd, b"q")
    assert child.wait(10) == 0
    os.close(fd)


def test_a_pty_that_nobody_reads_does_not_hold_the_guest(make_kernel):
    code = (b"\xB9" + (400000).to_bytes(4, "little") +
            b"\x66\xBA\xF8\x03\xB0y\xEE\xE2\xFD" + tiny.power_off())
    assert run(*make_kernel(code), "--serial", "pty").returncode == 0


def test_serial_none(make_kernel):
    result = run(*make_kernel(tiny.text("silent") + tiny.power_off()),
                 "--serial", "none")
    assert result.returncode == 0
    assert result.stdout == result.stderr == ""
