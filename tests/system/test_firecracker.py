# SPDX-License-Identifier: Apache-2.0
"""The Firecracker API at a Unix socket, by curl as its documentation uses it,
with a real guest; and clients that are wrong."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pexpect
import pytest

import tiny
from conftest import BUILD, LODGE, run

PROGRAM = BUILD / "lodge-firecracker"
LIMIT = 120

pytestmark = pytest.mark.skipif(not shutil.which("curl"),
                                reason="curl is missing")


def wait_for(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Api:
    """A lodge firecracker that listens, and curl."""
    def __init__(self, folder, *args, words=("firecracker",), **kwargs):
        self.path = folder / "fc.sock"
        self.name = f"fc-{os.getpid()}-{folder.name[-20:]}"
        self.child = pexpect.spawn(
            str(LODGE), [*words, "--api-sock", str(self.path), *args],
            timeout=LIMIT, encoding="utf-8", codec_errors="replace",
            dimensions=(24, 200), **kwargs)
        self.child.delaybeforesend = None
        wait_for(lambda: self.path.exists() or not self.child.isalive())
        assert self.path.exists(), self.child.read()

    def curl(self, method, path, body=None):
        """Status and body, None when there is none."""
        text = subprocess.run(
            ["curl", "-s", "-X", method, "--unix-socket", self.path,
             "-w", "\n%{http_code}", f"http://localhost{path}",
             "-H", "Accept: application/json",
             "-H", "Content-Type: application/json",
             *([] if body is None else ["-d", json.dumps(body)])],
            capture_output=True, text=True, timeout=LIMIT,
            check=True).stdout
        body, status = text.rsplit("\n", 1)
        return int(status), json.loads(body) if body else None

    def does(self, method, path, body=None):
        assert self.curl(method, path, body) == (204, None)

    def get(self, path):
        status, body = self.curl("GET", path)
        assert status == 200, body
        return body

    def refused(self, method, path, body, words):
        status, answer = self.curl(method, path, body)
        assert status == 400 and list(answer) == ["fault_message"]
        assert words in answer["fault_message"]

    def say(self, command, pattern):
        """A command at the guest's prompt, which was read."""
        self.child.sendline(command)
        self.child.expect(pattern)
        found = self.child.match.group(1) if self.child.match.groups() \
            else None
        self.child.expect("# ")
        return found

    def ended(self):
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus

    def close(self):
        if self.child.isalive():
            self.child.kill(signal.SIGTERM)
            self.child.expect(pexpect.EOF)
        self.child.close()


@pytest.fixture
def api(tmp_path):
    with contextlib.closing(Api(tmp_path, "--id", f"fc-{os.getpid()}")) as api:
        yield api


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "idle.elf"
    path.write_bytes(tiny.kernel(tiny.HALT))
    return str(path)


@pytest.fixture
def tap():
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("taps are root's")
    name = f"fct{os.getpid() % 100000}"
    subprocess.run(["ip", "tuntap", "add", name, "mode", "tap"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", "172.31.251.1/30", "dev", name],
                       check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)


def guest_files():
    folder = BUILD / "guest" / "default"
    if not (folder / "vmlinux").exists():
        pytest.skip(f"no default guest in {folder}: make guest")
    return str(folder / "vmlinux"), str(folder / "initrd")


# --- the sequence ------------------------------------------------------------------

def test_the_documented_sequence(api, tap, tmp_path):
    """Logger, kernel, root drive, card, start; then the running guest."""
    kernel, initrd = guest_files()
    log, rootfs = tmp_path / "fc.log", tmp_path / "rootfs.ext4"
    rootfs.write_bytes(b"a root".ljust(1 << 20, b"\0"))
    log.touch()
    assert api.get("/")["state"] == "Not started"
    api.does("PUT", "/logger", {"log_path": str(log), "level": "Debug",
                                "show_level": True, "show_log_origin": True})
    api.does("PUT", "/boot-source", {
        "kernel_image_path": kernel, "initrd_path": initrd,
        "boot_args": "console=ttyS0 reboot=k panic=1 pci=off"})
    api.does("PUT", "/drives/rootfs", {
        "drive_id": "rootfs", "path_on_host": str(rootfs),
        "is_root_device": True, "is_read_only": False})
    api.does("PUT", "/network-interfaces/net1", {
        "iface_id": "net1", "guest_mac": "06:00:AC:10:00:02",
        "host_dev_name": tap})
    api.does("PUT", "/machine-config", {"vcpu_count": 2, "mem_size_mib": 192})
    api.does("PUT", "/vsock", {"guest_cid": 3,
                               "uds_path": str(tmp_path / "v.sock")})
    api.does("PUT", "/balloon", {"amount_mib": 0, "deflate_on_oom": False,
                                 "stats_polling_interval_s": 1})
    api.does("PUT", "/metrics", {"metrics_path": str(tmp_path / "metrics")})
    api.does("PUT", "/actions", {"action_type": "InstanceStart"})
    api.child.expect("on lodge: 1[0-9]+ MiB of memory, 2 CPUs")
    api.child.expect("# ")
    assert api.get("/") == {
        "app_name": "Firecracker", "id": f"fc-{os.getpid()}",
        "state": "Running", "vmm_version": "1.13.0"}
    assert api.say("cat /proc/cmdline", r"\n(console=[^\r]*)\r") == \
        "console=ttyS0 reboot=k panic=1 i8042.nopnp root=/dev/vda rw"
    assert api.say("echo : $(head -c 6 /dev/vda)", r"\n: ([^\r]*)\r") == \
        "a root"
    # The guest asks for an address as well, and takes ours away for that.
    api.say("until ifconfig eth0 172.31.251.2 netmask 255.255.255.252 && "
            "ping -c 1 -W 5 172.31.251.1; do sleep 0.1; done "
            ">/dev/null 2>&1; echo up=$?", r"\nup=(\d)")
    assert api.say("cat /sys/class/net/eth0/address",
                   r"\n([0-9a-f:]{17})\r") == "06:00:ac:10:00:02"
    check_running(api, rootfs)
    api.does("PUT", "/actions", {"action_type": "FlushMetrics"})
    line = (tmp_path / "metrics").read_text().splitlines()[-1]
    assert json.loads(line)["api_server"]["requests"] > 10
    # Sockets, as Firecracker has them: to nobody there.
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(tmp_path / "v.sock"))
        sock.sendall(b"CONNECT 12345\n")
        assert sock.recv(10) == b""
    # Its init's answer to these keys is a restart, which ends the machine.
    api.does("PUT", "/actions", {"action_type": "SendCtrlAltDel"})
    assert api.ended() == 0
    assert not api.path.exists()


def check_running(api, rootfs):
    api.does("PATCH", "/vm", {"state": "Paused"})
    assert api.get("/")["state"] == "Paused"
    api.does("PATCH", "/vm", {"state": "Resumed"})
    assert api.say("echo again=$((6 * 7))", r"\nagain=(\d+)") == "42"
    api.does("PATCH", "/balloon", {"amount_mib": 40})
    wait_for(lambda: api.get("/balloon/statistics")["actual_mib"] == 40)
    stats = api.get("/balloon/statistics")
    assert stats["target_pages"] == 40 * 256
    assert stats["total_memory"] < 192 << 20 and stats["free_memory"] > 0
    bucket = {"bandwidth": {"size": 1 << 30, "refill_time": 1000}}
    api.does("PATCH", "/drives/rootfs", {"drive_id": "rootfs",
                                         "rate_limiter": bucket})
    api.does("PATCH", "/network-interfaces/net1",
             {"iface_id": "net1", "rx_rate_limiter": bucket,
              "tx_rate_limiter": bucket})
    shown = run("limit", f"fc-{os.getpid()}")
    assert "1 GiB a second" in shown.stdout, shown.stderr
    config = api.get("/vm/config")
    assert config["drives"][0]["rate_limiter"] == bucket
    assert config["machine-config"]["mem_size_mib"] == 192
    assert config["boot-source"]["boot_args"].endswith("pci=off")
    api.refused("PUT", "/machine-config", {"vcpu_count": 1,
                                           "mem_size_mib": 128}, "after")
    api.refused("PATCH", "/drives/rootfs", {
        "drive_id": "rootfs", "path_on_host": "/dev/zero"}, "lodge attach")
    api.refused("PUT", "/snapshot/create", {
        "snapshot_path": "x", "mem_file_path": "y"}, "does not have that")
    assert rootfs.exists()


INITTAB = """\
::sysinit:/bin/mount -t proc proc /proc
::sysinit:/bin/grep -w / /proc/mounts
ttyS0::respawn:-/bin/sh
::ctrlaltdel:/bin/reboot
"""


def make_root(folder):
    """An ext4 file system with a shell and an init."""
    busybox, mke2fs = shutil.which("busybox"), shutil.which(
        "mke2fs", path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
    if not busybox or not mke2fs:
        pytest.skip("busybox or mke2fs is missing")
    top = folder / "root"
    for name in ("bin", "sbin", "etc", "dev", "proc", "sys", "root"):
        (top / name).mkdir(parents=True)
    shutil.copy(busybox, top / "bin" / "busybox")
    for name in ("sh", "mount", "grep", "reboot", "sync", "cat"):
        (top / "bin" / name).symlink_to("busybox")
    (top / "sbin" / "init").symlink_to("../bin/busybox")
    (top / "etc" / "inittab").write_text(INITTAB)
    image = folder / "rootfs.ext4"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run([mke2fs, "-q", "-t", "ext4", "-d", top, "-F", image],
                   check=True)
    return image


# What a client of the documentation types, with its files' names.
SEQUENCE = r"""
set -e
api() { curl -sS --fail-with-body -X PUT --unix-socket "$1" --data "$3" \
    "http://localhost/$2"; }
api "$1" logger '{"log_path": "firecracker.log", "level": "Debug",
    "show_level": true, "show_log_origin": true}'
api "$1" boot-source "{\"kernel_image_path\": \"$2\",
    \"boot_args\": \"console=ttyS0 reboot=k panic=1 pci=off\"}"
api "$1" drives/rootfs '{"drive_id": "rootfs",
    "path_on_host": "./rootfs.ext4", "is_root_device": true,
    "is_read_only": false}'
api "$1" actions '{"action_type": "InstanceStart"}'
"""


def test_a_root_file_system(tmp_path):
    """A kernel and an ext4 file system are enough, by files in the folder
    where the program was started."""
    kernel, _ = guest_files()
    image = make_root(tmp_path)
    with contextlib.closing(Api(tmp_path, cwd=str(tmp_path))) as api:
        done = subprocess.run(["bash", "-c", SEQUENCE, "sequence",
                               api.path, kernel], cwd=tmp_path,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0 and not done.stdout, done
        api.child.expect("/dev/vda / ext4 rw")
        api.child.expect("# ")
        api.say("echo kept >/root/kept; sync; echo said=$?", r"\nsaid=(0)")
        api.does("PATCH", "/vm", {"state": "Paused"})
        api.does("PATCH", "/vm", {"state": "Resumed"})
        api.does("PUT", "/actions", {"action_type": "SendCtrlAltDel"})
        assert api.ended() == 0
    assert (tmp_path / "firecracker.log").exists()
    # It wrote into the file system, which is whole.
    debugfs = shutil.which("debugfs", path="/sbin:/usr/sbin")
    shown = subprocess.run([debugfs, "-R", "cat /root/kept", image],
                           capture_output=True, text=True, check=False)
    assert shown.stdout == "kept\n", shown.stderr


def test_a_configuration_file(tmp_path):
    kernel, initrd = guest_files()
    config = tmp_path / "vm.json"
    config.write_text(json.dumps({
        "boot-source": {"kernel_image_path": kernel, "initrd_path": initrd,
                        "boot_args": "console=ttyS0 reboot=k pci=off"},
        "drives": [], "network-interfaces": [],
        "machine-config": {"vcpu_count": 1, "mem_size_mib": 160}}))
    child = pexpect.spawn(str(PROGRAM), ["--no-api", "--config-file",
                                         str(config)], timeout=LIMIT,
                          encoding="utf-8", codec_errors="replace")
    child.delaybeforesend = None
    child.expect("# ")
    child.sendline("poweroff")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    config.write_text('{"drives": [{"drive_id": "a"}]}')
    result = run("firecracker", "--no-api", "--config-file", config)
    assert result.returncode == 1
    assert "drives: missing field is_root_device" in result.stderr
    config.write_text('{"drives":\n [}')
    result = run("firecracker", "--no-api", "--config-file", config)
    assert f"{config}, line 2" in result.stderr


# --- what goes wrong ----------------------------------------------------------------

def test_a_start_that_fails(api, kernel, tmp_path):
    """The reason is told, the program goes on, the next start works."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    api.refused("PUT", "/actions", {"action_type": "InstanceStart"},
                "PUT /boot-source first")
    api.does("PUT", "/boot-source", {"kernel_image_path": kernel})
    api.does("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 16})
    api.does("PUT", "/drives/a", {"drive_id": "a", "is_root_device": False,
                                  "path_on_host": "/dev/tty"})
    api.refused("PUT", "/actions", {"action_type": "InstanceStart"},
                "the machine did not start: disk /dev/tty")
    assert api.get("/")["state"] == "Not started"
    api.does("PUT", "/drives/a", {"drive_id": "a", "is_root_device": False,
                                  "is_read_only": True,
                                  "path_on_host": str(disk)})
    api.does("PUT", "/actions", {"action_type": "InstanceStart"})
    assert api.get("/")["state"] == "Running"
    api.refused("PUT", "/actions", {"action_type": "InstanceStart"},
                "started already")


REQUESTS = [
    (b"x\r\n\r\n", 400),
    (b"GET / HTTP/3.0\r\n\r\n", 505),
    (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
    (b"PUT / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
    (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
    (b"GET /" + b"a" * 9000, 431),
    (b"GET /\xff\xfe HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    (b"PUT /boot-source HTTP/1.1\r\nContent-Length: 2\r\n"
     b"Connection: close\r\n\r\n{]", 400),
]


def read_all(sock):
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return data


def test_wrong_clients(api):
    """Each hears what is wrong; others are served meanwhile and after."""
    def connect():
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(LIMIT)
        sock.connect(str(api.path))
        return sock

    with connect() as hangs, connect() as half:
        hangs.sendall(b"PUT /boot-source HTTP/1.1\r\nContent-")
        half.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        half.shutdown(socket.SHUT_WR)
        assert b"200 OK" in read_all(half)
        for request, status in REQUESTS:
            with connect() as sock:
                sock.sendall(request)
                answer = read_all(sock)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status), request
            assert json.loads(body)["fault_message"]
        # Two at once, in one piece.
        with connect() as sock:
            sock.sendall(b"GET /version HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n"
                         b"Connection: close\r\n\r\n")
            text = read_all(sock)
        assert text.count(b"HTTP/1.1 200 OK") == 2
        # More than it serves at once: the rest is closed.
        many = [connect() for _ in range(40)]
        for sock in many:
            sock.close()
        wait_for(lambda: api.curl("GET", "/")[0] == 200)
        hangs.sendall(b"Length: 2\r\nConnection: close\r\n\r\n{}")
        assert b"missing field kernel_image_path" in read_all(hangs)


def test_a_large_body(tmp_path, kernel):
    """Curl asks first, and waits, before it sends one."""
    with contextlib.closing(Api(tmp_path)) as api:
        api.refused("PUT", "/boot-source", {
            "kernel_image_path": kernel, "boot_args": "a" * 40000},
            "boot_args: give a text of 0 to 2000")
        status, answer = api.curl("PUT", "/boot-source", {
            "kernel_image_path": kernel, "boot_args": "a" * 60000})
        assert status == 413 and answer["fault_message"]


# --- its end -----------------------------------------------------------------------

def machine_of(api):
    """The machine's process: the child of ours."""
    path = pathlib.Path(f"/proc/{api.child.pid}/task/{api.child.pid}/children")
    children = path.read_text().split() if path.exists() else re.findall(
        r"\d+", run_ps(api.child.pid))
    return int(children[0])


def run_ps(pid):
    return subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)],
                          capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_end_is_the_machine_s(tmp_path, kernel, number):
    words = ("run", "--name", f"fc-run-{os.getpid()}")
    with contextlib.closing(Api(tmp_path, words=words)) as api:
        api.does("PUT", "/boot-source", {"kernel_image_path": kernel})
        api.does("PUT", "/machine-config", {"vcpu_count": 1,
                                            "mem_size_mib": 16})
        api.does("PUT", "/actions", {"action_type": "InstanceStart"})
        assert api.get("/")["id"] == f"fc-run-{os.getpid()}"
        machine = machine_of(api)
        assert pathlib.Path(f"/proc/{machine}/comm").read_text() == \
            "lodge-vm\n"
        api.child.kill(number)
        wait_for(lambda: not os.path.exists(f"/proc/{machine}"))
        if number == signal.SIGTERM:
            assert api.ended() == 0
            assert not api.path.exists()


def test_the_machine_is_killed(api, kernel):
    api.does("PUT", "/boot-source", {"kernel_image_path": kernel})
    api.does("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 16})
    api.does("PUT", "/actions", {"action_type": "InstanceStart"})
    os.kill(machine_of(api), signal.SIGKILL)
    assert api.ended() == 128 + signal.SIGKILL


def test_wrong_words():
    for args, words in (
            (["firecracker", "--id", "a/b"], "--id: give 1 to 63"),
            (["firecracker", "--no-api"], "--config-file"),
            (["firecracker", "--http-api-max-payload-size", "0"],
             "1 to 1048576"),
            (["run", "--api-sock", "/tmp/x", "--cpus", "2"],
             "--api-sock: clients at that socket describe")):
        result = run(*args)
        assert result.returncode == 2 and words in result.stderr
    assert run("firecracker", "--api-sock", "/no/such/s").returncode == 1
