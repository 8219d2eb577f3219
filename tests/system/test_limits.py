# SPDX-License-Identifier: Apache-2.0
"""Limits of kept machines: that busy ones get their part and no more, what
happens at a limit, who is refused, and that groups go."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import tiny
from conftest import ENGINE, LODGE, SOURCE
from daemon import LODGED, Daemon, wait_for

pytestmark = [
    pytest.mark.skipif(not LODGED.exists(), reason="no lodged"),
    pytest.mark.skipif(os.geteuid() != 0, reason="groups are root's"),
]

SPIN = b"\xEB\xFE"  # jmp $
MIB = 1 << 20
TOP = pathlib.Path("/sys/fs/cgroup")


@pytest.fixture
def kernel(tmp_path):
    def make(code=SPIN, name="spin"):
        path = tmp_path / f"{name}.elf"
        path.write_bytes(tiny.kernel(code))
        return {"kernel": str(path), "memory": 16 * MIB, "engine": ENGINE}
    return make


class Group:
    """A machine's group, in either version."""
    def __init__(self, daemon, name):
        self.pid = daemon.vm(name)["pid"]
        self.paths = {}
        for line in pathlib.Path(
                f"/proc/{self.pid}/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            for controller in names.split(","):
                for top in (TOP, *TOP.glob("*/")):
                    if (top / path[1:]).is_dir() and "lodge/" in path:
                        if names and top.name not in (names, controller):
                            continue
                        self.paths[controller] = top / path[1:]

    def file(self, controller, v1, v2):
        if controller in self.paths:
            return self.paths[controller] / v1
        return self.paths[""] / v2

    def cpu_ns(self):
        if "cpuacct" in self.paths:
            return int((self.paths["cpuacct"] / "cpuacct.usage").read_text())
        text = (self.paths[""] / "cpu.stat").read_text()
        return int(text.split()[1]) * 1000

    def throttled(self):
        text = self.file("cpu", "cpu.stat", "cpu.stat").read_text()
        return int(text.split("nr_throttled ")[1].split()[0])


def start(lodged, name, **config):
    lodged.make(name, **config)
    answer = lodged.say(name, "start")
    assert answer.status == 200, answer.text
    group = Group(lodged, name)
    if not group.paths:
        pytest.skip("no control groups here")
    return group


def used(groups, ns):
    """What each has used of that much together."""
    before = [g.cpu_ns() for g in groups]
    while True:
        time.sleep(0.02)
        now = [g.cpu_ns() - b for g, b in zip(groups, before)]
        if sum(now) >= ns:
            return now


def test_shares(lodged, kernel):
    """Three to one by their shares, on one processor, though the one with
    less has four processors that are busy."""
    less = start(lodged, "less", memory=128 * MIB, cpus=4, engine=ENGINE)
    spin = lodged.cli("exec", "less", "--", "sh", "-c",
                      "for i in 1 2 3 4; do (while :; do :; done) "
                      "</dev/null >/dev/null 2>&1 & done")
    assert spin.returncode == 0, spin.stderr
    more = start(lodged, "more", **kernel(), cpu_shares=300, cpu_set="0")
    pinned = lodged.ask("PATCH", "/v1/vms/less", {"config": {"cpu_set": "0"}})
    assert pinned.status == 200
    for task in pathlib.Path(f"/proc/{less.pid}/task").iterdir():
        assert os.sched_getaffinity(int(task.name)) == {0}
    # It ran alone before; and a share is held over a while, not at once.
    ratios = []
    for _ in range(5):
        a, b = used([more, less], 3e9)
        ratios.append(a / b)
        if 2.85 < ratios[-1] < 3.15:
            break
    print("shares", ratios)
    assert 2.85 < ratios[-1] < 3.15, ratios
    # Changed while they run.
    answer = lodged.ask("PATCH", "/v1/vms/less",
                        {"config": {"cpu_shares": 300}})
    assert answer.status == 200
    for _ in range(5):
        a, b = used([more, less], 3e9)
        if 0.95 < a / b < 1.05:
            break
    assert 0.95 < a / b < 1.05, (ratios, a / b)


def test_quota_and_processors(lodged, kernel):
    """No more than it may have, where nobody else wants any."""
    group = start(lodged, "a", **kernel(), cpu_limit=25, cpu_set="0")
    assert group.file("cpuset", "cpuset.cpus",
                      "cpuset.cpus").read_text() == "0\n"
    for task in pathlib.Path(f"/proc/{group.pid}/task").iterdir():
        assert os.sched_getaffinity(int(task.name)) == {0}
    before, began = group.cpu_ns(), time.monotonic()
    throttled = group.throttled()
    wait_for(lambda: group.throttled() >= throttled + 10)
    part = (group.cpu_ns() - before) / 1e9 / (time.monotonic() - began)
    print("quota", part)
    assert part < 0.40
    lodged.ask("PATCH", "/v1/vms/a", {"config": {"cpu_limit": None,
                                                 "cpu_set": None}})
    throttled = group.throttled()
    used([group], 0.5e9)
    assert group.throttled() <= throttled + 1


def test_memory(lodged, kernel):
    """At its limit the machine is ended, and the reason says so."""
    group = start(lodged, "a", **kernel(tiny.HALT, "idle"), memory_limit=128 * MIB)
    # One that fills the group's memory with what counts for no process.
    pathlib.Path(f"/proc/{group.pid}/oom_score_adj").write_text("1000")
    eater = subprocess.Popen(
        ["/usr/bin/python3", "-c",
         "import sys\n"
         "open(sys.argv[1], 'w').write('0')\n"
         "print('here', flush=True)\n"
         "import os\n"
         "file = os.memfd_create('x')\n"
         "while True: os.write(file, bytes(1 << 20))\n",
         str(group.file("memory", "cgroup.procs", "cgroup.procs"))],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert eater.stdout.readline() == b"here\n"
    try:
        lodged.wait_state("a", "stopped")
    finally:
        eater.kill()
        eater.wait()
    assert lodged.vm("a")["reason"] == (
        "it was killed at its memory limit of 128 MiB (16 MiB are the "
        "guest's); lodge edit a --memory-limit SIZE raises it")


def test_a_guest_that_burns_memory(lodged):
    """It fills its own, its group holds, and the one beside goes on."""
    other = start(lodged, "other", memory=128 * MIB, engine=ENGINE)
    group = start(lodged, "a", memory=128 * MIB, engine=ENGINE)
    lodged.cli("exec", "a", "--", "sh", "-c",
               "mkdir /m && mount -t tmpfs -o size=1g none /m && "
               "dd if=/dev/zero of=/m/x bs=1M count=1000; "
               "dd if=/dev/zero of=/m/x bs=1M count=1000")
    limit = int(group.file("memory", "memory.limit_in_bytes",
                           "memory.max").read_text())
    assert limit == 128 * MIB + 128 * MIB // 16 + (512 + 128) * MIB
    usage = group.file("memory", "memory.usage_in_bytes", "memory.current")
    print("memory", int(usage.read_text()) // MIB)
    assert int(usage.read_text()) > 64 * MIB
    assert int(usage.read_text()) < 128 * MIB + 200 * MIB
    assert int(other.file("memory", "memory.usage_in_bytes",
                          "memory.current").read_text()) < 264 * MIB
    result = lodged.cli("exec", "other", "--", "echo", "here")
    assert result.stdout == "here\n", result.stderr


def test_a_guest_that_burns_its_disk(lodged, tmp_path):
    """Not more than it may, by any of its disks."""
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(256 * MIB)
    start(lodged, "a", memory=128 * MIB, engine=ENGINE, disk_bps=8 * MIB,
          disks=[{"path": str(disk)}])
    began = time.monotonic()
    result = lodged.cli("exec", "a", "--", "dd", "if=/dev/vda",
                        "of=/dev/null", "bs=1M", "count=24", "iflag=direct")
    taken = time.monotonic() - began
    assert result.returncode == 0, result.stderr
    print("disk", 24 / taken)
    # 24 MiB at 8 MiB a second, but for the burst at the begin.
    assert taken > 2.5
    # An own limit counts.
    assert lodged.say("a", "stop", {"force": True}).status == 200
    lodged.ask("PATCH", "/v1/vms/a", {"config": {
        "disks": [{"path": str(disk), "bps": 1 << 40}]}})
    assert lodged.say("a", "start").status == 200
    shown = lodged.cli("limit", "a")
    assert "1 TiB a second" in shown.stdout, shown.stderr


def test_a_guest_that_burns_its_network(lodged):
    """Not more than its card may; the one beside is done meanwhile."""
    start(lodged, "slow", memory=128 * MIB, engine=ENGINE,
          networks=[{"mode": "user", "bps-out": 1 * MIB}])
    start(lodged, "free", memory=128 * MIB, engine=ENGINE)
    ends, sizes = {}, {}

    def take(name, server):
        server.settimeout(60)
        with server.accept()[0] as sock:
            sizes[name] = 0
            while data := sock.recv(1 << 20):
                sizes[name] += len(data)
        ends[name] = time.monotonic()

    threads, senders = [], []
    began = time.monotonic()
    for name in ("slow", "free"):
        server = socket.create_server(("127.0.0.1", 0))
        threads.append(threading.Thread(target=take, args=(name, server)))
        threads[-1].start()
        senders.append(subprocess.Popen(
            [LODGE, "exec", name, "--", "sh", "-c",
             "until ip route | grep -q default; do sleep 0.1; done; "
             "dd if=/dev/zero bs=64k count=80 2>/dev/null | "
             f"nc 10.0.2.2 {server.getsockname()[1]}"],
            env=lodged.env, stdin=subprocess.DEVNULL))
    for thread, sender in zip(threads, senders):
        thread.join(120)
        sender.wait(120)
    assert sizes == {"slow": 5 * MIB, "free": 5 * MIB}
    print("network", {n: 5 / (t - began) for n, t in ends.items()})
    assert ends["slow"] - began > 4.5
    assert ends["free"] < ends["slow"]


# Loops, four of each, and a neighbour's work.
BURN = {"network": "dd if=/dev/zero bs=64k | nc 10.0.2.2 PORT",
        "disk": "dd if=/dev/vda of=/dev/null bs=64k iflag=direct",
        "memory": "dd if=/dev/zero of=/m/$i bs=64k"}
WORK = {"network": (1, "dd if=/dev/zero bs=64k count=16 | nc 10.0.2.2 PORT"),
        "disk": (8, "dd if=/dev/vda of=/dev/null bs=64k count=128 "
                     "iflag=direct")}
ADDRESS = "until ip route | grep -q default; do sleep 0.1; done; "


def drain(server):
    """Takes what comes, of any number, until the server is closed."""
    def take(sock):
        with sock, contextlib.suppress(OSError):
            while sock.recv(1 << 18):
                pass

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=take, args=server.accept()[:1],
                             daemon=True).start()


def test_what_burns_leaves_the_part_of_its_neighbour(lodged, tmp_path):
    """Network, disk and memory, by four loops of each beside one: of equal
    limits each has its own part, and pages stay with whom they are."""
    config = {"memory": 128 * MIB, "engine": ENGINE, "disk_bps": 4 * MIB,
              "memory_limit": 320 * MIB,
              "networks": [{"mode": "user", "bps-out": MIB // 2}]}
    for name in "burner", "neighbour":
        with (tmp_path / name).open("wb") as file:
            file.truncate(64 * MIB)
        start(lodged, name, **config, disks=[{"path": str(tmp_path / name)}])

    def say(name, command):
        done = lodged.cli("exec", name, "--", "sh", "-c", command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def figures():
        found = {}
        for name in "burner", "neighbour":
            told = lodged.ask("GET", f"/v1/vms/{name}/figures").json
            found[name] = {"disk": told["disks"][0]["read"]["bytes"],
                           "network": told["networks"][0]["sent"]["bytes"],
                           "memory": told["memory"]}
        return found

    say("neighbour", ADDRESS + "mkdir /m && mount -t tmpfs -o size=48m none "
        "/m && dd if=/dev/urandom of=/m/kept bs=1M count=40")
    kept = say("neighbour", "sha256sum /m/kept")
    say("burner", ADDRESS + "mkdir /m; mount -t tmpfs -o size=60m none /m")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        threading.Thread(target=drain, args=(server,), daemon=True).start()
        for what, (amount, work) in WORK.items():
            began = figures()["burner"][what]
            for kind in (what,) if what == "network" else (what, "memory"):
                loop = BURN[kind].replace("PORT", port)
                say("burner", f"for i in 1 2 3 4; do (while :; do {loop}; "
                    "done) & done </dev/null >/dev/null 2>&1")
            wait_for(lambda: figures()["burner"][what] > began + MIB // 4)
            before = figures()
            say("neighbour", work.replace("PORT", port))
            after = figures()
            own, other = (after[n][what] - before[n][what]
                          for n in ("neighbour", "burner"))
            print(what, own / MIB, other / MIB)
            assert own >= amount * MIB
            # Its loops would have many times as much without a limit.
            assert other < 2 * own
        server.close()
    assert say("neighbour", "sha256sum /m/kept") == kept
    found = figures()
    print("memory", {n: f["memory"] / MIB for n, f in found.items()})
    assert found["neighbour"]["memory"] > 40 * MIB
    assert found["burner"]["memory"] < 320 * MIB


# --- who is refused ----------------------------------------------------------------------

def test_admission(tmp_path, kernel):
    daemon = Daemon(tmp_path)
    config = tmp_path / "c" / "lodge" / "lodged.conf"
    config.parent.mkdir(parents=True)
    daemon.env["XDG_CONFIG_HOME"] = str(tmp_path / "c")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    half = total // 2 // MIB * MIB
    config.write_text("memory-overcommit = 0.8\ncpu-overcommit = none\n")
    try:
        assert daemon.start() == "ok"
        idle = kernel(tiny.HALT, "idle")
        daemon.make("big", **{**idle, "memory": half})
        daemon.make("more", **{**idle, "memory": half})
        daemon.make("small", **idle, cpus=64)
        assert daemon.say("big", "start").status == 200
        assert daemon.say("small", "start").status == 200
        refused = daemon.say("more", "start")
        assert refused.status == 409 and refused["code"] == "overcommitted"
        for words in ("more wants", "memory-overcommit 0.8", "big has most",
                      "lodge edit more --memory", str(config)):
            assert words in refused["detail"]
        assert daemon.state("more") == "stopped"
        dry = daemon.ask("POST", "/v1/vms/more/start?dry_run=true")
        assert dry["code"] == "overcommitted"
        assert daemon.say("big", "stop", {"force": True}).status == 200
        assert daemon.say("more", "start").status == 200
        daemon.end()
        config.write_text("memory-overcomit = 1\n")
        assert "line 1: memory-overcomit: there is no such" in daemon.start()
        daemon.gone()
        config.write_text("cpu-overcommit = 0.1\n")
        assert daemon.start() == "ok"
        daemon.wait_state("more", "running")
        refused = daemon.say("big", "start")
        assert "processors, but 65 processors of" in refused["detail"] or \
            "processor, but 65 processors of" in refused["detail"]
    finally:
        daemon.clear()


def test_a_limit_that_cannot_be_kept(tmp_path, kernel):
    """An ordinary user without groups: refused where one is asked for."""
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv")
    daemon = Daemon(tmp_path)
    config = kernel(tiny.HALT, "idle")
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 65534, 65534)
    tmp_path.chmod(0o755)
    for path in tmp_path.parents:
        if path.owner() == "root" and path.name.startswith("pytest-"):
            path.chmod(0o755)
    daemon.env["HOME"] = str(tmp_path)
    try:
        assert daemon.start("setpriv", "--reuid=65534", "--regid=65534",
                            "--clear-groups") == "ok"
        daemon.make("a", **config)
        assert daemon.say("a", "start").status == 200
        daemon.make("b", **config, cpu_shares=5)
        refused = daemon.say("b", "start")
        assert refused.status >= 400
        assert "config.cpu_shares and cpu_limit: lodged has no control group " \
            "with the controller cpu here" in refused["detail"]
        assert daemon.state("b") == "stopped"
    finally:
        daemon.clear()


def test_bad_processors(lodged, kernel):
    lodged.make("a", **kernel(tiny.HALT, "idle"), cpu_set="4000")
    refused = lodged.say("a", "start")
    assert "config.cpu_set 4000: this host has" in refused["detail"]
    assert not lodged.groups() or not any(
        list(g.glob("*/")) for g in lodged.groups())


# --- groups go ---------------------------------------------------------------------------

def runs_of(lodged):
    return {p.name for g in lodged.groups() for p in g.glob("*/")}


def test_groups_go(lodged, kernel):
    idle = kernel(tiny.HALT, "idle")
    group = start(lodged, "a", **idle)
    start(lodged, "b", **idle)
    assert len(runs_of(lodged)) == 2
    assert lodged.say("a", "stop", {"force": True}).status == 200
    wait_for(lambda: len(runs_of(lodged)) == 1)
    assert not os.path.exists(f"/proc/{group.pid}")
    # Those of machines that end while lodged is away.
    lodged.kill()
    os.kill(next(iter(lodged.processes())), signal.SIGKILL)
    wait_for(lambda: not lodged.processes())
    assert len(runs_of(lodged)) == 1
    assert lodged.start() == "ok"
    wait_for(lambda: not runs_of(lodged))
    # One that lives keeps its own, and is known again.
    assert lodged.say("a", "start").status == 200
    before = runs_of(lodged)
    lodged.kill()
    assert lodged.start() == "ok"
    lodged.wait_state("a", "running")
    assert runs_of(lodged) == before
    lodged.ask("PATCH", "/v1/vms/a", {"config": {"pids_limit": 777}})
    assert Group(lodged, "a").file(
        "pids", "pids.max", "pids.max").read_text() == "777\n"


def test_version_two(lodged, tmp_path):
    """The same code with the one hierarchy, on a guest's kernel."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is missing")
    sources = [SOURCE / "src/manage/limits" / f"cgroup{part}.c"
               for part in ("", "_find", "_limits")]
    subprocess.run(["gcc", "-static", "-O1", "-D_GNU_SOURCE", "-I",
                    SOURCE / "src", "-o", tmp_path / "checks",
                    SOURCE / "tests/system/cgroup_checks.c", *sources],
                   check=True)
    lodged.make("two", engine=ENGINE, memory=256 * MIB)
    assert lodged.say("two", "start").status == 200
    result = lodged.cli("cp", tmp_path / "checks", "two:/checks")
    assert result.returncode == 0, result.stderr
    result = lodged.cli("exec", "two", "--", "sh", "-c",
                        "mkdir -p /sys/fs/cgroup && mount -t cgroup2 none "
                        "/sys/fs/cgroup && /checks")
    assert result.returncode == 0, result.stdout + result.stderr
