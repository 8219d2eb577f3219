# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: the program, guests, and runs of them.

LODGE_BUILD names the build folder (default: build in the source tree),
LODGE_ENGINE the engine (default: soft), LODGE_APPEND what more Linux is told.
"""
import atexit
import fcntl
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pexpect
import pytest

import tiny

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LODGE_BUILD", SOURCE / "build")).resolve()
LODGE = BUILD / "lodge"
ENGINE = os.environ.get("LODGE_ENGINE", "soft")
APPEND = os.environ.get("LODGE_APPEND", "")

# The machines and images of whoever runs the tests are not theirs, nor are
# those of tests that run beside these.
for variable, prefix in (("XDG_DATA_HOME", "lodge-data-"),
                         ("XDG_RUNTIME_DIR", "lodge-run-")):
    os.environ[variable] = tempfile.mkdtemp(prefix=prefix)
    atexit.register(shutil.rmtree, os.environ[variable], True)

# Meson names folders with libraries of tests; programs use the system's own.
os.environ.pop("LD_LIBRARY_PATH", None)
# The address sanitizer traces to find leaks, which the sandbox refuses.
os.environ["ASAN_OPTIONS"] = ":".join((os.environ.get("ASAN_OPTIONS", ""),
                                       "detect_leaks=0"))


def run(*args, timeout=60, **kwargs):
    """lodge with these arguments, to its end."""
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([LODGE, *map(str, args)], capture_output=True,
                          text=True, errors="replace", timeout=timeout,
                          check=False, **kwargs)


def is_gone(pid):
    """Whether it has ended, waited for or not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


class Child(pexpect.spawn):
    """lodge on a terminal. While it runs a machine it is two processes, of
    which this one is not the machine; both are gone after kill and close."""

    def wait_gone(self, pid):
        end = time.monotonic() + 60
        while pid != self.pid and not is_gone(pid):
            assert time.monotonic() < end, "the machine goes on"
            time.sleep(0.01)

    def kill(self, sig):
        machine = machine_of(self)
        if sig == signal.SIGKILL and machine != self.pid:
            os.kill(machine, sig)
            self.wait_gone(machine)
        else:
            super().kill(sig)

    def close(self, force=True):
        machine = self.pid if self.closed else machine_of(self)
        super().close(force)
        self.wait_gone(machine)


def spawn(*args, timeout=60, before=(), **kwargs):
    """lodge on a terminal of its own, started by the words `before`."""
    words = [str(a) for a in (*before, LODGE, *args)]
    child = Child(words[0], words[1:], timeout=timeout,
                  encoding="utf-8", codec_errors="replace",
                  dimensions=(24, 200), **kwargs)
    child.delaybeforesend = None
    return child


def machine_of(child):
    """The process of a spawned lodge run's machine: at a terminal it is behind
    the one that was started."""
    def read(path):
        try:
            return pathlib.Path(path).read_text(encoding="utf-8").split()
        except OSError:
            return []

    for pid in read(f"/proc/{child.pid}/task/{child.pid}/children"):
        if read(f"/proc/{pid}/comm") == ["lodge"]:
            return int(pid)
    return child.pid


def kill(child):
    """kill -9 of a spawned lodge, which on a terminal has its machine in a
    process of its own; both are gone then."""
    path = f"/proc/{child.pid}/task/{child.pid}/children"
    with open(path, encoding="ascii") as file:
        machines = [os.pidfd_open(int(pid)) for pid in file.read().split()]
    child.kill(signal.SIGKILL)
    for machine in machines:
        select.select([machine], [], [])
        os.close(machine)
    child.close()


def processor_ticks(pid):
    """Processor time that it has used so far, in the kernel's units."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def rests(pid, part, seconds=3):
    """Whether it comes to use no more than that part of a processor."""
    used = []
    for _ in range(10):
        before = processor_ticks(pid)
        time.sleep(seconds)
        used.append(processor_ticks(pid) - before)
        if used[-1] <= part * seconds * os.sysconf("SC_CLK_TCK"):
            return True
    print("ticks used in", seconds, "seconds each:", used)
    return False


def shown(words):
    """A pattern for words on a screen that a BIOS sends down a serial line,
    with the cursor set anew now and then in their midst."""
    return r"(?:\x1b\[[0-9;?]*[A-Za-z])*".join(map(re.escape, words))


def status_of(child, timeout=30):
    """The exit status of a spawned lodge."""
    child.expect(pexpect.EOF, timeout=timeout)
    child.close()
    return child.exitstatus


@pytest.fixture(scope="session", autouse=True)
def program():
    if not LODGE.exists():
        pytest.exit(f"{LODGE} is missing: build first, or set LODGE_BUILD", 2)


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A folder of control sockets for a test alone."""
    base = tmp_path / "run"
    base.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    return base / "lodge"


@pytest.fixture
def daemon(tmp_path):
    """A lodged with folders of its own, not started."""
    from daemon import Daemon
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.clear()


@pytest.fixture
def lodged(daemon):
    """The same, started."""
    assert daemon.start() == "ok"
    return daemon


@pytest.fixture
def make_kernel(tmp_path):
    """Writes a tiny kernel and gives the arguments that run it."""
    def make(code, data=b"", engine=ENGINE, memory="16M"):
        path = tmp_path / "kernel.elf"
        path.write_bytes(tiny.kernel(code, data))
        return ["run", "--kernel", path, "--engine", engine, "--memory",
                memory]
    return make


@pytest.fixture
def kernel(tmp_path):
    """Writes a tiny kernel that does nothing, or other code, and gives the
    fields of a machine that runs it."""
    def make(code=tiny.HALT, name="idle"):
        path = tmp_path / f"{name}.elf"
        path.write_bytes(tiny.kernel(code))
        return {"kernel": str(path), "memory": 16 << 20, "engine": ENGINE}
    return make


@pytest.fixture
def report(tmp_path):
    """A report's path, and its content once it is there."""
    class Report:
        path = tmp_path / "report.json"

        def read(self):
            return json.loads(self.path.read_text())
    return Report()


@pytest.fixture(scope="session")
def linux():
    """Arguments that boot the default guest."""
    folder = BUILD / "guest" / "default"
    kernel, initrd = folder / "vmlinux", folder / "initrd"
    if not kernel.exists() or not initrd.exists():
        pytest.skip(f"no default guest in {folder}: make guest")
    return ["run", "--kernel", kernel, "--initrd", initrd, "--engine", ENGINE,
            "--append", "console=ttyS0 quiet tsc=reliable no_timer_check "
            f"cryptomgr.notests panic=-1 {APPEND}"]


@pytest.fixture(scope="session")
def linux_agent(linux, tmp_path_factory):
    """The same, with today's agent and what starts it."""
    agent = BUILD / "lodge-agent"
    if not agent.exists():
        pytest.skip("no lodge-agent: install musl-tools, configure anew")
    folder = tmp_path_factory.mktemp("agent")
    subprocess.run([sys.executable, SOURCE / "guests" / "make_initrd.py",
                    folder / "more", "--tree",
                    SOURCE / "guests" / "default" / "root", "--file",
                    f"{agent}:/sbin/lodge-agent"], check=True)
    initrd = linux.index("--initrd") + 1
    (folder / "initrd").write_bytes(
        pathlib.Path(linux[initrd]).read_bytes() +
        (folder / "more").read_bytes())
    return [*linux[:initrd], folder / "initrd", *linux[initrd + 1:]]


def pytest_terminal_summary(terminalreporter):
    """What failed at the first try, and why: scripts/run_tests.py reads it."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.write_sep("-", f"once more: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


def store(folder):
    """How to name a store of images to lodge."""
    return {"env": {**os.environ, "XDG_DATA_HOME": str(folder)}}


@pytest.fixture(scope="session")
def debian():
    """A store with the image debian, and how to name it to lodge. It is built
    once and kept in the build folder, under a name that comes from the recipe's
    content, so that only another recipe makes another one."""
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is missing")
    images = BUILD / "guest" / "images"
    sys.path.insert(0, str(SOURCE / "guests"))
    from recipe import digest
    folder = images / digest(SOURCE / "guests" / "debian")
    images.mkdir(parents=True, exist_ok=True)
    with open(images.parent / "images.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if run("image", "info", "debian", **store(folder)).returncode:
            shutil.rmtree(images, ignore_errors=True)
            result = run("image", "build", "debian", timeout=1200,
                         **store(folder))
            assert result.returncode == 0, result.stderr
            assert result.stderr == ""
            assert all(line.startswith("image: ")
                       for line in result.stdout.splitlines())
    return store(folder)
