# SPDX-License-Identifier: Apache-2.0
"""The serial console: terminal and its keys, file, pseudo-terminal, pipes."""
import os
import re
import select
import signal
import socket
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


def test_terminal_is_restored_when_the_machine_is_killed(echo):
    """By who stands in front of it."""
    def then(child):
        child.expect("ready")
        pid = child.pid  # of the shell, the front, the machine
        for _ in range(2):
            pid = int(subprocess.check_output(
                ["pgrep", "-P", str(pid), "lodge"], text=True).split()[0])
        os.kill(pid, signal.SIGKILL)
    before, after, status = under_shell(echo, then)
    assert before == after
    assert status == 128 + signal.SIGKILL


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


def test_much_input_from_a_pipe_that_is_closed(make_kernel):
    """More than is kept for a guest that begins to read late."""
    # mov ecx, 50000000; loop $
    wait = b"\xB9" + (50000000).to_bytes(4, "little") + b"\xE2\xFE"
    words = "abcdefg" * 9000
    result = run(*make_kernel(wait + tiny.ECHO), input=words + "q", stdin=None)
    assert result.stdout == words


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


def test_a_file_has_an_end(make_kernel, tmp_path):
    log = tmp_path / "log"
    for limit, kept in ("4K", 4096), ("none", 9216), ("9K", 9216):
        result = run(*make_kernel(tiny.text("x" * 9216) + tiny.power_off()),
                     "--serial", f"file:{log},limit={limit}")
        assert result.returncode == 0, result
        assert log.read_text() == "x" * kept
        said = [line for line in result.stderr.splitlines()
                if "has reached its limit" in line]
        assert len(said) == (limit != "none"), result.stderr
    for limit in "0", "9", "much", "":
        result = run(*make_kernel(tiny.power_off()), "--serial",
                     f"file:{log},limit={limit}")
        assert result.returncode == 2
        assert f"limit={limit}: give a size" in result.stderr
    # What is in a path of that name is not an option.
    odd = tmp_path / "a,limit=b"
    assert run(*make_kernel(tiny.text("y") + tiny.power_off()), "--serial",
               f"file:{odd},limit=1M").returncode == 0
    assert odd.read_text() == "y"


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


# --- socket -------------------------------------------------------------------------

class Socket:
    """A machine whose console is a socket."""

    def __init__(self, path, args):
        self.path = path
        self.child = subprocess.Popen(
            [LODGE, *map(str, args), "--serial", f"unix:{path}"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def connect(self):
        deadline = time.monotonic() + 20
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(20)
            try:
                client.connect(str(self.path))
                return client
            except (FileNotFoundError, ConnectionRefusedError):
                client.close()
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def end(self):
        assert self.child.wait(20) == 0
        assert self.child.stderr.read() == ""
        assert not self.path.exists()


def read_until(client, wanted):
    seen = b""
    while not seen.endswith(wanted):
        part = client.recv(65536)
        assert part, seen
        seen += part
    return seen


@pytest.fixture
def serial_socket(tmp_path):
    made = []

    def make(args):
        made.append(Socket(tmp_path / "serial", args))
        return made[-1]
    yield make
    for machine in made:
        machine.child.kill()
        machine.child.wait()


def test_a_socket_has_what_was_written_before_its_client(echo, serial_socket):
    machine = serial_socket(echo)
    time.sleep(0.5)
    client = machine.connect()
    assert read_until(client, b"ready\n") == b"ready\n"
    client.sendall(b"over there")
    assert read_until(client, b"there") == b"over there"
    client.sendall(b"q")
    machine.end()
    assert client.recv(10) == b""


def test_clients_of_a_socket_come_and_go(echo, serial_socket):
    machine = serial_socket(echo)
    for n in range(20):
        client = machine.connect()
        if not n:
            read_until(client, b"ready\n")
        client.sendall(b"%d." % n)
        assert read_until(client, b".") == b"%d." % n
        client.close()
    machine.connect().sendall(b"q")
    machine.end()


def test_a_second_client_of_a_socket_waits_its_turn(echo, serial_socket):
    machine = serial_socket(echo)
    first, second = machine.connect(), machine.connect()
    read_until(first, b"ready\n")
    second.sendall(b"second")
    first.sendall(b"first")
    assert read_until(first, b"first") == b"first"
    first.close()
    assert read_until(second, b"second") == b"second"
    second.sendall(b"q")
    machine.end()


def test_a_client_that_sends_and_leaves_is_heard(echo, serial_socket):
    machine = serial_socket(echo)
    client = machine.connect()
    client.sendall(b"x" * 50000 + b"q")
    client.close()
    machine.end()


def test_a_client_may_end_its_input_and_read_on(echo, serial_socket):
    machine = serial_socket(echo)
    client = machine.connect()
    client.sendall(b"y" * 50000)
    client.shutdown(socket.SHUT_WR)
    assert read_until(client, b"y" * 50000) == b"ready\n" + b"y" * 50000
    client.close()
    machine.connect().sendall(b"q")
    machine.end()


def test_a_client_that_does_not_read_holds_the_guest(make_kernel,
                                                     serial_socket):
    # mov ecx, count; mov dx, 0x3f8; mov al, 'y'; out; loop
    code = (b"\xB9" + (600000).to_bytes(4, "little") +
            b"\x66\xBA\xF8\x03\xB0y\xEE\xE2\xFD")
    machine = serial_socket(
        make_kernel(tiny.ECHO[:-len(tiny.power_off())] + code +
                    tiny.text("z") + tiny.power_off()))
    client = machine.connect()
    client.sendall(b"q")
    time.sleep(1)
    assert machine.child.poll() is None
    assert read_until(client, b"z") == b"y" * 600000 + b"z"
    machine.end()


def test_a_client_that_leaves_frees_the_guest(make_kernel, serial_socket):
    code = (b"\xB9" + (600000).to_bytes(4, "little") +
            b"\x66\xBA\xF8\x03\xB0y\xEE\xE2\xFD")
    machine = serial_socket(
        make_kernel(tiny.ECHO[:-len(tiny.power_off())] + code +
                    tiny.power_off()))
    client = machine.connect()
    client.sendall(b"q")
    client.recv(1)
    client.close()
    machine.end()


def test_a_socket_keeps_the_last_of_much_output(make_kernel, serial_socket):
    code = (b"\xB9" + (300000).to_bytes(4, "little") +
            b"\x66\xBA\xF8\x03\xB0y\xEE\xE2\xFD" + tiny.text("z"))
    machine = serial_socket(make_kernel(code + tiny.ECHO))
    time.sleep(2)
    client = machine.connect()
    assert read_until(client, b"z") == b"y" * 65535 + b"z"
    client.sendall(b"q")
    machine.end()


def test_a_socket_that_a_dead_process_left_is_replaced(echo, serial_socket,
                                                       tmp_path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "serial"))
    left.close()
    machine = serial_socket(echo)
    client = machine.connect()
    read_until(client, b"ready\n")
    assert (tmp_path / "serial").stat().st_mode & 0o777 == 0o600
    client.sendall(b"q")
    machine.end()


def test_a_socket_in_use_is_refused(echo, tmp_path):
    path = tmp_path / "serial"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(1)
        result = run(*echo, "--serial", f"unix:{path}")
        assert result.returncode == 1
        assert result.stderr == (f"lodge: serial console: socket {path}: in "
                                 "use; give another path\n")
    assert path.exists()


def test_a_file_in_a_sockets_place_is_refused(echo, tmp_path):
    path = tmp_path / "serial"
    path.write_text("mine")
    result = run(*echo, "--serial", f"unix:{path}")
    assert result.returncode == 1
    assert result.stderr == (f"lodge: serial console: socket {path}: is a "
                             "file, and no socket; give another path\n")
    assert path.read_text() == "mine"


def test_a_sockets_path_can_be_too_long(echo, tmp_path):
    result = run(*echo, "--serial", f"unix:{tmp_path}/{'a' * 120}")
    assert result.returncode == 1
    assert "give a path of 1 to 107 characters" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_socket_that_took_our_place_stays(echo, serial_socket, tmp_path):
    machine = serial_socket(echo)
    client = machine.connect()
    read_until(client, b"ready\n")
    machine.path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(machine.path))
        client.sendall(b"q")
        assert machine.child.wait(20) == 0
    assert machine.path.exists()
