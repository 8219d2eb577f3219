# SPDX-License-Identifier: Apache-2.0
"""lodge image pull against a server that cuts, stalls, lies, changes its mind
and sends on in circles. The real servers of the catalogue are out of reach."""
import hashlib
import http.server
import json
import lzma
import os
import random
import re
import socket
import subprocess
import threading
import time
import zlib

import pytest

from conftest import LODGE, SOURCE, run

DATA = random.Random(7).randbytes(3 << 20)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}     # path: bytes
        self.behave = {}    # path: function(handler, data), once
        self.requests = []  # (path, Range, what was sent)
        self.tag = '"one"'
        self.ranges = True

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def start(self, data, length=None, status=200, **headers):
        self.send_response(status)
        self.send_header("Content-Length",
                         len(data) if length is None else length)
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def hang_up(self):
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self):
        server, path = self.server, self.path
        wanted = self.headers.get("Range")
        server.requests.append((path, wanted))
        data = server.files.get(path)
        behave = server.behave.get(path)
        if behave and behave(self, data):
            return
        if data is None:
            self.start(b"", status=404)
            return
        same = self.headers.get("If-Range") in (None, server.tag)
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        if match and same and server.ranges:
            at = int(match[1])
            if at >= len(data):
                self.start(b"", status=416)
                return
            self.start(data[at:], status=206, Content_Range=(
                f"bytes {at}-{len(data) - 1}/{len(data)}"))
            self.wfile.write(data[at:])
        else:
            self.start(data)
            self.wfile.write(data)


@pytest.fixture
def server():
    s = Server()
    s.files["/disk.img"] = DATA
    thread = threading.Thread(target=s.serve_forever, daemon=True)
    thread.start()
    yield s
    s.shutdown()
    s.server_close()


@pytest.fixture
def place(tmp_path):
    class Place:
        env = {**{k: v for k, v in os.environ.items()
                  if not k.lower().endswith("_proxy")},
               "XDG_DATA_HOME": str(tmp_path)}
        store = tmp_path / "lodge"

        def pull(self, *args, env=None, **kwargs):
            return run("image", "pull", *args, env={**self.env, **(env or {})},
                       **kwargs)

        def disk(self, name="disk"):
            return next((self.store / "images" / name).glob("disk.*"))

        def images(self):
            folder = self.store / "images"
            return sorted(os.listdir(folder)) if folder.exists() else []

        def partial(self):
            folder = self.store / "downloads"
            return sorted(os.listdir(folder)) if folder.exists() else []
    return Place()


def sum_of(data, kind="sha256"):
    return f"{kind}:{hashlib.new(kind, data).hexdigest()}"


def refused(result, status, *words):
    assert result.returncode == status, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("lodge: image pull: ")
    for word in words:
        assert word in lines[0]


def ranges(server):
    return [r for path, r in server.requests]


@pytest.mark.parametrize("kind", ["sha256", "sha512"])
def test_by_url(server, place, kind):
    result = place.pull(f"{server.url}/disk.img", "--checksum",
                        sum_of(DATA, kind))
    assert result.returncode == 0, result.stderr
    assert place.disk().read_bytes() == DATA
    assert place.partial() == []
    told = json.loads(run("image", "info", "disk", "--json",
                          env=place.env).stdout)
    assert told["checksum"] == sum_of(DATA, kind)
    assert told["source"] == f"{server.url}/disk.img"
    assert told["size"] == len(DATA)


def test_a_cut_transfer_goes_on(server, place):
    def cut(handler, data):
        if len(server.requests) > 3:
            return False
        at = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        handler.start(data[at:], status=206 if at else 200, **(
            {"Content_Range": f"bytes {at}-{len(data) - 1}/{len(data)}"}
            if at else {}))
        handler.wfile.write(data[at:at + 500000])
        handler.hang_up()
        return True
    server.behave["/disk.img"] = cut
    result = place.pull(f"{server.url}/disk.img", "--checksum", sum_of(DATA))
    assert result.returncode == 0, result.stderr
    assert place.disk().read_bytes() == DATA
    assert ranges(server)[0] is None
    assert all(ranges(server)[1:])


def test_a_stalled_transfer_goes_on(server, place):
    def stall(handler, data):
        if len(server.requests) > 1:
            return False
        handler.start(data)
        handler.wfile.write(data[:700000])
        handler.wfile.flush()
        time.sleep(15)
        return True
    server.behave["/disk.img"] = stall
    result = place.pull(f"{server.url}/disk.img", "--checksum", sum_of(DATA),
                        "--timeout", "2")
    assert result.returncode == 0, result.stderr
    assert place.disk().read_bytes() == DATA


def test_a_file_that_changes_in_between_begins_anew(server, place):
    other = DATA[::-1]

    def change(handler, data):
        if len(server.requests) > 1:
            return False
        handler.start(data)
        handler.wfile.write(data[:1 << 20])
        server.tag, server.files["/disk.img"] = '"two"', other
        handler.hang_up()
        return True
    server.behave["/disk.img"] = change
    result = place.pull(f"{server.url}/disk.img", "--checksum", sum_of(other))
    assert result.returncode == 0, result.stderr
    assert place.disk().read_bytes() == other


def cut(server, how, size, times):
    """The server hangs up after so many bytes, so many times, and cannot go
    on there."""
    def behave(handler, data):
        if len(server.requests) > times:
            return False
        handler.start(data)
        handler.wfile.write(data[:size])
        handler.hang_up()
        return True
    server.behave["/disk.img"] = behave
    if how == "no ranges":
        server.ranges = False
    else:
        server.tag = None


@pytest.mark.parametrize("how", ["no ranges", "no validator"])
def test_servers_that_cannot_go_on(server, place, how):
    cut(server, how, 1 << 20, 1)
    result = place.pull(f"{server.url}/disk.img", "--checksum", sum_of(DATA))
    assert result.returncode == 0, result.stderr
    assert place.disk().read_bytes() == DATA


@pytest.mark.parametrize("how", ["no ranges", "no validator"])
def test_a_server_that_always_cuts(server, place, how):
    """What begins anew each time comes to an end."""
    cut(server, how, 1 << 16, 1000)
    refused(place.pull(f"{server.url}/disk.img", "--checksum", sum_of(DATA),
                       timeout=60), 1, "the same command tries it again")
    assert len(server.requests) <= 6
    assert place.images() == []


def test_a_killed_pull_goes_on(server, place):
    started = threading.Event()

    def hang(handler, data):
        if len(server.requests) > 1:
            return False
        handler.start(data)
        handler.wfile.write(data[:1 << 20])
        handler.wfile.flush()
        started.set()
        time.sleep(5)
        return True
    server.behave["/disk.img"] = hang
    args = ["image", "pull", f"{server.url}/disk.img", "--checksum",
            sum_of(DATA)]
    child = subprocess.Popen([LODGE, *args], env=place.env,
                             stdin=subprocess.DEVNULL)
    assert started.wait(30)
    # Until what was sent is in the file.
    end = time.monotonic() + 30
    while time.monotonic() < end:
        sizes = [os.path.getsize(place.store / "downloads" / name)
                 for name in place.partial() if "." not in name]
        if sizes and sizes[0] == 1 << 20:
            break
        time.sleep(0.02)
    # Two do not get one file at a time.
    refused(place.pull(*args[2:]), 1, "another lodge")
    child.kill()
    child.wait()
    assert place.images() == []
    result = place.pull(*args[2:])
    assert result.returncode == 0, result.stderr
    assert place.disk().read_bytes() == DATA
    assert ranges(server)[-1] == f"bytes={1 << 20}-"
    assert place.partial() == []


def test_a_wrong_checksum(server, place):
    refused(place.pull(f"{server.url}/disk.img", "--checksum", sum_of(b"x")),
            1, "has the checksum", "not kept")
    assert place.images() == []
    assert place.partial() == []


def test_a_length_that_is_a_lie(server, place):
    def longer(handler, data):
        handler.start(data, length=len(data) + 1000)
        handler.wfile.write(data)
        handler.hang_up()
        return True

    def shorter(handler, data):
        handler.start(data, length=1000)
        handler.wfile.write(data)
        handler.hang_up()
        return True
    for lie in (longer, shorter):
        server.behave["/disk.img"] = lie
        result = place.pull(f"{server.url}/disk.img", "--checksum",
                            sum_of(DATA))
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        assert place.images() == []


def test_a_range_that_was_not_asked_for(server, place):
    def shifted(handler, data):
        if not handler.headers.get("Range"):
            handler.start(data)
            handler.wfile.write(data[:1 << 20])
            handler.hang_up()
            return True
        handler.start(data[5:], status=206, Content_Range=(
            f"bytes 5-{len(data) - 1}/{len(data)}"))
        handler.wfile.write(data[5:])
        return True
    server.behave["/disk.img"] = shifted
    refused(place.pull(f"{server.url}/disk.img", "--checksum", sum_of(DATA)),
            1, "another part")
    assert place.images() == []


def test_redirects(server, place):
    def to(target):
        def go(handler, data):
            handler.start(b"", status=302, Location=target)
            return True
        return go
    server.behave["/moved.img"] = to("/disk.img")
    result = place.pull(f"{server.url}/moved.img", "--checksum", sum_of(DATA))
    assert result.returncode == 0, result.stderr
    assert place.disk("moved").read_bytes() == DATA
    server.behave["/loop.img"] = to("/loop.img")
    refused(place.pull(f"{server.url}/loop.img", "--checksum", sum_of(DATA)),
            1, "/loop.img", "redirects")
    server.behave["/out.img"] = to("file:///etc/passwd")
    assert place.pull(f"{server.url}/out.img", "--unchecked").returncode == 1
    assert place.images() == ["moved"]


def test_errors_of_servers(server, place):
    refused(place.pull(f"{server.url}/nosuch.img", "--unchecked"), 1, "404")

    def busy(handler, data):
        if len(server.requests) > 3:
            return False
        handler.start(b"", status=503)
        return True
    server.requests.clear()
    server.behave["/disk.img"] = busy
    result = place.pull(f"{server.url}/disk.img", "--checksum", sum_of(DATA))
    assert result.returncode == 0, result.stderr
    refused(place.pull("http://127.0.0.1:1/x.img", "--unchecked"), 1,
            "http://127.0.0.1:1/x.img")


def test_a_file_that_is_too_large(server, place):
    def huge(handler, data):
        handler.start(data, length=1 << 40)
        handler.wfile.write(data[:1000])
        return True
    server.behave["/disk.img"] = huge
    refused(place.pull(f"{server.url}/disk.img", "--unchecked"), 1,
            "larger than may be")


def test_a_proxy(server, place):
    """What a proxy is asked for is the whole address."""
    server.files["http://images.example/disk.img"] = DATA
    result = place.pull("http://images.example/disk.img", "--checksum",
                        sum_of(DATA), env={"http_proxy": server.url})
    assert result.returncode == 0, result.stderr
    assert place.disk().read_bytes() == DATA


@pytest.mark.parametrize("kind", ["xz", "zst"])
def test_packed_images(server, place, kind):
    content = DATA[:1 << 20] + bytes(4 << 20) + DATA[:4096]
    if kind == "xz":
        packed = lzma.compress(content)
    else:
        packed = subprocess.run(["zstd", "-q", "-c"], input=content,
                                capture_output=True, check=True).stdout
    server.files[f"/disk.img.{kind}"] = packed
    result = place.pull(f"{server.url}/disk.img.{kind}", "--checksum",
                        sum_of(packed))
    assert result.returncode == 0, result.stderr
    assert place.disk().read_bytes() == content
    assert place.disk().stat().st_blocks * 512 < 3 << 20
    # Cut short and damaged.
    for bad in (packed[:-1000], packed[:5000] + b"x" * 5000 + packed[10000:],
                b"no such thing"):
        server.files[f"/bad.img.{kind}"] = bad
        refused(place.pull(f"{server.url}/bad.img.{kind}", "--unchecked"), 1,
                "packed" if bad == b"no such thing" else "unpacked")
    assert place.images() == ["disk"]
    assert place.partial() == []


def greedy(kind):
    """A file of some bytes that wants gigabytes of memory to be unpacked."""
    if kind == "zst":  # one block of 'x' in a frame with a window of 2 GiB
        return b"\x28\xb5\x2f\xfd\0" + bytes([21 << 3]) + \
            (600 << 3 | 1).to_bytes(3, "little") + b"x" * 600
    data = bytearray(lzma.compress(bytes(4096)))
    head = 12  # of the first block, behind the stream's
    size = (data[head] + 1) * 4
    at = data.index(b"\x21\x01", head) + 2
    data[at] = 40  # a dictionary of 4 GiB less one byte
    data[head + size - 4:head + size] = zlib.crc32(
        data[head:head + size - 4]).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("kind", ["xz", "zst"])
def test_packed_files_that_want_all_memory(server, place, kind):
    server.files[f"/disk.img.{kind}"] = greedy(kind)
    refused(place.pull(f"{server.url}/disk.img.{kind}", "--unchecked"), 1,
            "unpacked")
    assert place.images() == [] and place.partial() == []


@pytest.fixture
def qcow2(tmp_path):
    path = tmp_path / "made.qcow2"
    raw = tmp_path / "raw"
    raw.write_bytes(DATA)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw,
                    path], check=True)
    return path.read_bytes()


def test_the_catalogue(server, place, tmp_path, qcow2):
    sums = (f"{hashlib.sha512(b'x').hexdigest()}  other.qcow2\n"
            f"{hashlib.sha512(qcow2).hexdigest()}  tiny.qcow2\n")
    bsd = (f"SHA256 (other.qcow2) = {hashlib.sha256(b'x').hexdigest()}\n"
           f"SHA256 (tiny.qcow2) = {hashlib.sha256(qcow2).hexdigest()}\n")
    server.files.update({"/tiny.qcow2": qcow2, "/SUMS": sums.encode(),
                         "/BSD": bsd.encode(), "/NONE": b"nothing\n"})
    entry = {"title": "Tiny 1", "url": f"{server.url}/tiny.qcow2",
             "format": "qcow2", "firmware": "bios"}
    mine = tmp_path / "catalogue.json"
    mine.write_text(json.dumps([
        {"name": "tiny", "sums": f"{server.url}/SUMS", **entry},
        {"name": "bsd", "sums": f"{server.url}/BSD", **entry},
        {"name": "none", "sums": f"{server.url}/NONE", **entry},
        {"name": "gone", "sums": f"{server.url}/GONE", **entry}]))
    with_it = ["--catalogue", mine]
    for name in ("tiny", "bsd"):
        result = place.pull(name, *with_it)
        assert result.returncode == 0, result.stderr
        assert place.disk(name).read_bytes() == qcow2
    told = json.loads(run("image", "info", "tiny", "--json",
                          env=place.env).stdout)
    assert told["system"] == "Tiny 1"
    assert told["size"] == len(DATA)
    server.files["/OLD"] = f"{'0' * 64}  tiny.qcow2\n".encode()
    mine.write_text(json.dumps([
        *json.loads(mine.read_text()),
        {"name": "old", "sums": f"{server.url}/OLD", **entry},
        {"name": "moved", "sums": f"{server.url}/SUMS", **entry,
         "url": f"{server.url}/other.qcow2"}]))
    refused(place.pull("none", *with_it), 1, "no checksum of tiny.qcow2",
            "--checksum")
    refused(place.pull("gone", *with_it), 1, "404", "--checksum")
    refused(place.pull("moved", *with_it), 1, "other.qcow2", "404",
            "has moved")
    refused(place.pull("old", *with_it), 1, "has the checksum", "not sha256:0",
            "not kept", "try again")
    assert place.partial() == []
    refused(place.pull("tini", *with_it), 2, "did you mean tiny?")
    refused(place.pull("tiny", *with_it), 1, "--replace")
    assert place.pull("tiny", "--replace", *with_it).returncode == 0
    assert place.images() == ["bsd", "tiny"]


def test_our_own_catalogue():
    """Every entry is one, with a checksum and a secure address."""
    listed = json.loads(run("image", "catalogue", "--json").stdout)
    whole = json.loads((SOURCE / "guests" / "catalogue.json").read_text())
    assert [e["name"] for e in listed] == [e["name"] for e in whole]
    assert len({e["name"] for e in whole}) == len(whole)
    for system in ("debian", "ubuntu", "fedora", "alpine", "rocky", "arch",
                   "freebsd", "opensuse"):
        assert any(e["name"].startswith(system) for e in whole), system
    for entry in whole:
        assert entry["url"].startswith("https://")
        assert entry["sums"].startswith("https://")


def test_images_that_show_other_files(server, place, tmp_path, qcow2):
    """A server's image must not have a backing file of ours."""
    secret = tmp_path / "secret.raw"
    secret.write_bytes(b"secret" * 100000)
    evil = tmp_path / "evil.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret,
                    "-F", "raw", evil], check=True)
    server.files["/evil.qcow2"] = evil.read_bytes()
    refused(place.pull(f"{server.url}/evil.qcow2", "--unchecked"), 1,
            "stands on another file")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o",
                    f"data_file={tmp_path}/data.raw,data_file_raw=on",
                    tmp_path / "data.qcow2", "1M"], check=True)
    server.files["/data.qcow2"] = (tmp_path / "data.qcow2").read_bytes()
    assert place.pull(f"{server.url}/data.qcow2",
                      "--unchecked").returncode == 1
    # Nor be another format than it is said to be.
    server.files["/disk.img"] = qcow2
    assert place.pull(f"{server.url}/disk.img", "--unchecked").returncode == 1
    server.files["/x.qcow2"] = DATA
    assert place.pull(f"{server.url}/x.qcow2", "--unchecked").returncode == 1
    assert place.images() == []
    assert place.partial() == []


@pytest.mark.parametrize("args,status,words", [
    ([], 2, ["a name or a URL is missing"]),
    (["nosuchthing"], 2, ["not in the catalogue"]),
    (["debian12"], 2, ["did you mean debian-12?"]),
    (["ftp://x/y.img"], 2, ["https://"]),
    (["http://x/y.img"], 2, ["--checksum sha256:"]),
    (["http://x/y.img", "--checksum", "12"], 2, ["--checksum 12"]),
    (["http://x/y.vmdk", "--unchecked"], 2, ["lodge image import"]),
    (["http://x/", "--unchecked"], 2, ["--name"]),
    (["http://x/y.img", "--timeout", "0"], 2, ["--timeout 0"]),
    (["debian-12", "--catalogue", "/nosuch"], 2, ["/nosuch"]),
])
def test_bad_input(place, args, status, words):
    result = place.pull(*args)
    assert result.returncode == status
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


def test_prune_forgets_what_came(server, place):
    def cut(handler, data):
        handler.start(data)
        handler.wfile.write(data[:1 << 20])
        handler.hang_up()
        return True
    server.behave["/disk.img"] = cut
    server.ranges = False
    assert place.pull(f"{server.url}/disk.img", "--checksum",
                      sum_of(DATA)).returncode == 1
    assert place.partial() != []
    result = run("image", "prune", "--json", env=place.env)
    assert json.loads(result.stdout)["bytes"] >= 1 << 20
    assert place.partial() == []
