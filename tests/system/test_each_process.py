# SPDX-License-Identifier: Apache-2.0
"""A machine of lodged with a bridge, a switch and a shared folder; then kill -9
of each process that this takes, in turn. What can go on does, or is mended; of
the rest nothing stays, and the next start finds all of it as it was.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from conftest import BUILD, is_gone
from namespace import namespace, needed

LODGED = BUILD / "lodged"
NAME = "victim"
LIMIT = 120


def until(condition, what, seconds=LIMIT):
    """Waits for a state."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return value


def text_of(path):
    """b"" of a process that has ended."""
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""


class World:
    """A namespace with a lodged, its records, and one machine."""

    def __init__(self, ns, place):
        self.ns, self.place = ns, place
        self.folder = place / "shared"
        self.folder.mkdir()
        (self.folder / "file").write_text("shared\n")
        self.lodged = None

    def lodge(self, *words):
        done = self.ns.lodge(*words, timeout=LIMIT)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def begin(self):
        self.lodged = self.ns.popen(LODGED, "--ready", 1, text=True,
                                    stdout=subprocess.PIPE)
        assert self.lodged.stdout.readline() == "ok\n"

    def end(self):
        self.lodged.terminate()
        self.lodged.communicate(timeout=LIMIT)

    def processes(self):
        """By what they are for."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or is_gone(int(entry.name)):
                continue
            words = text_of(entry / "cmdline").split(b"\0")
            name = pathlib.Path(words[0].decode(errors="replace")).name
            ours = (f"XDG_DATA_HOME={self.place}".encode() in
                    text_of(entry / "environ").split(b"\0"))
            if name == "lodge-share":
                ours = str(self.folder).encode() in words
            elif name == "dnsmasq":
                ours = int(entry.name) in self.ns.pids()
            if not ours or entry.name == str(os.getpid()):
                continue
            role = {"lodge-vm": "machine", "lodged": "lodged",
                    "dnsmasq": "names", "lodge-share": "folder"}.get(name)
            if name == "lodge" and words[1:3] == [b"net", b"serve"]:
                role = "switch"
            if text_of(entry / "comm") == b"lodge-broker\n":
                role = "broker" if role == "machine" or name != "lodge" else \
                    role
                parent = text_of(entry / "stat").rsplit(b")", 1)[1].split()[1]
                if text_of(f"/proc/{int(parent)}/comm") == b"lodge-broker\n":
                    role = "guard"
            if role:
                found[role] = int(entry.name)
        return found

    def works(self):
        """In the guest: both networks, their names, the folder."""
        script = ("grep -q shared /mnt/s/file && ping -c 1 -W 2 10.7.0.1 && "
                  "ping -c 1 -W 2 10.8.0.2 && nslookup lodge.internal "
                  "10.7.0.1 | grep -q . && nslookup victim 10.8.0.2")
        return not self.ns.lodge("exec", NAME, "--", "sh", "-c", script,
                                 timeout=LIMIT).returncode

    def left(self):
        """Processes but lodged, what there is of networks, sockets."""
        return [*set(self.processes()) - {"lodged"},
                *re.findall(": (l[btxv][-0-9a-f]+)", self.ns.links()),
                *self.ns.run("nft", "list", "tables").splitlines(),
                *(user["machine"] for name in ("lab", "sw") for user in
                  json.loads(self.lodge("net", "show", name,
                                        "--json"))["users"]),
                *map(str, self.place.glob(f"lodge/{NAME}.*"))]

    def cleared(self, when):
        """Waits until nothing is left."""
        end = time.monotonic() + LIMIT
        while left := self.left():
            assert time.monotonic() < end, (when, left)
            time.sleep(0.1)


@pytest.fixture
def world(tmp_path, monkeypatch):
    needed("nft", "dnsmasq")
    if not (BUILD / "guest/default/modules/virtiofs.ko").exists():
        pytest.skip("the default guest is an old one: make guest")
    if not LODGED.exists():
        pytest.skip("no lodged")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with namespace() as ns:
        world = World(ns, tmp_path)
        world.begin()
        yield world
        for pid in world.processes().values():
            os.kill(pid, signal.SIGKILL)


def test_each(world, linux_agent):
    world.lodge("net", "create", "lab", "--backing", "bridge", "--subnet",
                "10.7.0.0/24")
    world.lodge("net", "create", "sw", "--kind", "isolated", "--subnet",
                "10.8.0.0/24")
    world.lodge("create", NAME, *linux_agent[1:], "--net", "bridge=lab",
                "--net", "network=sw", "--share", f"{world.folder}:/mnt/s")
    world.lodge("start", NAME)
    until(world.works, "it does not come up")
    everything = {"lodged", "machine", "broker", "guard", "folder", "names",
                  "switch"}
    assert set(world.processes()) == everything

    # These are replaced while the machine runs; lodged by its supervisor.
    for role in "switch", "names", "lodged":
        before = world.processes()
        os.kill(before[role], signal.SIGKILL)
        if role == "lodged":
            world.lodged.communicate(timeout=LIMIT)
            world.begin()
        until(lambda: set(now := world.processes()) == everything and
              now[role] != before[role], f"{role} is not replaced")
        until(world.works, f"after {role} was killed")
        assert world.processes()["machine"] == before["machine"]

    # These are not; the machine is stopped or ends, and starts anew.
    for roles in ("guard", "folder"), ("broker",), ("machine",):
        for role in roles:
            before = world.processes()
            os.kill(before[role], signal.SIGKILL)
            until(lambda: is_gone(before[role]), f"{role} lives on")
        if role == "folder":
            world.lodge("stop", "--force", NAME)
        world.cleared(f"after {role} was killed")
        told, = json.loads(world.lodge("ps", "--json"))
        assert told["state"] == "stopped"
        assert role == "folder" or "was killed" in told["reason"]
        world.lodge("start", NAME)
        until(world.works, f"a start after {role} was killed")
        assert set(world.processes()) == everything
    world.lodge("rm", "--force", NAME)
    world.cleared("at the end")
    world.end()
    assert world.ns.pids() == []
