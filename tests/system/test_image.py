# SPDX-License-Identifier: Apache-2.0
"""Images: made, kept, listed, and a real Debian that boots from one."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from conftest import BUILD, ENGINE, LODGE, kill, run, spawn, status_of, store
from daemon import wait_for


def info(where, name="debian"):
    result = run("image", "info", name, "--json", **where)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


# --- the image ---------------------------------------------------------------

def test_the_image_is_described(debian):
    image = info(debian)
    assert image["system"].startswith("Debian GNU/Linux")
    assert image["size"] == 10 << 30
    assert image["allocated"] < 2 << 30
    assert image["append"].startswith("root=")
    listed = json.loads(run("image", "list", "--json", **debian).stdout)
    assert image in listed
    assert sorted(os.listdir(image["folder"])) == [
        "disk.raw", "image.json", "initrd", "kernel"]


class Machine:
    """A machine of Debian, at its serial console."""

    def __init__(self, where, *args, image="debian"):
        self.child = spawn("run", image, "--engine", ENGINE, *args,
                           timeout=900, **where)
        self.child.expect(r"log in as (\S+) with the password (\S+)\r+\n")
        self.user, self.password = self.child.match.groups()

    def log_in(self, host):
        """By the password that lodge told. Login throws away what was typed
        before it is ready for the password, a moment after it has asked."""
        asked, prompt = f"{host} login: ", f"{self.user}@{host}:~$ "
        self.child.expect_exact(asked)
        for _ in range(5):
            self.child.sendline(self.user)
            self.child.expect_exact("Password: ")
            self.child.sendline(self.password)
            if not self.child.expect_exact([prompt, asked]):
                break
        # No prompt and no echo; what cloud-init still tells comes between.
        self.child.sendline("stty -echo; set +o emacs; PS1=; echo re''ady")
        self.child.expect(r"ready\r+\n")
        self("cloud-init status --wait >/dev/null; sudo dmesg -n 1")

    def __call__(self, command):
        """What it prints."""
        self.child.sendline(f"{command}; echo =$?=")
        self.child.expect(r"=(\d+)=\r+\n")
        assert self.child.match[1] == "0", self.child.before
        return self.child.before.replace("\r", "").strip()

    def power_off(self):
        self.child.sendline("sudo poweroff")
        assert status_of(self.child, timeout=900) == 0

    def kill(self):
        """As a loss of power: what was synced is there."""
        self("sync")
        kill(self.child)


def test_debian_by_kernel_uefi_and_bios(debian, tmp_path):
    """One machine, three ways to boot it; a file that survives a kill, and
    last a first boot that is cloud-init's, without an agent in the image."""
    where = {"env": {**debian["env"], "XDG_RUNTIME_DIR": str(tmp_path)}}
    name = ["--name", "box"]
    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE test@host\n")
    run("image", "forget", "box", **where)

    m = Machine(where, *name, "--ssh-key", key, "--disk-size", "12G")
    assert m.user == "lodge"
    m.log_in("box")
    assert m("hostname") == "box"
    keys = m("cat .ssh/authorized_keys").splitlines()
    assert key.read_text().strip() in keys and len(keys) == 2  # and lodge ssh's
    assert m("sudo id -u") == "0"
    assert "12G" in m("lsblk -dno SIZE /dev/vda")
    # The root file system has grown with it.
    assert int(m("df --output=size -BM / | tail -1")[:-1]) > 11 << 10
    random = m("head -c 3000000 /dev/urandom | tee big | sha256sum")
    m.kill()

    m = Machine(where, *name, "--firmware", "uefi")
    m.log_in("box")
    assert m("sha256sum <big") == random
    assert m("test -d /sys/firmware/efi && echo uefi") == "uefi"
    # What an upgrade of the kernel or of GRUB does.
    m("sudo update-grub 2>&1")
    m("sudo dpkg-reconfigure grub-cloud-amd64 2>&1; "
      "sudo grub-install --target=i386-pc /dev/vda 2>&1")
    agent = "/usr/local/sbin/lodge-agent"
    if not (BUILD / "lodge-agent").exists():
        agent = None
    else:
        m("sudo systemctl -q disable lodge-agent; sudo rm "
          f"{agent} /etc/systemd/system/lodge-agent.service")
    m.kill()

    data = tmp_path / "user-data"
    data.write_text("#cloud-config\nwrite_files:\n"
                    "- {path: /root/told, content: by user-data}\n"
                    "runcmd: [cp /root/told /root/ran]\n")
    m = Machine(where, *name, "--firmware", "bios", "--cloud-init", data)
    m.log_in("box")
    assert m("sha256sum <big") == random
    assert m("sudo cat /root/ran") == "by user-data"
    if agent:
        # The seed has brought one, as for images of others.
        result = run("exec", "box", "--", "sh", "-c",
                     f"cat {agent} | sha256sum; systemctl is-enabled "
                     "lodge-agent", timeout=900, **where)
        assert result.returncode == 0, result.stderr
        program = (BUILD / "lodge-agent").read_bytes()
        assert result.stdout.split() == [hashlib.sha256(program).hexdigest(),
                                         "-", "enabled"]
        assert m("ls -d /run/lodge-seed 2>/dev/null || echo gone") == "gone"
    m.power_off()
    assert run("image", "forget", "box", **where).returncode == 0


# --- the store ---------------------------------------------------------------

@pytest.fixture
def empty(tmp_path):
    return store(tmp_path)


def refused(result, status, *words):
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


def test_an_empty_store(empty):
    assert run("image", "list", **empty).stdout == ""
    assert json.loads(run("image", "list", "--json", **empty).stdout) == []
    assert json.loads(run("image", "prune", "--json", **empty).stdout) == {
        "folders": 0, "bytes": 0}


@pytest.mark.parametrize("args,status,words", [
    (["image"], 2, ["lodge help image"]),
    (["image", "bild"], 2, ["did you mean build?"]),
    (["image", "build"], 2, ["what to build (debian) is missing"]),
    (["image", "build", "plan9"], 2, ["plan9", "debian"]),
    (["image", "build", "debian", "--size", "1G"], 2, ["2G to 16T"]),
    (["image", "build", "debian", "--suite", "a b"], 2, ["bookworm"]),
    (["image", "build", "debian", "--name", "../x"], 2, ["--name ../x"]),
    (["image", "info"], 2, ["an image's name is missing"]),
    (["image", "info", "x"], 1, ["no image x", "lodge image build"]),
    (["image", "remove", "x"], 1, ["no image x"]),
    (["image", "list", "x"], 2, ["unexpected argument \"x\""]),
])
def test_bad_input(empty, args, status, words):
    refused(run(*args, **empty), status, *words)


def test_no_place_for_a_store():
    if os.geteuid():  # root's are the host's
        refused(run("image", "list", env={"XDG_DATA_HOME": "x"}), 1,
                "XDG_DATA_HOME", "HOME")
    refused(run("image", "list", env={"XDG_DATA_HOME": "/proc/x"}), 1,
            "/proc/x")


def test_a_likeness_is_suggested(debian):
    refused(run("image", "info", "debain", **debian), 1,
            "did you mean debian?")


def test_an_image_is_not_made_twice(debian):
    refused(run("image", "build", "debian", **debian), 1, "--replace")


def recipe_of(pid):
    """The process of a build's recipe, when it is that."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    for _ in range(1000):
        for child in children.read_text().split():
            if b"build.sh" in pathlib.Path(f"/proc/{child}/cmdline"
                                           ).read_bytes():
                return child
        time.sleep(0.01)
    raise AssertionError("no recipe runs")


def test_a_build_inherits_nothing(empty):
    """Of the descriptors that were open before it: APT's hooks fail where
    theirs have numbers above 9."""
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(8)]
    child = subprocess.Popen([LODGE, "image", "build", "debian"],
                             pass_fds=opened,
                             env=empty["env"])
    try:
        recipe = recipe_of(child.pid)
        held = {fd: os.readlink(f"/proc/{recipe}/fd/{fd}")
                for fd in os.listdir(f"/proc/{recipe}/fd")}
    finally:
        child.terminate()
        child.wait()
        for fd in opened:
            os.close(fd)
    assert "/dev/null" not in [held[fd] for fd in held if int(fd) > 2]


def test_a_failed_build_leaves_nothing(empty, tmp_path):
    result = run("image", "build", "debian", "--suite", "nosuchsuite",
                 timeout=300, **empty)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("image: cannot install Debian: ")
    assert os.listdir(tmp_path / "lodge" / "images") == []


HOLDS_ON = """#!/bin/sh
trap '' TERM INT
mkdir "$TMPDIR/root" && mount --bind {precious} "$TMPDIR/root" || exit 1
sleep {sleep} &
touch {begun}
wait
sleep {sleep}
"""


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_a_build_that_is_killed(empty, tmp_path, signal_name):
    """Nothing of it goes on, and who clears up after it stays out of what it had
    mounted: as root mmdebstrap mounts /proc and /sys."""
    precious, begun, temporary, tools = (
        tmp_path / name for name in ("precious", "begun", "tmp", "bin"))
    for folder in precious, temporary, tools:
        folder.mkdir()
    (precious / "file").write_text("here")
    fake = tools / "mmdebstrap"
    sleep = f"5831.{os.getpid()}"
    fake.write_text(HOLDS_ON.format(precious=precious, begun=begun,
                                    sleep=sleep))
    fake.chmod(0o755)
    if os.geteuid() or subprocess.run(
            ["unshare", "--mount", "mount", "--bind", precious, temporary],
            check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted")
    env = {**empty["env"], "TMPDIR": str(temporary),
           "PATH": f"{tools}:{os.environ['PATH']}"}
    with subprocess.Popen([LODGE, "image", "build", "debian"], env=env,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as build:
        wait_for(begun.exists)
        build.send_signal(getattr(signal, signal_name))
        assert build.wait(timeout=60)
    wait_for(lambda: not list(temporary.iterdir()))
    assert (precious / "file").read_text() == "here"
    assert str(temporary) not in pathlib.Path("/proc/mounts").read_text()
    wait_for(lambda: subprocess.run(["pgrep", "-fx", f"sleep {sleep}"], check=False,
                                    capture_output=True).returncode)
    run("image", "prune", **empty)
    assert os.listdir(tmp_path / "lodge" / "images") == []
