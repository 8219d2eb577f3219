# SPDX-License-Identifier: Apache-2.0
"""The Debian packages in a Debian: installed, the host's daemon by systemd,
machines that outlive it and end with the host, removed."""
import os
import re
import shutil
import subprocess
import time

import pytest

import tiny
from conftest import BUILD, ENGINE, LODGE, SOURCE, run

LIMIT = 900  # for a guest in a guest on a busy host
NAME = "packages"
GUEST = BUILD / "guest" / "default"

pytestmark = pytest.mark.skipif(
    not shutil.which("dh") or not GUEST.exists(),
    reason="debhelper or the default guest is missing")


def until(condition, seconds=LIMIT):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


class Host:
    """A Debian that is to be a host."""

    def __init__(self, where):
        self.where = where
        self.child = subprocess.Popen(
            [LODGE, "run", "debian", "--name", NAME, "--engine", ENGINE,
             "--memory", "1G", "--ephemeral", "--serial", "none"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **where)
        until(lambda: self.try_sh("true").returncode == 0 or
              self.child.poll() is not None)
        assert self.child.poll() is None

    def try_sh(self, script):
        return run("exec", NAME, "--", "sh", "-c", script, timeout=LIMIT,
                   **self.where)

    def sh(self, script):
        """What it prints, as root."""
        result = self.try_sh(script)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.strip()

    def copy(self, *files):
        for file in files:
            result = run("cp", file, f"{NAME}:/root/", timeout=LIMIT,
                         **self.where)
            assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deb")
    made = subprocess.run([SOURCE / "scripts" / "deb.sh", folder, GUEST],
                          capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return {path.name.split("_")[0]: path for path in folder.glob("*.deb")}


@pytest.fixture(scope="module")
def host(debian, packages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    folder.chmod(0o700)
    host = Host({"env": {**debian["env"], "HOME": str(folder),
                         "XDG_RUNTIME_DIR": str(folder)}})
    wanted = [packages[name] for name in ("lodge", "lodged", "lodge-guest")]
    host.copy(*wanted)
    host.before = host.sh("apt-get -q update >/dev/null; dpkg -l")
    host.sh("cd /root && DEBIAN_FRONTEND=noninteractive apt-get -q -y install "
            "--no-install-recommends " +
            " ".join(f"./{path.name}" for path in wanted))
    yield host
    host.child.kill()
    host.child.wait()


def test_all_of_them(packages):
    assert sorted(packages) == ["lodge", "lodge-doc", "lodge-guest",
                                "lodge-rbd", "lodged"]
    version = run("version").stdout.split()[1]
    for path in packages.values():
        field = subprocess.run(["dpkg-deb", "-f", path, "Version"],
                               capture_output=True, text=True, check=True)
        assert version.startswith(field.stdout.strip())


def test_same_archive_each_time(tmp_path):
    if not (SOURCE / ".git").exists():
        pytest.skip("no git repository")
    made = []
    for name, mask, zone in (("a", 0o077, "UTC"), ("b", 0o002, "Asia/Tokyo")):
        subprocess.run([SOURCE / "scripts" / "dist.sh", tmp_path / name],
                       check=True, capture_output=True, umask=mask,
                       env={**os.environ, "TZ": zone})
        archive, = (tmp_path / name).glob("*.tar.xz")
        made.append(archive.read_bytes())
    assert made[0] == made[1]
    names = subprocess.run(["tar", "-tJf", archive], capture_output=True,
                           text=True, check=True).stdout.splitlines()
    top = archive.name.removesuffix(".tar.xz")
    assert all(name.startswith(top + "/") for name in names)
    assert f"{top}/meson.build" in names
    subprocess.run(["sha256sum", "-c", "--quiet", archive.name + ".sha256"],
                   cwd=archive.parent, check=True)


def test_it_serves(host):
    units = "lodged.socket lodged.service lodge-machines.service"
    assert host.sh(f"systemctl is-active {units}").split() == ["active"] * 3
    assert host.sh(f"systemctl is-enabled {units}").split() == ["enabled"] * 3
    host.sh("systemd-analyze verify /lib/systemd/system/lodge*.service")
    assert host.sh("stat -c '%a %U' /run/lodge /var/lib/lodge").split() == [
        "700", "root"] * 2
    host.sh("bash -c '. /usr/share/bash-completion/completions/lodge.bash'")
    # By its socket, when it has ended.
    host.sh("systemctl stop lodged.service")
    host.sh("lodge ps")
    assert host.sh("systemctl is-active lodged") == "active"
    # In a session of root's as well.
    host.sh("XDG_RUNTIME_DIR=/run/user/0 lodge ps")
    assert host.sh("pgrep -c -x lodged") == "1"


def test_the_guest_that_comes_with_it(host):
    assert "vmlinux" in host.sh("dpkg -L lodge-guest")
    host.sh("lodge create linux --memory 128M && lodge start linux")
    assert "running" in host.sh("lodge ps")
    host.sh("lodge rm --force linux")


def test_machines_outlive_it_and_end_with_the_host(host, tmp_path):
    kernel = tmp_path / "button.elf"
    kernel.write_bytes(tiny.kernel(tiny.heed_power_button()))
    host.copy(kernel)
    host.sh("lodge create web --memory 16M --kernel /root/button.elf && "
            "lodge start web")
    pid = host.sh("lodge status web | sed -n 's/^pid *//p'")
    assert re.fullmatch(r"\d+", pid)
    host.sh("systemctl restart lodged")
    host.sh("DEBIAN_FRONTEND=noninteractive apt-get -q -y install --reinstall "
            "--no-install-recommends /root/lodged_*.deb")
    assert "running" in host.sh("lodge ps")
    assert host.sh("lodge status web | sed -n 's/^pid *//p'") == pid
    # As the host's shutdown does it.
    host.sh("systemctl stop lodge-machines")
    assert host.try_sh(f"kill -0 {pid}").returncode != 0
    assert "stopped" in host.sh("lodge ps")


def test_removed(host):
    host.sh("lodge start web")
    host.sh("DEBIAN_FRONTEND=noninteractive apt-get -q -y purge "
            "lodge lodged lodge-guest")
    assert host.try_sh("pgrep -a lodge | grep -v lodge-agent").stdout == ""
    assert host.sh("ls -d /run/lodge /usr/share/lodge /usr/lib/*/lodge "
                   "/lib/systemd/system/lodge[d-]m* 2>/dev/null || true") == ""
    assert "lodged" not in host.sh("systemctl list-units --all --no-legend "
                                   "'lodged*' 'lodge-machines*'")
    # What people made is theirs.
    host.sh("test -e /var/lib/lodge/registry.db")
