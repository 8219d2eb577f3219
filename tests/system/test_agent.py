# SPDX-License-Identifier: Apache-2.0
"""The guest's agent: lodge exec and shell, with a guest that is real and with
one that means harm."""
import array
import hashlib
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import threading
import time

import pexpect
import pytest

import tiny
from conftest import LODGE, run

LIMIT = 60
MIB = 1 << 20
GREETING = b"lodge-agent 1\n"
INPUT = 32
STARTED, OUTPUT, ERRORS, TAKEN, EXITED, KILLED, FAILED = range(64, 71)


# --- a real guest ------------------------------------------------------------

@pytest.fixture(scope="module")
def runtime():
    """The folder of control sockets, for all tests here."""
    return pathlib.Path(os.environ["XDG_RUNTIME_DIR"]) / "lodge"


@pytest.fixture(scope="module")
def guest(linux_agent, runtime):
    """The name of a machine with the default guest, and today's agent."""
    child = subprocess.Popen([LODGE, *map(str, linux_agent), "--name",
                              "guest", "--cpus", "2", "--serial", "none"],
                             stdin=subprocess.DEVNULL)
    until(lambda: (runtime / "guest.sock").exists() or
          child.poll() is not None)
    result = run("exec", "--timeout", LIMIT, "guest", "--", "true",
                 timeout=LIMIT + 10)
    assert result.returncode == 0, result.stderr
    yield "guest"
    child.terminate()
    assert child.wait(60) == 0


def until(condition, seconds=LIMIT):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def sh(guest, script, *options, **kwargs):
    return run("exec", *options, guest, "--", "sh", "-c", script, **kwargs)


def output(guest, script, *options):
    result = sh(guest, script, *options)
    assert result.returncode == 0, result.stderr
    return result.stdout


def md5(data):
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("script,status", [
    ("true", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143),
    ("kill -KILL $$", 137)])
def test_statuses(guest, script, status):
    result = sh(guest, script)
    assert (result.returncode, result.stdout, result.stderr) == (status, "",
                                                                 "")


def refused(result, status, *words):
    assert result.returncode == status, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("lodge: ")
    for word in words:
        assert word in lines[0]


def test_what_cannot_be_run(guest):
    refused(run("exec", guest, "no-such"), 127, "no-such", "No such file")
    refused(run("exec", guest, "--", "/etc/passwd"), 126, "Permission denied")
    refused(run("exec", guest, "--timeout", "5", "true"), 2, "--timeout",
            "before the machine's name")
    refused(run("exec", "--dir", "/no", guest, "true"), 126, "/no")
    refused(run("exec", "--user", "nobody-at-all", guest, "true"), 126,
            "no user nobody-at-all")


def test_streams(guest):
    result = sh(guest, "echo out; echo err >&2; wc -c")
    assert (result.stdout, result.stderr) == ("out\n0\n", "err\n")
    result = sh(guest, "tr a-z A-Z", "-i", stdin=None, input="some words\n")
    assert result.stdout == "SOME WORDS\n"


def test_surroundings(guest):
    assert output(guest, "echo $PWD $HOME $USER $0 $A $B", "--env", "A=1 2",
                  "--env", "B=", "--dir", "/tmp") == "/tmp /root root sh 1 2\n"
    output(guest, "grep -q ^guest: /etc/passwd || "
           "echo guest:x:1000:1000::/tmp:/bin/sh >>/etc/passwd")
    assert output(guest, "id -u; id -g; pwd; echo $USER", "--user",
                  "guest") == "1000\n1000\n/tmp\nguest\n"
    assert output(guest, "id -u", "--user", "1000") == "1000\n"
    # Options of the command are its own, with and without the dashes.
    assert run("exec", guest, "echo", "-i", "--user").stdout == "-i --user\n"


def test_big_streams(guest):
    """Megabytes each way at the same time, whole."""
    data = random.Random(1).randbytes(24 * MIB)
    child = subprocess.run([LODGE, "exec", "-i", guest, "--", "cat"],
                           input=data, capture_output=True, timeout=LIMIT,
                           check=False)
    assert child.returncode == 0
    assert md5(child.stdout) == md5(data)


def test_many_at_once(guest):
    children = [subprocess.Popen(
        [LODGE, "exec", "-i", guest, "--", "sh", "-c",
         f"read x; echo $x {n}; exit {n}"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True) for n in range(50)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    for n, child in enumerate(children):
        assert child.communicate(timeout=LIMIT)[0] == f"go {n}\n"
        assert child.returncode == n


def test_output_that_nobody_reads(guest):
    """The command stops; a signal is heard all the same."""
    child = subprocess.Popen([LODGE, "exec", guest, "--", "yes"],
                             stdout=subprocess.PIPE)
    assert child.stdout.read(2) == b"y\n"
    time.sleep(0.5)
    child.terminate()
    rest = child.stdout.read()
    assert child.wait(LIMIT) == 143
    assert len(rest) < 64 * MIB
    child = subprocess.Popen([LODGE, "exec", guest, "--", "yes"],
                             stdout=subprocess.PIPE)
    assert child.stdout.read(2) == b"y\n"
    child.stdout.close()
    assert child.wait(LIMIT) == 128 + signal.SIGPIPE


def running(guest, words):
    return sh(guest, f"ps -o args | grep -qx '{words}'").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_command_ends_with_its_caller(guest, number):
    words = f"sleep 100{int(number)}"
    child = subprocess.Popen([LODGE, "exec", guest, "--", *words.split()])
    until(lambda: running(guest, words))
    child.send_signal(number)
    child.wait(LIMIT)
    assert child.returncode == (130 if number == signal.SIGINT else -9)
    until(lambda: not running(guest, words))


def test_a_command_that_heeds_no_hang_up(guest):
    child = subprocess.Popen([LODGE, "exec", guest, "--", "sh", "-c",
                              "trap '' HUP TERM INT; echo on; sleep 3456"],
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"on\n"
    child.kill()
    child.wait()
    until(lambda: not running(guest, "sleep 3456"))


def test_three_interrupts_leave_a_deaf_command(guest):
    child = subprocess.Popen([LODGE, "exec", guest, "--", "sh", "-c",
                              "trap '' INT; echo on; sleep 3457"],
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"on\n"
    for _ in range(3):
        child.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert child.wait(LIMIT) == 130
    until(lambda: not running(guest, "sleep 3457"))


def test_left_behind(guest):
    """A daemon that a command starts does not hold its caller."""
    output(guest, "sleep 4567 & true")
    assert running(guest, "sleep 4567")
    output(guest, "killall sleep")


# --- terminals ---------------------------------------------------------------

def terminal(*args):
    child = pexpect.spawn(str(LODGE), [str(a) for a in args], timeout=60,
                          encoding="utf-8", dimensions=(30, 90))
    child.delaybeforesend = None
    return child


def test_terminal(guest):
    child = terminal("exec", "-it", "--env", "PS1=ready: ", guest, "sh")
    child.expect("ready: ")
    child.sendline("stty size; echo $TERM-")
    child.expect("30 90\r\n[^\r]+-\r\n")
    child.setwinsize(40, 100)
    child.expect("ready: ")
    child.sendline("until stty size | grep '40 100'; do sleep 0.1; done")
    child.expect("40 100\r\n")
    child.expect("ready: ")
    # Keys are the guest's: an interrupt ends the command, not us.
    child.sendline("sleep 1000; echo af''ter $?")
    until(lambda: running(guest, "sleep 1000"))
    child.send("\x03")
    child.expect("ready: ")
    child.sendline("exit 9")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 9


def test_shell(guest):
    child = terminal("shell", guest)
    child.expect(r"lodge:\S*# ")
    child.sendline("echo $0 $((6 * 7)); tty")
    child.expect("-sh 42\r\n/dev/pts/[0-9]+\r\n")
    child.expect(r"lodge:\S*# ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    child = subprocess.run([LODGE, "shell", guest], input="echo $0; exit 3\n",
                           capture_output=True, text=True, timeout=LIMIT,
                           check=False)
    assert child.returncode == 3


def test_terminal_of_a_caller_that_is_gone(guest):
    child = terminal("exec", "-it", guest, "--", "sleep", "3999")
    until(lambda: running(guest, "sleep 3999"))
    child.close(force=True)
    until(lambda: not running(guest, "sleep 3999"))


# --- files -------------------------------------------------------------------

def copy(*args, **kwargs):
    return run("cp", *args, timeout=LIMIT, **kwargs)


def test_copy_a_file(guest, tmp_path):
    data = random.Random(3).randbytes(5 * MIB)
    here, back = tmp_path / "here", tmp_path / "back"
    here.write_bytes(data)
    here.chmod(0o640)
    os.utime(here, ns=(10**18, 1234567890123456789))
    assert copy(here, f"{guest}:/tmp/there").returncode == 0
    assert output(guest, "md5sum </tmp/there; stat -c '%a %Y' /tmp/there") \
        == f"{md5(data)}  -\n640 1234567890\n"
    assert copy(f"{guest}:/tmp/there", back).returncode == 0
    assert back.read_bytes() == data
    assert back.stat().st_mode & 0o7777 == 0o640
    assert back.stat().st_mtime_ns == here.stat().st_mtime_ns or \
        back.stat().st_mtime_ns // 10**9 == 1234567890
    # Into folders, under its own name; over what is there.
    (tmp_path / "folder").mkdir()
    for _ in range(2):
        assert copy(f"{guest}:/tmp/there", tmp_path / "folder").returncode == 0
        assert copy(here, f"{guest}:/tmp").returncode == 0
    assert (tmp_path / "folder" / "there").read_bytes() == data
    assert output(guest, "md5sum </tmp/here")[:32] == md5(data)


def test_copy_streams(guest):
    data = random.Random(4).randbytes(MIB)
    result = subprocess.run([LODGE, "cp", "-", f"{guest}:/tmp/stream"],
                            input=data, timeout=LIMIT, check=False)
    assert result.returncode == 0
    result = subprocess.run([LODGE, "cp", f"{guest}:/tmp/stream", "-"],
                            capture_output=True, timeout=LIMIT, check=False)
    assert result.stdout == data


def test_copy_a_tree(guest, tmp_path):
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "file").write_text("words")
    (tree / "a" / "strange\nname \udcff").write_bytes(b"")
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "a" / "b").chmod(0o555)
    for n in range(300):
        (tree / f"f{n}").write_text(str(n) * n)
    os.mkfifo(tree / "pipe")
    result = copy("-r", tree, f"{guest}:/tmp")
    assert result.returncode == 1
    assert "left out: pipe" in result.stderr
    (tree / "pipe").unlink()
    assert output(guest, "readlink /tmp/tree/link; stat -c %a /tmp/tree/a/b") \
        == "/etc/passwd\n555\n"
    assert copy("-r", f"{guest}:/tmp/tree", tmp_path / "back").returncode == 0
    subprocess.run(["diff", "-r", "--no-dereference", tree,
                    tmp_path / "back"], check=True)
    assert (tmp_path / "back" / "a" / "b").stat().st_mode & 0o777 == 0o555


def test_copy_as_a_user(guest, tmp_path):
    output(guest, "grep -q ^guest: /etc/passwd || "
           "echo guest:x:1000:1000::/tmp:/bin/sh >>/etc/passwd")
    (tmp_path / "mine").write_text("x")
    assert copy("--user", "guest", tmp_path / "mine",
                f"{guest}:").returncode == 0
    assert output(guest, "stat -c %u /tmp/mine") == "1000\n"
    output(guest, "echo x >/root/secret; chmod 600 /root/secret")
    refused(copy("--user", "guest", f"{guest}:/root/secret", tmp_path), 1,
            "/root/secret", "Permission denied")


def test_copy_several(guest, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for n in range(3):
        (tree / f"f{n}").write_text(str(n))
    files = sorted(tree.iterdir())
    back = tmp_path / "back"
    output(guest, "rm -rf /tmp/s1; mkdir /tmp/s1; echo x >/tmp/file")
    for to in "/tmp/s1", "/tmp/s1/":
        assert copy("-r", *files, tree, f"{guest}:{to}").returncode == 0
    assert output(guest, "cd /tmp/s1; find . -type f | sort").split() == [
        "./f0", "./f1", "./f2", "./tree/f0", "./tree/f1", "./tree/f2"]
    # What cannot be is told of, and the others come.
    back.mkdir()
    result = copy(f"{guest}:/tmp/s1/f0", f"{guest}:/none",
                  f"{guest}:/tmp/s1/tree", f"{guest}:/tmp/s1/f2", back)
    assert result.returncode == 1
    one, other = result.stderr.splitlines()
    assert "/none" in one and "/tmp/s1/tree" in other and "-r" in other
    assert sorted(p.name for p in back.iterdir()) == ["f0", "f2"]
    refused(copy(f"{guest}:/tmp/s1/f0", f"{guest}:/tmp/s1/f1",
                 tmp_path / "none"), 1, "none", "no folder")
    result = copy(*files, f"{guest}:/tmp/file")
    assert result.returncode == 1 and "/tmp/file" in result.stderr
    assert output(guest, "cat /tmp/file") == "x\n"
    refused(copy(files[0], "-", f"{guest}:/tmp/s1"), 2, "one file")
    refused(copy(files[0], f"{guest}:/tmp/s1/f0", f"{guest}:/tmp"), 2,
            "in guests")
    refused(copy(files[0], files[1], f"none-{os.getpid()}:/tmp"), 1, "none-")


def test_copy_what_cannot_be(guest, tmp_path):
    (tmp_path / "file").write_text("x")
    refused(copy(f"{guest}:/none", tmp_path), 1, "/none", "No such file")
    refused(copy(f"{guest}:/etc", tmp_path), 1, "/etc", "-r")
    refused(copy(tmp_path, f"{guest}:/tmp"), 1, "-r")
    refused(copy(tmp_path / "file", f"{guest}:/none/x"), 1, "/none")
    refused(copy(f"{guest}:/etc/passwd", tmp_path / "none" / "x"), 1, "none")
    refused(copy("a", "b"), 2, "NAME:PATH")
    refused(copy("a:b", "c:d"), 2, "in guests")
    refused(copy("a:b"), 2, "lodge help cp")
    # A guest that is full tells so, and nobody hangs.
    output(guest, "mkdir -p /tmp/s && mount -t tmpfs -o size=1M s /tmp/s")
    (tmp_path / "large").write_bytes(bytes(8 * MIB))
    refused(copy(tmp_path / "large", f"{guest}:/tmp/s"), 1, "No space left")


# --- the whole guest -----------------------------------------------------------

def test_facts(guest):
    result = run("agent", guest)
    assert result.returncode == 0
    for word in ("agent ", "kernel ", "load ", "memory ", "available "):
        assert f"\n{word}" in "\n" + result.stdout
    facts = json.loads(run("agent", "--json", guest).stdout)
    assert facts["kernel"].startswith("Linux ")
    assert facts["available"] < facts["memory"] < 512 * MIB
    output(guest, "ifconfig lo:1 10.9.8.7 netmask 255.255.0.0 2>&1; "
           "ip link add d0 type dummy 2>&1; true")
    assert isinstance(facts["address"], list)


def test_set_time(guest):
    output(guest, "date -s 2001-01-01")
    assert run("agent", guest, "set-time").returncode == 0
    assert abs(int(output(guest, "date +%s")) - time.time()) < 60


def guest_time(guest):
    return int(output(guest, "date +%s"))


def test_the_clock_after_a_pause(guest):
    output(guest, "date -s 2001-01-01")
    assert run("pause", guest).returncode == 0
    assert run("resume", guest).returncode == 0
    until(lambda: abs(guest_time(guest) - time.time()) < 60)


def known(guest):
    """What lodge status tells of the guest itself."""
    result = run("status", "--json", guest)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["guest"]


def test_addresses(guest):
    output(guest, "ifconfig lo:1 10.9.8.7 netmask 255.255.0.0")
    until(lambda: any(" 10.0.2.15/24" in a
                      for a in (known(guest) or {"address": []})["address"]))
    assert known(guest)["kernel"].startswith("Linux ")
    until(lambda: " 10.0.2.15/24\n" in run("status", guest).stdout)
    row = [line.split() for line in run("list").stdout.splitlines()]
    column = row[0].index("ADDRESS")
    assert {r[0]: r[column + 1] for r in row[1:]}["guest"] == "10.0.2.15"


def test_status_does_not_wait_for_an_agent_that_hangs(guest):
    until(lambda: known(guest))
    # Whoever serves a connection goes on without the one that takes them.
    child = subprocess.Popen(
        [LODGE, "exec", "-i", guest, "--", "sh", "-c",
         "set -- $(cat /proc/$PPID/stat); kill -STOP $4; echo stopped; read x;"
         " kill -CONT $4"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"stopped\n"
    until(lambda: known(guest)["age"] > 2)
    assert run("list").returncode == 0
    child.communicate(b"\n")
    assert child.returncode == 0
    until(lambda: known(guest)["age"] < 1)


def test_freeze(guest):
    """The default guest has no file system that can be frozen; the command
    runs all the same, and its status is ours."""
    result = run("agent", guest, "freeze", "--", "sh", "-c", "echo x; exit 5")
    assert (result.returncode, result.stdout) == (5, "x\n")
    refused(run("agent", guest, "freeze"), 2, "command")
    refused(run("agent", guest, "frieze"), 2, "unknown action")


def test_proxy(guest):
    output(guest, "(nc -l -p 7000 -e sh -c 'tr a-z A-Z; echo end') "
           ">/dev/null 2>&1 & until netstat -lnt | grep -q :7000; do sleep 0.1;"
           " done")
    data = b"some words " * 100000
    result = subprocess.run([LODGE, "proxy", guest, "7000"], input=data,
                            capture_output=True, timeout=LIMIT, check=False)
    assert result.stdout == data.upper() + b"end\n"
    assert result.returncode == 0
    refused(run("proxy", guest, "7001"), 1, "7001", "refused")
    refused(run("proxy", guest, "0"), 2, "port")


def test_a_killed_proxy(guest):
    """Its caller hears of it, and the guest's end goes."""
    output(guest, "nc -l -p 7002 -e cat >/dev/null 2>&1 & "
           "until netstat -lnt | grep -q :7002; do sleep 0.1; done")
    child = subprocess.Popen([LODGE, "proxy", guest, "7002"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdin.write(b"here\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"here\n"
    child.kill()
    assert child.stdout.read() == b""
    child.wait()
    child.stdin.close()
    child.stdout.close()
    until(lambda: sh(guest, "pidof nc").returncode == 1)


def test_a_killed_agent(guest):
    """What it serves goes on, and another one takes its place."""
    child = subprocess.Popen(
        [LODGE, "exec", "-i", guest, "--", "sh", "-c",
         "set -- $(cat /proc/$PPID/stat); kill -9 $4; echo $4; cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    killed = child.stdout.readline().strip()
    until(lambda: output(guest, "cut -d ' ' -f 4 /proc/$PPID/stat").strip()
          not in (killed, "1"))
    assert child.communicate("still here")[0] == "still here"
    assert child.returncode == 0


def test_a_guest_without_an_ssh_server(guest, tmp_path):
    where = {"env": {**os.environ, "XDG_DATA_HOME": str(tmp_path)}}
    refused(run("ssh", guest, **where), 1, "no ssh server",
            f"lodge shell {guest}")
    assert (tmp_path / "lodge/ssh/id_ed25519").stat().st_mode & 0o777 == 0o600
    config = run("ssh", "--config", guest, **where).stdout
    for line in (f"Host {guest}.lodge", "\tUser root",
                 f"proxy --ssh %r {guest} 22", "StrictHostKeyChecking yes",
                 f'"{tmp_path}/lodge/ssh/{guest}.known_hosts"'):
        assert line in config
    refused(run("ssh", "--config", guest, "true", **where), 2, "unexpected")
    refused(run("ssh", "--user", "a b", guest, **where), 2, "--user a b")
    refused(run("ssh", **where), 2, "name is missing")
    refused(run("ssh", "nowhere", **where), 1, "nowhere", "lodge list")
    where["env"]["PATH"] = str(tmp_path)
    (tmp_path / "lodge/ssh/id_ed25519").unlink()
    refused(run("ssh", guest, **where), 1, "no ssh client", "openssh-client")


# --- guests without ----------------------------------------------------------

def start(*args):
    return subprocess.Popen([LODGE, *map(str, args)],
                            stdin=subprocess.DEVNULL)


def test_no_agent(runtime, make_kernel):
    child = start(*make_kernel(tiny.HALT), "--serial", "none", "--name", "none")
    try:
        until((runtime / "none.sock").exists)
        refused(run("exec", "--timeout", 0, "none", "true"), 125, "none",
                "no agent answers", "lodge help agent")
        result = run("exec", "--timeout", 2, "none", "true")
        assert result.returncode == 125
        assert "waiting for the agent" in result.stderr.splitlines()[0]
    finally:
        child.kill()
        child.wait()


def test_without_sockets(runtime, make_kernel):
    child = start(*make_kernel(tiny.HALT), "--serial", "none", "--name", "bare",
                  "--no-agent")
    try:
        until((runtime / "bare.sock").exists)
        refused(run("exec", "bare", "true"), 125, "bare", "--no-agent")
        assert "1af4:1053" not in run("inspect", "bare").stdout
    finally:
        child.kill()
        child.wait()


def test_stop_without_a_button(linux, runtime):
    """Whoever does not heed the power button is told by its agent."""
    child = start(*linux, "--name", "deaf", "--serial", "none")
    try:
        until((runtime / "deaf.sock").exists)
        result = run("exec", "--timeout", LIMIT, "deaf", "--", "sh", "-c",
                     "until pidof acpid; do sleep 0.1; done; killall acpid",
                     timeout=LIMIT + 10)
        assert result.returncode == 0, result.stderr
        assert run("stop", "deaf", timeout=LIMIT + 30).returncode == 0
        assert child.wait(LIMIT) == 0
    finally:
        child.kill()
        child.wait()


def test_nothing_is_left_of_a_killed_machine(runtime, make_kernel):
    child = start(*make_kernel(tiny.HALT), "--serial", "none", "--name",
                  "killed", "--vsock", "5")
    until((runtime / "killed.vsock").exists)
    until(lambda: run("status", "killed").returncode == 0)
    child.kill()
    child.wait()
    assert "killed" not in run("list").stdout
    assert not (runtime / "killed.sock").exists()
    assert not (runtime / "killed.vsock").exists()


def test_wrong_words(runtime):
    refused(run("exec"), 2, "name")
    refused(run("exec", "some"), 2, "command is missing")
    refused(run("exec", "--timeout", "soon", "some", "true"), 2, "soon")
    refused(run("exec", "--env", "A", "some", "true"), 2, "NAME=VALUE")
    refused(run("exec", "-x", "some", "true"), 2, "-x")
    refused(run("exec", "nowhere", "true"), 125, "nowhere", "lodge list")
    refused(run("shell", "some", "more"), 2, "more", "lodge exec")


# --- a guest that means harm -------------------------------------------------

def frame(kind, data=b""):
    return struct.pack("<I", len(data) << 8 | kind) + data


class Machine:
    """A control socket whose guest is a function of this test: it is given
    the guest's end of the agent's connection."""

    def __init__(self, runtime, guest):
        runtime.mkdir(mode=0o700, exist_ok=True)
        self.path = runtime / "hostile.sock"
        self.path.unlink(missing_ok=True)
        self.guest = guest
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.path))
        self.server.listen(4)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(client,),
                             daemon=True).start()

    def talk(self, client):
        client.sendall(b'{"hello":"lodge","version":1,"name":"hostile"}\n')
        while client.recv(65536):
            ours, theirs = socket.socketpair()
            client.sendmsg(
                [b'{"id":1,"result":{}}\n'],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                  array.array("i", [theirs.fileno()]))])
            theirs.close()
            try:
                self.guest(ours)
            except OSError:
                pass
            ours.close()
        client.close()

    def close(self):
        self.server.close()
        self.path.unlink()


@pytest.fixture
def hostile(runtime):
    machines = []

    def make(after, greeting=b"OK 1073741824\n" + GREETING):
        def guest(sock):
            sock.settimeout(30)
            sock.sendall(greeting)
            if callable(after):
                after(sock)
            else:
                sock.sendall(after)
                while sock.recv(65536):
                    pass
        machines.append(Machine(runtime, guest))
        return "hostile"
    yield make
    for machine in machines:
        machine.close()


@pytest.mark.parametrize("words", [
    frame(OUTPUT, b"x") + frame(99),            # no such frame
    struct.pack("<I", 0xffffff00 | OUTPUT),     # of no such size
    frame(EXITED),                              # without a status
    frame(EXITED, b"\0\0"),
    frame(TAKEN, b"\1\0\0\0"),                  # more than was sent
    frame(TAKEN, b"\xff\xff\xff\xff"),
    frame(FAILED), frame(FAILED, b"\0\0\0"),
    frame(STARTED) + frame(INPUT, b"x"),        # the host's own
])
def test_nonsense(hostile, words):
    result = run("exec", "--timeout", 1, hostile(words), "true")
    assert result.returncode == 125
    assert "speaks no sense" in result.stderr


def test_words_for_a_terminal(hostile):
    """A reason in the agent's words does not reach the terminal as it is."""
    text = b"\x1b]0;owned\x07\x1b[2J\nlodge: all is well\r" * 50
    words = frame(FAILED, struct.pack("<I", 2) + text)
    result = run("exec", hostile(words), "true")
    assert result.returncode == 127
    assert len(result.stderr.splitlines()) == 1
    assert "\x1b" not in result.stderr and "\r" not in result.stderr
    assert len(result.stderr) < 600


@pytest.mark.parametrize("words", [
    frame(OUTPUT, b"x"), frame(100, b""), frame(99, b"x"), frame(102)])
def test_files_without_sense(hostile, tmp_path, words):
    name = hostile(words)
    for to in tmp_path, "-":
        result = copy("-r", f"{name}:/x", to)
        assert result.returncode == 1
        assert "speaks no sense" in result.stderr
    assert not list(tmp_path.iterdir())


def entry(kind, name):
    return frame(kind, struct.pack("<IQQI", 0o6777, 1, 1, 0) + name)


@pytest.mark.parametrize("words", [
    entry(96, b"x") + entry(98, b"../out"),
    entry(96, b"x") + entry(98, b"/tmp/lodge-out"),
    entry(96, b"x") + entry(96, b"..") + entry(98, b"out"),
    entry(96, b"x") + entry(100, b"y\0..") + entry(96, b"y") +
    entry(98, b"out"),
    entry(96, b"x") + frame(97) + frame(97) + entry(98, b"out"),
    entry(100, b"x\0.."), entry(98, b"x") + entry(98, b"out")])
def test_files_that_go_astray(hostile, tmp_path, words):
    """Nothing comes to be beside what was asked for."""
    (tmp_path / "to").mkdir()
    result = copy("-r", f"{hostile(words)}:/x", tmp_path / "to")
    assert result.returncode == 1
    assert os.listdir(tmp_path) == ["to"]
    assert os.listdir(tmp_path / "to") in ([], ["x"])
    assert not (tmp_path / "to" / "x").is_symlink()
    assert not os.path.exists("/tmp/lodge-out")


@pytest.mark.parametrize("greeting", [
    b"", b"OK", b"no\n", b"OK 5\n", b"OK 5\nhello\n" + b"x" * 99999,
    b"OK 5\n" + b"x" * 99999, b"\0" * 99])
def test_strange_greetings(hostile, greeting):
    result = run("exec", "--timeout", 1, hostile(b"", greeting), "true")
    assert result.returncode == 125
    assert "agent" in result.stderr


def test_another_version(hostile):
    refused(run("exec", hostile(b"", b"OK 5\nlodge-agent 2\n"), "true"), 125,
            "another version")


def test_lost(hostile):
    def leave(sock):
        sock.sendall(frame(STARTED) + frame(OUTPUT, b"some") +
                     frame(OUTPUT, b"part")[:-2])
    result = run("exec", hostile(leave), "true")
    assert result.returncode == 125
    assert result.stdout == "some"
    assert "lost its agent" in result.stderr


def test_lost_while_it_is_asked(hostile):
    """What it said counts, though it did not hear us to the end."""
    def leave(sock):
        sock.recv(1)
        sock.sendall(frame(FAILED, struct.pack("<I", 2) + b"no such program"))
    words = ["x" * 60000] * 30     # more than a socket holds
    refused(run("exec", hostile(leave), *words), 127, "no such program")


def test_a_flood(hostile):
    """Whoever does not stop does not cost memory."""
    def flood(sock):
        data = frame(OUTPUT, b"x" * 65536) * 16
        while True:
            sock.sendall(data)
    child = subprocess.Popen([LODGE, "exec", hostile(flood), "true"],
                             stdout=subprocess.PIPE)
    for _ in range(64):
        assert len(child.stdout.read(MIB)) == MIB
    status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
    kib = int(status.split("VmRSS:")[1].split()[0])
    child.terminate()
    child.stdout.close()
    child.wait(30)
    assert kib < 32 * 1024


def test_a_guest_that_says_nothing(hostile):
    """Interrupts are heard, from the request's last word on."""
    asked = threading.Event()

    def nothing(sock):
        said = b""
        while data := sock.recv(65536):
            said += data
            if frame(16) in said:
                asked.set()
    child = subprocess.Popen([LODGE, "exec", "-i", hostile(nothing), "true"],
                             stdin=subprocess.PIPE)
    assert asked.wait(30)
    for _ in range(3):
        child.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert child.wait(30) == 130
