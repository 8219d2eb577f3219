# SPDX-License-Identifier: Apache-2.0
"""A new user's way into a Debian: lodge ssh and others by its name, a web
server out of the mirror, its page fetched here; and what a kill leaves."""
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from conftest import ENGINE, LODGE, run

LIMIT = 600  # for a boot on a busy host
NAME = "way"


def until(condition, seconds=LIMIT):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


class Debian:
    """The machine, and commands about it."""

    def __init__(self, where):
        self.where = where
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.shared = pathlib.Path(where["env"]["HOME"]) / "shared"
        self.shared.mkdir()
        (self.shared / "file").write_text("of the host\n")
        self.child = None

    def start(self):
        self.child = subprocess.Popen(
            [LODGE, "run", "debian", "--name", NAME, "--engine", ENGINE,
             "--serial", "none", "--publish", f"127.0.0.1:{self.port}:80",
             "--share", f"{self.shared}:/srv/shared"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.where)
        until(lambda: self("status", NAME).returncode == 0 or
              self.child.poll() is not None)
        assert self.child.poll() is None

    def __call__(self, *args, timeout=LIMIT, **kwargs):
        return run(*args, timeout=timeout, **kwargs, **self.where)

    def ssh(self, *command, **kwargs):
        return self("ssh", "--timeout", LIMIT, NAME, "--", *command,
                    timeout=2 * LIMIT, **kwargs)

    def sh(self, script):
        """What it prints, as root."""
        result = self("exec", NAME, "--", "sh", "-c", script)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()


@pytest.fixture(scope="module")
def guest(debian, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ssh")
    folder.chmod(0o700)
    machine = Debian({"env": {**debian["env"], "HOME": str(folder),
                              "XDG_RUNTIME_DIR": str(folder)}})
    machine.folder = folder
    machine("image", "forget", NAME)
    machine.start()
    yield machine
    machine.child.kill()
    machine.child.wait()
    machine("image", "forget", NAME)


def said(result):
    """Errors, without what tells that a guest is waited for."""
    return [line for line in result.stderr.splitlines()
            if not line.startswith("lodge: waiting for ")]


def test_ssh_from_the_first_moment(guest):
    """It waits for the boot, asks nothing, and gives what ssh gives."""
    with open("/dev/null", encoding="utf-8") as nothing:
        result = guest.ssh("id -un; hostname; echo no >&2; exit 7",
                           stdin=nothing)
    assert result.returncode == 7, result.stderr
    assert result.stdout == f"lodge\n{NAME}\n"
    assert said(result) == ["no"]
    # The key came with the seed: once, and nothing else.
    assert guest.sh("wc -l <~lodge/.ssh/authorized_keys") == "1"
    result = guest.ssh("sudo", "id", "-u")
    assert (result.returncode, result.stdout) == (0, "0\n")


def test_another_account_gets_the_key(guest):
    result = guest("ssh", "--user", "root", NAME, "cat; whoami",
                   stdin=subprocess.DEVNULL)
    assert result.stdout == "root\n", result.stderr
    assert guest.sh("stat -c %a ~root/.ssh ~root/.ssh/authorized_keys"
                    ) == "700\n600"
    result = guest("ssh", "--user", "nobody-here", NAME, "true")
    assert result.returncode == 1
    assert "no user nobody-here" in result.stderr.splitlines()[-1]


def test_the_host_key_is_checked_and_follows(guest):
    known = guest.folder / "known"
    config = guest("ssh", "--config", NAME).stdout
    real = next(line.split()[1].strip('"') for line in config.splitlines()
                if "UserKnownHostsFile" in line)
    # With a proxy that does not learn it anew: a wrong one is refused.
    with open(real, encoding="utf-8") as old:
        keys = old.read()
    assert keys.startswith(f"{NAME} ")
    known.write_text(keys.replace("AAAAC3NzaC1lZDI1NTE5AAAAI",
                                  "AAAAC3NzaC1lZDI1NTE5AAAAJ"))
    strict = config.replace(real, str(known)).replace(" --ssh %r", "")
    settings = guest.folder / "settings"
    settings.write_text(strict + "\tHostKeyAlgorithms ssh-ed25519\n")
    words = ["ssh", "-F", settings, f"{NAME}.lodge", "echo", "in"]
    wrong = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT,
                           check=False, **guest.where)
    assert wrong.returncode == 255
    assert "Host key verification failed" in wrong.stderr
    assert wrong.stdout == ""
    # The guest has new keys: the agent tells them.
    guest.sh("cd /etc/ssh && rm ssh_host_ed25519_key* && ssh-keygen -q -t "
             "ed25519 -N '' -f ssh_host_ed25519_key && systemctl restart ssh")
    result = guest.ssh("echo in")
    assert result.stdout == "in\n", result.stderr
    with open(real, encoding="utf-8") as new:
        assert new.read() != keys


def test_other_programs_by_the_settings(guest):
    settings = guest.folder / "config"
    settings.write_text(guest("ssh", "--config", NAME).stdout)
    data = guest.folder / "data"
    data.write_bytes(os.urandom(300000))
    subprocess.run(["scp", "-q", "-F", settings, data, f"{NAME}.lodge:there"],
                   check=True, timeout=LIMIT, **guest.where)
    back = guest.folder / "back"
    assert guest("cp", f"{NAME}:/home/lodge/there", back).returncode == 0
    assert back.read_bytes() == data.read_bytes()


def test_a_web_server_from_the_mirror(guest):
    result = guest("exec", NAME, "--", "sh", "-c",
                   "apt-get -q update && DEBIAN_FRONTEND=noninteractive "
                   "apt-get -q -y install --no-install-recommends lighttpd")
    assert result.returncode == 0, result.stdout + result.stderr
    page = guest.folder / "page"
    page.write_text("from the guest\n")
    assert guest("cp", page, f"{NAME}:/var/www/html/").returncode == 0
    # It runs: nothing is left of how the image was made.
    assert guest.sh("systemctl is-active lighttpd") == "active"
    with urllib.request.urlopen(f"http://127.0.0.1:{guest.port}/page",
                                timeout=LIMIT) as answer:
        assert answer.read() == b"from the guest\n"


def test_a_share_from_the_boot_on(guest):
    """Udev loads the driver; whose files they are, root's server keeps."""
    result = guest.ssh("cat /srv/shared/file; findmnt -no FSTYPE /srv/shared; "
                       "sudo install -d -o lodge /srv/shared/mine && "
                       "echo y >/srv/shared/mine/y")
    assert result.stdout == "of the host\nvirtiofs\n", result.stderr
    assert (guest.shared / "mine/y").read_text() == "y\n"


def test_what_is_told(guest):
    status = guest("status", NAME).stdout
    assert "\naccount    lodge\n" in status
    until(lambda: " 10.0.2.15/24" in guest("status", NAME).stdout)


def children(pid):
    out = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)],
                         capture_output=True, text=True, check=False).stdout
    return [(int(line.split()[0]), line) for line in out.splitlines()]


@pytest.mark.parametrize("victim", ["ssh", "proxy"])
def test_killed_on_the_way(guest, victim):
    """Whoever of them dies, the other ends, and the guest's end as well."""
    child = subprocess.Popen(
        [LODGE, "ssh", "--timeout", str(LIMIT), NAME, "--",
         "echo here; exec sleep 98765"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **guest.where)
    assert child.stdout.readline() == b"here\n"
    proxy = [pid for pid, line in children(child.pid) if " proxy " in line]
    assert len(proxy) == 1
    os.kill(child.pid if victim == "ssh" else proxy[0], signal.SIGKILL)
    assert child.wait(LIMIT) == (-9 if victim == "ssh" else 255)
    until(lambda: not os.path.exists(f"/proc/{proxy[0]}"))
    child.stdout.close()
    until(lambda: guest("exec", NAME, "--", "pgrep", "-f", "^sshd: lodge"
                        ).returncode == 1)


def test_a_killed_machine(guest):
    """Who is in it is told, and nothing of it is left but its disk."""
    words = [["ssh", NAME, "--", "echo here; exec sleep 98765"],
             ["exec", NAME, "--", "sh", "-c", "echo here; sleep 98765"]]
    inside = [subprocess.Popen([LODGE, *w], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, **guest.where)
              for w in words]
    for child in inside:
        assert child.stdout.readline() == b"here\n"
    guest.child.kill()
    guest.child.wait()
    assert [child.wait(LIMIT) for child in inside] == [255, 125]
    for child in inside:
        child.stdout.close()
    assert NAME not in guest("list").stdout
    assert os.listdir(guest.folder / "lodge") == []
    until(lambda: subprocess.run(["pgrep", "-f", f"lodge-share.*{guest.shared}"
                                  ], check=False).returncode == 1)
    assert guest("image", "forget", NAME).returncode == 0
