# SPDX-License-Identifier: Apache-2.0
"""Ports of the virtio console as Linux's own driver sees them."""
import hashlib
import os
import re
import select
import socket
import time

import pytest

from conftest import machine_of, rests, spawn, status_of
from test_linux import BOOT, MIB, Shell, boot

FIND = ("port() { for p in /sys/class/virtio-ports/*; do read -r n <$p/name; "
        "[ $n = $1 ] && echo /dev/${p##*/}; done; }")


def boot_ports(linux, *args):
    """With what was said until the first prompt."""
    shell = boot(linux, *args)
    shell.said = shell.child.before
    shell.run(FIND)
    return shell


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(BOOT)
    client.connect(str(path))
    return client


def read_exactly(client, size):
    data = b""
    while len(data) < size:
        part = client.recv(65536)
        assert part, f"closed after {len(data)} bytes"
        data += part
    return data


def md5(data):
    return hashlib.md5(data).hexdigest()


def test_shell_on_hvc0(linux):
    """The guest's console, on a terminal whose size it knows."""
    shell = Shell(spawn(*linux[:-1], f"{linux[-1]} console=hvc0",
                        "--console", "main=stdio", timeout=BOOT))
    assert shell.run("tty") == "/dev/hvc0"
    assert shell.run("stty size") == "24 200"
    shell.child.setwinsize(50, 132)
    assert shell.run("until [ \"$(stty size)\" != '24 200' ]; do sleep 0.1; "
                     "done; stty size") == "50 132"
    text = shell.run("seq 20000", timeout=BOOT)
    assert text.split() == [str(n) for n in range(1, 20001)]
    assert shell.power_off() == 0


def test_keys_on_hvc0(linux):
    shell = Shell(spawn(*linux[:-1], f"{linux[-1]} console=hvc0",
                        "--console", "main=stdio", timeout=BOOT))
    shell.child.sendline("cat >/dev/null")
    shell.child.send("\x01h")
    shell.child.expect_exact("Ctrl-A x")
    shell.child.send("\x01x")
    assert status_of(shell.child) == 0


def test_ports_by_name(linux, tmp_path):
    """A socket, a file, a pseudo-terminal, and one that leads nowhere."""
    shell = boot_ports(linux, "--console", "main=none",
                       "--console", f"agent=unix:{tmp_path}/agent",
                       "--console", f"log=file:{tmp_path}/log",
                       "--console", "term=pty", "--console", "void=none")
    assert shell.run("cat /sys/class/virtio-ports/*/name").split() == \
        ["main", "agent", "log", "term", "void"]
    shell.run("echo to the log >$(port log)")
    shell.run("echo into the void >$(port void)")
    shell.run("echo nobody looks >/dev/hvc0")
    with connect(tmp_path / "agent") as client:
        client.sendall(b"question\n")
        assert shell.run("head -n 1 <$(port agent)") == "question"
        shell.run("echo answer >$(port agent)")
        assert read_exactly(client, 7) == b"answer\n"
    name = re.search(r"lodge: console term on (/dev/pts/\d+)", shell.said)[1]
    terminal = os.open(name, os.O_RDWR | os.O_NOCTTY)
    os.write(terminal, b"typed\n")
    assert shell.run("head -n 1 <$(port term)") == "typed"
    shell.run("echo shown >$(port term)")
    assert os.read(terminal, 100) == b"shown\n"
    os.close(terminal)
    shell.run("! dmesg | grep -iE 'virtio.*(error|fail|warn)'")
    assert shell.power_off() == 0
    assert (tmp_path / "log").read_text() == "to the log\n"


def test_nobody_is_lost_for(linux, tmp_path):
    """Many bytes each way, to and from someone slow."""
    path = tmp_path / "port"
    shell = boot_ports(linux, "--cpus", 2, "--console", "main=none",
                       "--console", f"data=unix:{path}")
    with connect(path) as client:
        shell.run("head -c 16777216 /dev/urandom >/tmp/r; "
                  "cat /tmp/r >$(port data) & true")
        time.sleep(1)
        # The writer waits; the rest of the guest does not.
        shell.run("kill -0 $!")
        data = read_exactly(client, 16 * MIB)
        assert shell.run("wait; md5sum </tmp/r").split()[0] == md5(data)

        sent = os.urandom(4 * MIB)
        shell.run("(sleep 1; head -c 4194304) <$(port data) >/tmp/s & true")
        client.sendall(sent)
        assert shell.run("wait; md5sum </tmp/s").split()[0] == md5(sent)
    assert shell.power_off() == 0


def test_peers_come_and_go(linux, tmp_path):
    """What is written while nobody is there waits for the next one."""
    path = tmp_path / "port"
    shell = boot_ports(linux, "--console", "main=none",
                       "--console", f"data=unix:{path}")
    shell.run("(for n in 1 2 3; do echo line $n; done) >$(port data) & true")
    for n in range(3):
        with connect(path) as client:
            want = f"line {n + 1}\n".encode()
            if n:
                shell.run(f"echo again {n} >$(port data) & true")
                want = f"again {n}\n".encode()
            else:
                want = b"line 1\nline 2\nline 3\n"
            assert read_exactly(client, len(want)) == want
            # Linux throws away what comes while only a writer is there.
            shell.run("wait")
            client.sendall(b"hi\n")
            assert shell.run("head -n 1 <$(port data)") == "hi"
    assert shell.power_off() == 0


def test_a_reboot(linux, tmp_path):
    shell = boot_ports(linux, "--console", "main=none",
                       "--console", f"data=unix:{tmp_path}/port")
    with connect(tmp_path / "port") as client:
        shell.run("cat /dev/zero >$(port data) & true")
        read_exactly(client, MIB)
        shell.child.sendline("reboot -f")
        with pytest.raises(TimeoutError):
            client.settimeout(2)
            while True:
                assert client.recv(65536).rstrip(b"\0") == b""
        client.settimeout(BOOT)
        client.sendall(b"before anyone reads\n")
        shell.wait()
        shell.run(FIND)
        assert shell.run("head -n 1 <$(port data)") == "before anyone reads"
        shell.run("echo after >$(port data)")
        assert read_exactly(client, 6) == b"after\n"
    assert shell.power_off() == 0


def test_a_full_disk_takes_the_port(linux):
    shell = boot_ports(linux, "--console", "main=none",
                       "--console", "log=file:/dev/full")
    shell.run("echo more >$(port log); "
              "while [ -n \"$(port log)\" ]; do sleep 0.1; done")
    assert shell.run("cat /sys/class/virtio-ports/*/name") == "main"
    assert shell.power_off() == 0


@pytest.mark.parametrize("kind", ["stdio", "pty"])
def test_an_idle_port_costs_nothing(linux, kind):
    args = ["--serial", "none" if kind == "stdio" else "stdio"]
    text = f"{linux[-1]} console=hvc0" if kind == "stdio" else linux[-1]
    shell = Shell(spawn(*linux[:-1], text, *args, "--console",
                        f"main={kind}", timeout=BOOT))
    assert rests(machine_of(shell.child), 0.1)
    assert shell.power_off() == 0


@pytest.mark.parametrize("kind", ["unix", "pty"])
def test_a_blocked_port_costs_nothing(linux, tmp_path, kind):
    """Nobody reads, outside and in the guest, and both sides have more."""
    path = tmp_path / "port"
    where = f"unix:{path}" if kind == "unix" else kind
    shell = boot_ports(linux, "--console", "main=none",
                       "--console", f"data={where}")
    if kind == "unix":
        client = connect(path)
        out = client.fileno()
    else:
        name = re.search(r"lodge: console data on (/dev/pts/\d+)",
                         shell.said)[1]
        out = os.open(name, os.O_RDWR | os.O_NOCTTY)
    os.set_blocking(out, False)
    shell.run("cat /dev/zero >$(port data) & true")
    with pytest.raises(BlockingIOError):
        while True:
            os.write(out, bytes(4096))
    assert rests(machine_of(shell.child), 0.1)
    assert shell.power_off() == 0
    if kind == "unix":
        client.close()
    else:
        os.close(out)


def test_a_shell_of_its_own(linux):
    """On hvc0, when the system's console is another."""
    shell = boot_ports(linux, "--console", "main=pty")
    name = re.search(r"lodge: console main on (/dev/pts/\d+)", shell.said)[1]
    terminal = os.open(name, os.O_RDWR | os.O_NOCTTY)

    def say(text, answer):
        os.write(terminal, text)
        said, deadline = b"", time.time() + BOOT
        while not re.search(answer, said, re.S):
            assert time.time() < deadline, said
            if select.select([terminal], [], [], 1)[0]:
                said += os.read(terminal, 4096)
    say(b"", b"# ")
    say(b"tty; echo $((6 * 7)) it is\n", b"42 it is")
    say(b"exit\n", b"built-in shell.*# ")
    say(b"echo $((6 * 7)) again\n", b"42 again")
    os.close(terminal)
    assert shell.power_off() == 0
