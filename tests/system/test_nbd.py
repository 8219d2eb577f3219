# SPDX-License-Identifier: Apache-2.0
"""Images served by NBD, and images of NBD servers."""
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

import tiny
from conftest import LODGE, run
from test_disk_tool import MIB, digest, disk, facts, fill, good
from test_usage import refused

pytestmark = pytest.mark.skipif(not shutil.which("nbdinfo"),
                                reason="needs libnbd's tools")


@contextlib.contextmanager
def exported(path, *words, begun=None):
    """The address of an image that lodge serves; `begun` gets the process."""
    sock = f"{path}.sock"
    child = subprocess.Popen([LODGE, "disk", "export", path, "--listen",
                              f"unix:{sock}", *words],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)
    address = child.stdout.readline().strip()
    assert address, child.stderr.read()
    if begun is not None:
        begun.append(child)
    try:
        yield address
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0, child.stderr.read()
        assert child.stderr.read() == ""
        assert not os.path.exists(sock)


def tool(*words, **kwargs):
    result = subprocess.run([str(w) for w in words], capture_output=True,
                            text=True, timeout=60, check=False, **kwargs)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


# --- the server --------------------------------------------------------------

def test_what_clients_see(tmp_path):
    path = fill(tmp_path / "a.img", 8 * MIB, 3)
    with exported(path, "--name", "web") as address:
        told = json.loads(tool("nbdinfo", "--json", address))["exports"][0]
        listed = tool("nbdinfo", "--list", address)
    assert told["export-size"] == 8 * MIB
    assert told["export-name"] == "web" and 'export="web"' in listed
    assert told["contexts"] == ["base:allocation"]
    for right in ("can_flush", "can_fua", "can_zero", "can_trim", "can_df",
                  "can_multi_conn"):
        assert told[right], right
    assert not told["is_read_only"]


def test_a_foreign_client_reads_and_writes(tmp_path):
    path = tmp_path / "a.img"
    good("create", path, "16M")
    with exported(path) as address:
        tool("qemu-io", "-f", "raw", "-c", "write -P 7 1M 3M",
             "-c", "write -z 2M 64k", "-c", "read -P 7 3M 64k",
             "-c", "read -P 0 2M 64k", "-c", "discard 3M 1M",
             "-c", "read -P 0 3M 1M", "-c", "write -f -P 9 12345 777",
             "-c", "read -P 9 12345 777", "-c", "flush", address)
        extents = json.loads(tool("nbdinfo", "--map", "--json", address))
    data = [(e["offset"], e["length"]) for e in extents if e["type"] == 0]
    assert (MIB, MIB) in data
    with open(path, "rb") as image:
        image.seek(12345)
        assert image.read(777) == b"\x09" * 777


def test_a_copy_there_and_back(tmp_path):
    source = fill(tmp_path / "a.img", 32 * MIB, 40)
    target, back = tmp_path / "b.img", tmp_path / "c.img"
    good("create", target, "32M")
    with exported(target) as address:
        tool("nbdcopy", "--flush", source, address)
        tool("nbdcopy", address, back)
    assert digest(source) == digest(target) == digest(back)
    assert target.stat().st_blocks <= source.stat().st_blocks + 64


def test_a_reader_cannot_write(tmp_path):
    path = fill(tmp_path / "a.img", MIB, 3)
    before = digest(path)
    with exported(path, "--readonly") as address:
        assert json.loads(tool("nbdinfo", "--json", address))[
            "exports"][0]["is_read_only"]
        with raw_client(address) as client:
            client.take()
            assert client.request(1, 0, 4, b"evil") == 1
            assert client.request(6, 0, 4) == 1
    assert digest(path) == before


def test_many_clients_at_once(tmp_path):
    path = tmp_path / "a.img"
    good("create", path, "64M")
    with exported(path) as address:
        children = [subprocess.Popen(
            ["qemu-io", "-f", "raw", *[w for k in range(20) for w in
             ("-c", f"write -q -P {n + 1} {(n * 20 + k) * 64}k 64k")],
             address]) for n in range(8)]
        assert [c.wait(60) for c in children] == [0] * 8
    with open(path, "rb") as image:
        for n in range(8):
            assert image.read(20 * 65536) == bytes([n + 1]) * 20 * 65536


def test_once_ends_with_the_last_client(tmp_path):
    path = fill(tmp_path / "a.img", MIB, 3)
    child = subprocess.Popen([LODGE, "disk", "export", path, "--once",
                              "--listen", f"unix:{path}.sock"],
                             stdout=subprocess.PIPE, text=True)
    tool("nbdinfo", child.stdout.readline().strip())
    assert child.wait(10) == 0


def test_in_use_while_it_is_served(tmp_path):
    path = fill(tmp_path / "a.img", MIB, 3)
    with exported(path):
        refused(disk("resize", path, "2M"), 1, "in use")


@pytest.mark.parametrize("words, status, part", [
    ([], 2, "--listen unix:PATH"),
    (["--listen", "unix:/nowhere/s"], 1, "/nowhere/s"),
    (["--listen", "0.0.0.0:0"], 2, "--insecure"),
    (["--listen", "70000"], 1, "70000"),
    (["--listen", "0", "--name", "n" * 300], 2, "--name"),
])
def test_bad_words(tmp_path, words, status, part):
    path = fill(tmp_path / "a.img", MIB, 3)
    refused(disk("export", path, *words), status, part)


# --- hostile clients ---------------------------------------------------------

class RawClient:
    """A client that says what it likes."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(15)
        self.sock.connect(address.partition("socket=")[2])

    def read(self, size):
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def option(self, number, data=b"", size=None):
        self.sock.sendall(struct.pack(">8sII", b"IHAVEOPT", number,
                                      len(data) if size is None else size) +
                          data)

    def reply(self):
        magic, option, kind, size = struct.unpack(">QIII", self.read(20))
        assert magic == 0x3e889045565a9
        return option, kind, self.read(size)

    def hello(self, flags=3):
        assert self.read(18) == b"NBDMAGICIHAVEOPT\0\3"
        self.sock.sendall(struct.pack(">I", flags))

    def take(self):
        self.hello()
        self.option(1)
        return struct.unpack(">QH", self.read(10))

    def request(self, kind, offset, length, data=b"", flags=0):
        self.sock.sendall(struct.pack(">IHHQQI", 0x25609513, flags, kind, 99,
                                      offset, length) + data)
        magic, error, cookie = struct.unpack(">IIQ", self.read(16))
        assert magic == 0x67446698 and cookie == 99
        if kind == 0 and not error:
            self.read(length)
        return error

    def ended(self):
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


@contextlib.contextmanager
def raw_client(address):
    client = RawClient(address)
    try:
        yield client
    finally:
        client.sock.close()


def test_requests_out_of_bounds_are_errors(tmp_path):
    path = fill(tmp_path / "a.img", MIB, 3)
    with exported(path) as address, raw_client(address) as client:
        assert client.take()[0] == MIB
        assert client.request(0, MIB, 1) == 22
        assert client.request(0, 2 ** 64 - 1, 512) == 22
        assert client.request(0, 0, 0xffffffff) == 22
        assert client.request(1, MIB - 2, 4, b"four") == 28
        assert client.request(6, MIB, 1) == 28
        assert client.request(4, 0, 2 ** 32 - 1) == 22
        assert client.request(7, 0, 4096) == 22    # no context was chosen
        assert client.request(12, 0, 0) == 22
        assert client.request(0, 0, 16, flags=0x8000) == 22
        assert client.request(0, 0, 0) == 0
        assert client.request(3, 0, 0) == 0


def test_nonsense_ends_the_connection(tmp_path):
    path = fill(tmp_path / "a.img", MIB, 3)
    with exported(path) as address:
        with raw_client(address) as client:
            client.hello(flags=0x80)
            assert client.ended()
        with raw_client(address) as client:
            client.hello()
            client.sock.sendall(b"x" * 16)
            assert client.ended()
        with raw_client(address) as client:
            client.take()
            client.sock.sendall(b"x" * 28)
            assert client.ended()
        with raw_client(address) as client:
            client.take()
            client.sock.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 1, 1, 0,
                                            1 << 31))
            assert client.ended()
        tool("nbdinfo", address)


def test_odd_options_are_answered(tmp_path):
    path = fill(tmp_path / "a.img", MIB, 3)
    with exported(path) as address, raw_client(address) as client:
        client.hello()
        client.option(77, b"what")
        assert client.reply()[1] == 0x80000001
        client.option(7, b"x")
        assert client.reply()[1] == 0x80000003
        client.option(7, struct.pack(">I", 0xfffffff0) + b"abcdef")
        assert client.reply()[1] == 0x80000003
        client.option(6, struct.pack(">I3sH", 3, b"not", 0))
        assert client.reply()[1] == 0x80000006
        client.option(10, struct.pack(">III", 0, 1, 999))
        assert client.reply()[1] == 0x80000003
        client.option(3, b"y" * 100_000)
        assert client.reply()[1] == 0x80000009
        client.option(3)
        assert client.reply()[1] == 2
        assert client.reply()[1] == 1


def test_silent_clients_do_not_keep_others_out(tmp_path):
    path = fill(tmp_path / "a.img", MIB, 3)
    begun = []
    with exported(path, begun=begun) as address:
        # However late the server is, those that come wait; none is refused.
        begun[0].send_signal(signal.SIGSTOP)
        try:
            silent = [RawClient(address) for _ in range(40)]
        finally:
            begun[0].send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 30
        while subprocess.run(["nbdinfo", address], capture_output=True,
                             check=False).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        for client in silent:
            client.sock.close()


# --- the client --------------------------------------------------------------

def test_an_export_is_an_image(tmp_path):
    path = fill(tmp_path / "a.img", 16 * MIB, 20)
    copy = tmp_path / "b.img"
    with exported(path) as address:
        rows = json.loads(good("map", "--json", address))
        good("convert", address, copy)
        assert json.loads(good("compare", "--json", address, copy))["same"]
        assert json.loads(good("info", "--json", address))["size"] == 16 * MIB
    assert any(r["kind"] == "zero" for r in rows)
    assert digest(path) == digest(copy)


def test_an_export_is_attached(tmp_path, monkeypatch, make_kernel):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    source = fill(tmp_path / "a.raw", 4 * MIB, 10)
    with exported(source) as address:
        child = subprocess.Popen([LODGE, *make_kernel(tiny.HALT), "--name",
                                  "web", "--serial", "none"],
                                 stdin=subprocess.DEVNULL)
        while run("status", "web").returncode:
            assert child.poll() is None
        result = run("attach", "web", "disk", f"{address},name=far")
        assert (result.returncode, result.stderr) == (0, "")
        assert address in run("status", "web").stdout
        assert run("mirror", "web", tmp_path / "b.raw").returncode == 0
        child.kill()
        child.wait()
    assert digest(tmp_path / "b.raw") == digest(source)


def test_an_overlay_on_a_server(tmp_path, monkeypatch, make_kernel):
    """Its address is believed only when the user says it, too."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    source = fill(tmp_path / "a.raw", 4 * MIB, 10)
    copy = tmp_path / "copy.raw"
    shutil.copy(source, copy)
    top, other = tmp_path / "top.qcow2", tmp_path / "other.qcow2"
    with exported(source) as address:
        good("create", top, "--backing", address)
        assert facts(top)["details"]["backing"] == address
        refused(disk("convert", top, tmp_path / "b.raw"), 1, address,
                "say so with --folder", "folder=")
        refused(run("run", "--disk", top), 1, address, "folder=")
        good("convert", "--folder", address, top, tmp_path / "b.raw")
        assert digest(tmp_path / "b.raw") == digest(source)
        words = ["qemu-io", "-f", "qcow2", "-c", "write -q -P 7 1M 64k"]
        tool(*words, top)
        tool("qemu-io", "-f", "raw", "-c", "write -q -P 7 1M 64k", copy)
        good("compare", "--folder", address, top, copy)
        good("create", other, "4M")
        good("rebase", "--unsafe", "--backing", address, other)
        good("compare", "--folder", address, other, tmp_path / "b.raw")
        good("rebase", "--none", "--folder", address, other)
        good("compare", other, tmp_path / "b.raw")
        # Below a running machine, and where its changes go at last.
        child = subprocess.Popen([LODGE, *make_kernel(tiny.HALT), "--name",
                                  "web", "--serial", "none", "--disk",
                                  f"{top},folder={address}"],
                                 stdin=subprocess.DEVNULL)
        while run("status", "web").returncode:
            assert child.poll() is None
        result = run("attach", "web", "disk",
                     f"{other},readonly,folder={address}")
        assert (result.returncode, result.stderr) == (0, "")
        result = run("commit", "--disk", top, "web")
        assert (result.returncode, result.stderr) == (0, "")
        assert json.loads(run("status", "--json", "web").stdout)["disks"][0][
            "path"] == address
        assert run("stop", "--force", "web").returncode == 0
        child.wait()
    assert digest(source) == digest(copy)


def test_a_server_that_stands_on_itself(tmp_path):
    image = tmp_path / "a.qcow2"
    good("create", image, "4M")
    with exported(image, "--format", "raw") as address:
        pass
    tool("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b",
         address, image)
    with exported(image, "--format", "raw") as again:
        assert again == address
        refused(disk("map", "--folder", address, "--format", "qcow2",
                     address), 1, "stands on itself")


def test_a_foreign_server(tmp_path):
    if not shutil.which("nbdkit"):
        pytest.skip("needs nbdkit")
    sock, copy = tmp_path / "s", tmp_path / "b.img"
    server = subprocess.Popen(["nbdkit", "-f", "-U", sock, "pattern", "8M"])
    while not sock.exists():
        time.sleep(0.01)
    good("convert", f"nbd+unix:///?socket={sock}", copy)
    server.terminate()
    server.wait()
    data = copy.read_bytes()
    assert len(data) == 8 * MIB
    assert struct.unpack_from(">Q", data, 5 * MIB)[0] == 5 * MIB


def test_a_server_that_is_not_there(tmp_path):
    refused(disk("info", f"nbd+unix:///?socket={tmp_path}/none"), 1, "nbd",
            "No such file")


def test_a_read_only_server_is_not_written(tmp_path):
    path = fill(tmp_path / "a.img", MIB, 3)
    with exported(path, "--readonly") as address:
        refused(disk("resize", address, "2M"), 1, "reading only")


def test_a_server_that_goes_is_an_error(tmp_path):
    path = tmp_path / "a.img"
    path.write_bytes(random.Random(1).randbytes(MIB) * 300)
    sock = f"{path}.sock"
    server = subprocess.Popen([LODGE, "disk", "export", path, "--listen",
                               f"unix:{sock}"], stdout=subprocess.PIPE,
                              text=True)
    address = server.stdout.readline().strip()
    client = subprocess.Popen([LODGE, "disk", "convert", address,
                               tmp_path / "b.img"], stderr=subprocess.PIPE,
                              text=True)
    while not (tmp_path / "b.img.part").exists() and client.poll() is None:
        time.sleep(0.001)
    server.kill()
    server.wait()
    said = client.communicate(timeout=30)[1]
    if client.returncode == 0:
        pytest.skip("it was too quick")
    assert client.returncode == 1 and "cannot be read" in said
    assert not (tmp_path / "b.img").exists()
