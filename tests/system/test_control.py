# SPDX-License-Identifier: Apache-2.0
"""The control socket and its commands: list, status, screenshot, keys, ..."""
import json
import os
import socket
import subprocess
import time

import pytest

import tiny
from conftest import ENGINE, LODGE, run
from picture import read_png
from test_firmware import needs_bios, needs_uefi

pytestmark = pytest.mark.usefixtures("runtime")

LIMIT = 180


@pytest.fixture
def start(tmp_path):
    """Starts machines in the background; ends them after the test."""
    children = []

    def go(*args):
        child = subprocess.Popen([LODGE, *map(str, args)],
                                 stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True)
        children.append(child)
        return child
    yield go
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def idle(start, make_kernel, runtime):
    """Starts a machine that does nothing; gives it when it has its name."""
    def go(name, *args):
        names = ["--name", name] if name else []
        child = start(*make_kernel(tiny.HALT), "--serial", "none", *names,
                      *args)
        wait_for(lambda: child.poll() is not None or child.pid in pids())
        assert child.poll() is None, child.stderr.read()
        return child
    return go


def wait_for(condition, seconds=LIMIT):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def machines():
    result = run("list", "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def pids():
    return [machine["pid"] for machine in machines()]


def refused(result, *words):
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


class Client:
    """A raw connection to a control socket."""
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def line(self):
        return json.loads(self.file.readline())

    def close(self):
        self.file.close()
        self.socket.close()

    def ask(self, data):
        self.socket.sendall(data + b"\n")
        return self.line()


def png(path):
    """Width, height and how many values the bytes of a picture have."""
    picture = read_png(path)
    return picture.width, picture.height, len(set(picture.pixels))


# --- names ---------------------------------------------------------------------

def test_two_machines_without_a_name(idle, runtime):
    first, second = idle(None), idle(None)
    found = {m["pid"]: m for m in machines()}
    assert found[first.pid]["name"] == "lodge"
    assert found[second.pid]["name"] == "lodge-2"
    assert found[first.pid]["engine"] == ENGINE
    assert found[first.pid]["cpus"] == 1
    assert found[first.pid]["memory"] == 16 << 20
    assert runtime.stat().st_mode & 0o777 == 0o700
    text = run("list").stdout
    assert "lodge-2" in text and str(first.pid) in text


def test_a_name_in_use(idle, make_kernel):
    idle("web")
    result = run(*make_kernel(tiny.HALT), "--name", "web")
    refused(result, "name web", "--name")


def test_a_dead_machines_name_is_free(idle, runtime):
    child = idle("web")
    child.kill()
    child.wait()
    assert (runtime / "web.sock").exists()
    assert machines() == []
    refused(run("status", "web"), "web", "lodge list")
    again = idle("web")
    assert json.loads(run("status", "--json", "web").stdout)["pid"] == \
        again.pid


def test_a_folder_that_others_may_use(runtime, make_kernel):
    runtime.mkdir(0o755)
    runtime.chmod(0o755)
    result = run(*make_kernel(tiny.power_off()), "--name", "web")
    refused(result, str(runtime), "chmod 700")
    # Without a name the machine runs, unreachable.
    assert run(*make_kernel(tiny.power_off())).returncode == 0


def test_nothing_runs():
    assert machines() == []
    assert run("list").stdout == ""
    for args in (["status", "x"], ["stop", "x"], ["reset", "x"],
                 ["keys", "x", "enter"], ["screenshot", "x", "y.png"],
                 ["inspect", "x"]):
        refused(run(*args), '"x"', "lodge list")
    result = run("status", "../x")
    assert result.returncode == 2
    assert "../x: is no machine's name" in result.stderr


# --- power ---------------------------------------------------------------------

def test_stop_by_force(idle, runtime):
    child = idle("web")
    assert run("stop", "--force", "web").returncode == 0
    assert child.wait(LIMIT) == 0
    assert os.listdir(runtime) == []


def test_reset(idle):
    child = idle("web", "--no-reboot")
    assert run("reset", "web").returncode == 0
    assert child.wait(LIMIT) == 0


def test_status_across_a_reset(idle):
    idle("web")
    for _ in range(3):
        assert run("reset", "web").returncode == 0
        assert run("status", "web").returncode == 0


# --- the protocol ----------------------------------------------------------------

def test_hello_and_errors(idle, runtime):
    idle("web")
    client = Client(runtime / "web.sock")
    assert client.line() == {"hello": "lodge", "version": 1, "name": "web"}
    for line, code in (
            (b"", "bad-request"), (b"{", "bad-request"),
            (b"\x00\xff\xfe", "bad-request"), (b"[1]", "bad-request"),
            (b'{"command":1}', "bad-request"),
            (b"[" * 8000, "bad-request"),
            (b'{"command":"status","command":"stop"}', "bad-request"),
            (b'{"command":"explode"}', "unknown-command"),
            (b'{"command":"stop","force":"yes"}', "bad-request"),
            (b'{"command":"keys"}', "bad-request"),
            (b'{"command":"keys","input":[{}]}', "bad-request"),
            (b'{"command":"keys","input":[{"key":"any"}]}', "bad-request"),
            (b'{"command":"keys","input":[{"text":"\\u00e9"}]}',
             "bad-request"),
            (b'{"command":"keys","input":[{"text":"' + b"a" * 5000 +
             b'"}]}', "bad-request"),
            (b'{"command":"screenshot"}', "no-display")):
        answer = client.ask(line)
        assert answer["error"]["code"] == code, line
        assert answer["error"]["message"]
    answer = client.ask(b'{"id":[7],"command":"status"}')
    assert answer["id"] == [7] and answer["result"]["name"] == "web"


def test_a_line_without_end(idle, runtime):
    idle("web")
    client = Client(runtime / "web.sock")
    client.line()
    client.socket.sendall(b"x" * 16384)
    assert client.line()["error"]["code"] == "too-long"
    assert client.file.readline() == b""
    assert run("status", "web").returncode == 0


def test_clients_that_do_not_read(idle, runtime):
    idle("web")
    held = []
    for _ in range(4):
        client = Client(runtime / "web.sock")
        client.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                client.socket.send(b'{"command":"inspect"}\n' * 100)
        held.append(client)
    assert run("status", "web").returncode == 0


def test_too_many_clients(idle, runtime):
    idle("web")
    held = [Client(runtime / "web.sock") for _ in range(128)]
    for client in held:
        assert client.line()["hello"] == "lodge"
    assert Client(runtime / "web.sock").line()["error"]["code"] == "busy"
    refused(run("status", "web"), "too many clients")
    held.pop().close()
    wait_for(lambda: len(machines()) == 1)


# --- display and keyboard ----------------------------------------------------------

def test_no_display(idle, tmp_path):
    idle("web")
    refused(run("screenshot", "web", tmp_path / "x.png"), "--display std")
    assert not (tmp_path / "x.png").exists()


def test_a_guest_that_reads_no_keys(idle):
    idle("web", "--display", "std")
    refused(run("keys", "web", "a"), "does not read")


def test_screenshot_of_a_kernels_display(idle, tmp_path):
    idle("web", "--display", "std")
    path = tmp_path / "x.png"
    assert run("screenshot", "web", path).returncode == 0
    assert png(path)  # an adapter that nobody has set up: any size
    refused(run("screenshot", "web", tmp_path / "none" / "x.png"), "none")


@needs_bios
def test_bios_screen(start, tmp_path):
    start("run", "--firmware", "bios", "--engine", ENGINE, "--serial", "none")
    path = tmp_path / "bios.png"

    def shown():
        return run("screenshot", "lodge", path).returncode == 0 and \
            png(path)[:2] == (720, 400) and png(path)[2] > 1
    wait_for(shown)
    assert run("screenshot", "lodge", "-").stdout.startswith("SeaBIOS (")
    path = tmp_path / "bios.txt"
    assert run("screenshot", "lodge", path).returncode == 0
    assert path.read_text().count("\n") == 25
    refused(run("screenshot", "lodge", tmp_path / "none" / "x.txt"), "none")


@needs_uefi
def test_type_into_the_uefi_shell(start, tmp_path):
    log = tmp_path / "log"
    child = start("run", "--firmware", "uefi", "--engine", ENGINE, "--name",
                  "u", "--serial", f"file:{log}")

    def says(text):
        return log.exists() and text in log.read_bytes()
    wait_for(lambda: says(b"any other key to continue"))
    result = run("keys", "--json", "u", "esc", timeout=LIMIT)
    assert json.loads(result.stdout) == {"machine": "u"}, result.stderr
    wait_for(lambda: says(b"Shell> "))
    assert run("keys", "u", "echo Lodge-_!", "enter",
               timeout=LIMIT).returncode == 0
    wait_for(lambda: says(b"\nLodge-_!\r\n"))
    path = tmp_path / "uefi.png"
    assert run("screenshot", "u", path).returncode == 0
    width, height, values = png(path)
    assert (width, height) == (1280, 800) and values > 2
    refused(run("screenshot", "u", "-"), "shows graphics")
    assert run("keys", "u", "reset -s", "enter",
               timeout=LIMIT).returncode in (0, 1)
    assert child.wait(LIMIT) == 0


# --- inspect -----------------------------------------------------------------------

def test_inspect(idle):
    idle("web", "--display", "std")
    result = run("inspect", "--json", "web")
    found = json.loads(result.stdout)
    assert {"state", "memory", "pci", "interrupts", "devices", "attached",
            "drives", "nets", "shares", "sandbox"} == set(found)
    assert any(r["base"] == 1 << 20 and r["kind"] == "ram"
               for r in found["memory"])
    assert any(r["kind"] == "device" and r["name"] == "vga"
               for r in found["memory"])
    assert any("vga" in line for line in found["pci"])
    if ENGINE == "soft":
        assert len(found["interrupts"]) == 24
    names = [d["device"] for d in found["devices"]]
    assert "uart" in names and "i8042" in names
    text = run("inspect", "web").stdout
    for word in ("sandbox: system calls", "memory:", "pci:", "interrupts", "devices", "host bridge"):
        assert word in text


# --- usage ---------------------------------------------------------------------

@pytest.mark.parametrize("args, words", [
    (["status"], "name is missing"),
    (["status", "a", "b"], '"b"'),
    (["status", "--jason", "a"], "did you mean --json?"),
    (["keys", "a"], "what to type is missing"),
    (["screenshot", "a"], "a file is missing"),
    (["list", "a"], '"a"'),
    (["keys", "--wide", "a", "x"], "--wide"),
    (["run", "--display", "vga"], "none, std"),
])
def test_wrong_usage(args, words):
    result = run(*args)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
