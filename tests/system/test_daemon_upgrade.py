# SPDX-License-Identifier: Apache-2.0
"""Programs of another version: they are told from ours, and an upgrade leaves
machines alone. The other version is a copy of the programs with another number
in them."""
import os
import re
import shutil
import signal
import subprocess

import pytest

import tiny
from conftest import BUILD, ENGINE, LODGE
from daemon import LODGED, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

MIB = 1 << 20


@pytest.fixture
def other(tmp_path):
    """The folder of the other version's programs."""
    told = subprocess.run([LODGE, "version"], capture_output=True, check=True,
                          text=True).stdout
    version = re.search(r"\d+\.\d+\.\d+", told)[0].encode()
    folder = tmp_path / "other"
    folder.mkdir()
    for path in BUILD.glob("lodge*.so"):
        (folder / path.name).symlink_to(path)
    for name in "lodge", "lodged", "lodge-vm":
        data = (BUILD / name).read_bytes()
        assert version in data
        (folder / name).write_bytes(
            data.replace(version, b"9.9.9".ljust(len(version), b"9")))
        shutil.copymode(BUILD / name, folder / name)
    return folder


def test_an_upgrade(lodged, other, tmp_path):
    kernel = tmp_path / "idle.elf"
    kernel.write_bytes(tiny.kernel(tiny.HALT))
    lodged.make("web", kernel=str(kernel), memory=16 * MIB, engine=ENGINE)
    assert lodged.say("web", "start").status == 200
    pid = lodged.vm("web")["pid"]
    events = lodged.ask("GET", "/v1")["last_event"]

    def say(*args):
        return subprocess.run([other / "lodge", *args], env=lodged.env,
                              stdin=subprocess.DEVNULL, text=True,
                              capture_output=True)
    for args in (["ps"], ["stop", "--force", "web"], ["rm", "web"],
                 ["create", "db"], ["start", "--all"], ["events"],
                 ["export", "web"], ["clone", "web", "two"]):
        result = say(*args)
        assert result.returncode == 1, (args, result.stdout)
        line, = result.stderr.splitlines()
        assert "is version" in line and "lodge 9.9.9" in line, line
        number = int(re.search(r"with kill (\d+), machines go on", line)[1])
        assert number == lodged.child.pid
    assert lodged.ask("GET", "/v1")["last_event"] == events
    # As it says.
    os.kill(number, signal.SIGTERM)
    lodged.gone()
    result = say("ps", "--json")
    assert result.returncode == 0, result.stderr
    wait_for(lambda: lodged.state("web") == "running")
    assert lodged.vm("web")["pid"] == pid
    assert lodged.ask("GET", "/v1")["version"].startswith("9.9.9")
    # And the older one tells the newer.
    result = lodged.cli("ps")
    assert result.returncode == 1 and "version 9.9.9" in result.stderr
    assert say("stop", "--force", "web").returncode == 0
    assert say("start", "web").returncode == 0
    assert lodged.vm("web")["pid"] != pid
