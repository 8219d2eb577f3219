# SPDX-License-Identifier: Apache-2.0
"""What a machine's process may not do, tried from each of its threads."""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

import tiny
from conftest import BUILD, ENGINE, LODGE, SOURCE, run
from namespace import NO_SPACES
from test_run_image import OFF, place  # noqa: F401: a fixture

INTRUDER = BUILD / "tests" / "system" / "intruder"
TABLE = SOURCE / "src" / "host" / "linux" / "jail_filter.c"

ROLES = ["loop", "vcpu-9", "devices", "disk", "net-tap"]
FILES = ["read", "write", "climb", "unlink", "rename", "stat", "symlink",
         "ring"]
SOCKETS = ["internet", "packet", "netlink", "unix", "abstract"]
OTHERS = ["exec", "fork", "ptrace", "read-other", "memory", "environment",
          "kill", "thread-kill", "owner", "limits"]
SYSTEM = ["mount", "unshare", "setns", "chroot", "root", "bpf", "perf",
          "keys", "faults", "type", "help"]
CODE = ["code", "code-later", "code-file"]


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


@contextlib.contextmanager
def open_folder(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "idle.elf"
    path.write_bytes(tiny.kernel(b"\xFA\xF4\xEB\xFD"))
    return ["run", "--kernel", path, "--memory", "16M", "--engine", ENGINE,
            "--serial", "none"]


def intrude(kernel, role, what, at, pid, *options, before=()):
    """What became of it: how the process ended, and what it said."""
    return subprocess.run(
        [*before, INTRUDER, *kernel[1:], "--net", "none", *options],
        env={**os.environ, "INTRUDER": f"{role}:{what}",
             "INTRUDER_AT": str(at), "INTRUDER_PID": str(pid)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False)


@pytest.fixture
def victim():
    """A process of the same user, with a socket that has no file."""
    child = subprocess.Popen(["sleep", "1000"])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0lodge-intruder-{child.pid}")
    listener.listen()
    yield child
    listener.close()
    child.kill()
    child.wait()


@pytest.mark.parametrize("role", ROLES)
def test_refused(kernel, role, tmp_path, victim):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    for what in FILES + SOCKETS + OTHERS + SYSTEM + CODE:
        at = tmp_path / "socket" if what == "unix" else \
            tmp_path / "new" if what == "symlink" else secret
        done = intrude(kernel, role, what, at, victim.pid)
        if done.returncode != -signal.SIGSYS:
            assert done.returncode == 7, (what, done)
            assert "intruder: refused" in done.stderr, (what, done)
        assert victim.poll() is None
    assert secret.read_text() == "secret"
    assert not (tmp_path / "new").is_symlink()
    listener.close()


def test_refused_without_namespaces(kernel, tmp_path, victim):
    """Where a host gives none, Landlock, the filter and the broker stand."""
    if subprocess.run([*NO_SPACES, "true"], check=False).returncode:
        pytest.skip("no user namespaces")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    for what in FILES + SOCKETS + OTHERS + SYSTEM + CODE:
        at = tmp_path / "socket" if what == "unix" else \
            tmp_path / "new" if what == "symlink" else secret
        done = intrude(kernel, "loop", what, at, victim.pid,
                       before=NO_SPACES)
        if done.returncode not in (-signal.SIGSYS, 128 + signal.SIGSYS):
            assert done.returncode == 7, (what, done)
            assert "intruder: refused" in done.stderr, (what, done)
        assert victim.poll() is None
    assert secret.read_text() == "secret"
    listener.close()


def test_that_there_are_no_namespaces_is_told(kernel):
    if subprocess.run([*NO_SPACES, "true"], check=False).returncode:
        pytest.skip("no user namespaces")
    child = subprocess.Popen([*NO_SPACES, LODGE, *kernel, "--name", "bare"],
                             stdin=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    while run("status", "bare").returncode:
        assert child.poll() is None
        time.sleep(0.02)
    told = json.loads(run("inspect", "--json", "bare").stdout)["sandbox"]
    assert told["active"] and not told["namespaces"] and told["why"]
    text = run("inspect", "bare").stdout.splitlines()[0]
    assert text.endswith(f"; no namespaces: {told['why']}")
    child.terminate()
    assert child.wait(60) == 0


def test_what_only_an_intruder_calls_ends_it(kernel, tmp_path, victim):
    for what in ["exec", "ptrace", "read-other", "mount", "unshare", "setns",
                 "chroot", "root", "bpf", "perf", "keys", "faults"]:
        done = intrude(kernel, "loop", what, tmp_path, victim.pid)
        assert done.returncode == -signal.SIGSYS, (what, done)


def test_the_broker_may_not(kernel, tmp_path, victim):
    """It is outside, but does not do what it never has to."""
    killed = ["ptrace", "mount", "unshare", "setns", "chroot", "root", "bpf",
              "perf", "keys", "faults", "ring"]
    for what in killed + ["packet", "netlink"]:
        told = tmp_path / f"{what}.told"
        done = subprocess.run(
            [INTRUDER, *kernel[1:], "--net", "none"],
            env={**os.environ, "INTRUDER": f"broker:{what}",
                 "INTRUDER_AT": str(tmp_path), "INTRUDER_TELL": str(told),
                 "INTRUDER_PID": str(victim.pid)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False)
        assert done.returncode == 255, (what, done)
        assert told.read_text().startswith(
            f"signal {signal.SIGSYS.value}\n" if what in killed else
            "intruder: refused"), (what, told.read_text())


def test_the_broker_has_few_privileges(machine):
    child = pathlib.Path("/proc") / str(broker_of(machine.pid))
    status = status_of(child)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    # chown, dac_override, dac_read_search, fowner, sys_ptrace
    assert int(status["CapPrm"], 16) & ~0x8000f == 0, status["CapPrm"]
    limits = (child / "limits").read_text()
    assert re.search(r"^Max core file size +0 ", limits, re.M)


def is_broker_of(entry, pid):
    try:
        return (entry / "comm").read_text() == "lodge-broker\n" and \
            status_of(entry)["PPid"] == str(pid)
    except OSError:
        return False


def test_a_disk_names_no_files_but_by_its_format(kernel, tmp_path):
    """What a guest has written to it, or what an image has anywhere else."""
    for name in "secret.img", "base.img":
        (tmp_path / name).write_bytes(bytes(1 << 20))
    raw, plain, qcow2 = (tmp_path / name
                         for name in ("raw.img", "disk.img", "disk.qcow2"))
    raw.write_bytes((b"KDMV" + bytes(60) + b"secret.img").ljust(1 << 20, b"\0"))
    plain.write_bytes(b"secret.img".ljust(1 << 20, b"\0"))
    assert run("disk", "create", "--backing", tmp_path / "base.img",
               qcow2).returncode == 0
    with qcow2.open("r+b") as file:
        file.seek(0xf000)
        file.write(b"secret.img")
    for disk in f"{raw},format=raw", plain, qcow2:
        done = intrude(kernel, "loop", "read", tmp_path / "secret.img", 0,
                       "--disk", disk)
        assert "intruder: refused" in done.stderr, (disk, done)
    done = intrude(kernel, "loop", "read", tmp_path / "base.img", 0,
                   "--disk", qcow2)
    assert "intruder: done" in done.stderr, done


def test_folders_on_the_way_are_not_looked_into(kernel, tmp_path):
    """The one that its disk is in is opened, to be synced, and not changed."""
    inner = tmp_path / "inner"
    inner.mkdir(mode=0o755)
    disk = ["--disk", make_disk(inner)]
    for role in ROLES:
        for folder in "/", tmp_path.parent, tmp_path:
            done = intrude(kernel, role, "list", folder, 0, *disk)
            assert "intruder: refused" in done.stderr, (role, folder, done)
        done = intrude(kernel, role, "mode", inner / "disk.img", 0, *disk)
        assert "intruder: refused" in done.stderr, (role, done)
        assert inner.stat().st_mode & 0o777 == 0o755
    assert "intruder: done" in \
        intrude(kernel, "loop", "list", inner, 0, *disk).stderr


def test_what_is_its_own_is_open(kernel, tmp_path):
    """So the tries above are real ones."""
    done = intrude(kernel, "disk", "read", tmp_path / "disk.img", 0,
                   "--disk", make_disk(tmp_path))
    assert "intruder: done" in done.stderr, done


def test_it_has_no_client_of_its_own_control_socket(kernel, tmp_path):
    """Nor of another's whose name begins as its own does."""
    runtime = tmp_path / "lodge"
    runtime.mkdir(mode=0o700)
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(runtime / "web.two.sock"))
    other.listen()
    for role in ROLES:
        for name in "web.sock", "web.two.sock":
            done = intrude(kernel, role, "unix", runtime / name, 0,
                           "--name", "web")
            assert "intruder: refused" in done.stderr, (role, name, done)
    for what in "unlink", "rename":
        done = intrude(kernel, "loop", what, runtime / "web.two.sock", 0,
                       "--name", "web")
        assert "intruder: refused" in done.stderr, (what, done)
    assert (runtime / "web.two.sock").exists()
    other.close()


def test_what_it_writes_is_no_more_than_that(kernel, tmp_path):
    """Its outputs are named; files that begin so are not its own."""
    outputs = ["--report", tmp_path / "report.json",
               "--moves", tmp_path / "moves.json"]
    for name in "report.json", "moves.json":
        done = intrude(kernel, "loop", "write", tmp_path / name, 0, *outputs)
        assert "intruder: done" in done.stderr, (name, done)
    for name in "report.json.txt", "moves.json.named", "moves.jsons":
        for what in "write", "unlink", "rename":
            (tmp_path / name).write_text("theirs\n")
            done = intrude(kernel, "loop", what, tmp_path / name, 0, *outputs)
            assert "intruder: refused" in done.stderr, (what, name, done)
            assert (tmp_path / name).read_text() == "theirs\n"


def test_a_machine_of_an_image_does_not_write_its_record(place, tmp_path):
    """Which says where its disk is at the next start."""
    place.image("idle", tiny.HALT)
    folder = place.machines / "idle"

    def attempt(what, at):
        return subprocess.run(
            [INTRUDER, "idle", *OFF, "--net", "none"],
            env={**place.env["env"], "INTRUDER": f"loop:{what}",
                 "INTRUDER_AT": str(at)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False).stderr.splitlines()[-1]
    assert attempt("read", folder / "disk.qcow2").startswith("intruder: done")
    record = (folder / "machine.json").read_text()
    for what in "read", "write", "unlink", "rename":
        for name in "machine.json", ".machine.json.new", "moves.json.named":
            there = (folder / name).exists()
            refused = attempt(what, folder / name)
            assert refused.startswith("intruder: refused"), (what, name)
            assert (folder / name).exists() == there
    assert (folder / "machine.json").read_text() == record


def test_nobody_believes_where_a_machine_says_that_its_disk_is(place, tmp_path):
    place.image("tiny", tiny.power_off())
    assert place.run("tiny", *OFF).returncode == 0
    folder = place.machines / "tiny"
    record = (folder / "machine.json").read_text()
    for kind, path in (("raw", tmp_path / "secret"),
                       ("raw", "/etc/passwd")):
        (folder / "moves.json").write_text(json.dumps([
            {"from": str(folder / "disk.qcow2"), "path": str(path),
             "format": kind}]))
        done = place.run("tiny", *OFF)
        assert done.returncode == 0, done
        assert "which nobody asked for" in done.stderr
        assert not (folder / "moves.json").exists()
    assert (folder / "machine.json").read_text() == record


def make_disk(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    return disk


def names_of_threads(pid):
    return {task.read_text().strip()
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/comm")}


# --- a running machine ---------------------------------------------------------------

@pytest.fixture
def machine(kernel, tmp_path):
    child = subprocess.Popen([LODGE, *kernel, "--name", "web", "--cpus", "2",
                              "--disk", make_disk(tmp_path)],
                             stdin=subprocess.DEVNULL)
    while run("status", "web").returncode or not \
            {"vcpu-0", "vcpu-1", "devices"} <= names_of_threads(child.pid):
        assert child.poll() is None
        time.sleep(0.02)
    yield child
    child.terminate()
    assert child.wait(60) == 0


def status_of(task):
    return dict(line.split(":\t", 1) for line in
                (task / "status").read_text().splitlines() if ":\t" in line)


def test_each_thread_has_nothing(machine):
    tasks = list(pathlib.Path(f"/proc/{machine.pid}/task").iterdir())
    named = 0
    for task in tasks:
        status = status_of(task)
        if status["Name"].startswith(("iou-", "kvm-", "vhost-")):
            continue
        named += status["Name"] in ("vcpu-0", "vcpu-1", "devices")
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        for name in "CapInh", "CapPrm", "CapEff", "CapAmb":
            assert int(status[name], 16) == 0, (status["Name"], name)
        filters = int(status["Seccomp_filters"])
        role = status["Name"].startswith(("vcpu-", "devices", "disk"))
        assert filters == (2 if role else 1), status["Name"]
        if os.geteuid() == 0:
            for kind in "Uid", "Gid":
                assert set(status[kind].split()) == \
                    {str(0x70000000 + machine.pid)}
            assert not status["Groups"].split()
            assert os.listdir(task / "root") == []
            for space in "mnt", "net", "ipc", "uts":
                assert os.readlink(task / "ns" / space) != \
                    os.readlink(f"/proc/self/ns/{space}"), space
    assert named == 3
    limits = pathlib.Path(f"/proc/{machine.pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 ", limits, re.M)
    files = re.search(r"^Max open files +(\d+) +(\d+) ", limits, re.M)
    assert int(files[1]) == int(files[2]) <= 65536


def test_what_holds_is_told(machine):
    """As /proc has it, whatever this host gives."""
    told = json.loads(run("inspect", "--json", "web").stdout)["sandbox"]
    process = pathlib.Path(f"/proc/{machine.pid}")
    uid = int(status_of(process)["Uid"].split()[1])
    spaces = os.readlink(process / "ns" / "net") != \
        os.readlink("/proc/self/ns/net")
    host = json.loads(run("host", "--json").stdout)["sandbox"]
    assert told == {"active": True, "namespaces": spaces,
                    "own_user": uid == 0x70000000 + machine.pid,
                    "landlock": host["landlock"],
                    **({} if spaces else {"why": told["why"]})}


def test_nothing_is_writable_and_executable(machine):
    maps = pathlib.Path(f"/proc/{machine.pid}/maps").read_text()
    rights = [line.split()[1] for line in maps.splitlines()]
    assert any("x" in r for r in rights)
    assert not [r for r in rights if "w" in r and "x" in r]


def test_guest_memory_is_in_no_dump(machine):
    text = pathlib.Path(f"/proc/{machine.pid}/smaps").read_text()
    parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.M)
    ram = [p for p in parts if p and "memfd:guest-ram" in p.splitlines()[0]]
    assert ram
    for part in ram:
        flags, = [line for line in part.splitlines()
                  if line.startswith("VmFlags:")]
        assert " dd" in flags


def test_off(kernel, tmp_path):
    child = subprocess.Popen([LODGE, *kernel, "--sandbox", "off", "--name", "plain"], stdin=subprocess.DEVNULL)
    while run("status", "plain").returncode:
        assert child.poll() is None
        time.sleep(0.02)
    status = status_of(pathlib.Path(f"/proc/{child.pid}"))
    assert status["Seccomp"] == "0" and status["NoNewPrivs"] == "0"
    assert run("inspect", "plain").stdout.startswith("sandbox: off\n")
    child.terminate()
    assert child.wait(60) == 0
    done = run("run", "--sandbox", "perhaps")
    assert done.returncode == 2 and "give on or off" in done.stderr


def broker_of(pid):
    found, = [entry for entry in pathlib.Path("/proc").iterdir()
              if entry.name.isdigit() and is_broker_of(entry, pid)]
    return int(found.name)


def test_a_lock_that_is_kept_stops_nobody(kernel, tmp_path):
    """That of the folder of control sockets, which each machine may take."""
    (tmp_path / "lodge").mkdir(mode=0o700)
    with open(tmp_path / "log", "wb") as log, \
            open_folder(tmp_path / "lodge") as folder:
        fcntl.flock(folder, fcntl.LOCK_EX)
        child = subprocess.Popen([LODGE, *kernel, "--name", "web"],
                                 stdin=subprocess.DEVNULL, stderr=log)
        while run("status", "web").returncode:
            assert child.poll() is None
        child.terminate()
        assert child.wait(60) == 0
    assert "does not let go" in (tmp_path / "log").read_text()
    assert not list((tmp_path / "lodge").glob("*.sock"))


@pytest.mark.parametrize("there", [False, True])
def test_a_report_outlives_the_broker(kernel, tmp_path, there):
    """It is open before the guest runs; nobody else can name it then."""
    report = tmp_path / "report.json"
    if there:
        report.write_text("of before, and longer\n" * 1000)
    child = subprocess.Popen([LODGE, *kernel, "--name", "web", "--report",
                              report], stdin=subprocess.DEVNULL)
    while run("status", "web").returncode or \
            "vcpu-0" not in names_of_threads(child.pid):
        assert child.poll() is None
        time.sleep(0.02)
    assert report.read_text().startswith("of before") == there
    os.kill(broker_of(child.pid), signal.SIGKILL)
    assert child.wait(60) == 1
    assert json.loads(report.read_text())["exit_reason"] == "failed"
    assert sorted(tmp_path.glob("report*")) == [report]


def test_a_start_that_fails_leaves_no_report(kernel, tmp_path):
    report = tmp_path / "report.json"
    result = run(*kernel, "--report", report, "--disk", tmp_path / "none.img")
    assert result.returncode == 1
    assert not report.exists()


def test_the_broker_ends_with_the_machine(machine):
    """Even when that is killed."""
    group = pathlib.Path("/proc")

    def brokers():
        found = set()
        for entry in group.iterdir():
            try:
                if entry.name.isdigit() and \
                        (entry / "comm").read_text() == "lodge-broker\n" and \
                        status_of(entry)["PPid"] == str(machine.pid):
                    found.add(entry)
            except OSError:
                pass
        return found

    broker, = brokers()
    os.kill(machine.pid, signal.SIGSTOP)
    os.kill(machine.pid, signal.SIGCONT)
    assert broker.exists()
    stat = (broker / "stat").read_text().split()
    machine.terminate()
    assert machine.wait(60) == 0
    end = time.monotonic() + 60
    while True:
        try:
            now = (broker / "stat").read_text().split()
        except OSError:
            break
        if now[21] != stat[21] or now[2] == "Z":
            break
        assert time.monotonic() < end
        time.sleep(0.02)


# --- the table --------------------------------------------------------------------------

def test_each_call_has_its_reason():
    """docs/security.md says of each call in the table what it is for."""
    rows = re.findall(r"\{ SYS_(\w+), (\w+),", TABLE.read_text())
    allowed = {name for name, how in rows if how != "KILL"}
    assert len(rows) == len({name for name, _ in rows}) > 140
    text = (SOURCE / "docs" / "security.md").read_text()
    part = text.split("### Each call, and why")[1].split("###")[0]
    assert set(re.findall(r"`(\w+)`", part)) == allowed


def test_host_says_what_there_is():
    done = run("host")
    assert done.returncode == 0
    assert re.search(r"^sandbox +\S", done.stdout, re.M), done.stdout
