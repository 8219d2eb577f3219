# SPDX-License-Identifier: Apache-2.0
"""lodged: images by the API, as jobs with progress that can be cancelled."""
import hashlib
import http.server
import os
import threading

import pytest

from daemon import LODGED, LIMIT, Daemon, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

DATA = os.urandom(1 << 20)


class Slow(http.server.BaseHTTPRequestHandler):
    """Half of it, and the rest when it is let go."""
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        if self.path == "/slow.img":
            self.wfile.write(DATA[:1 << 19])
            self.server.let_go.wait(LIMIT)
            self.wfile.write(DATA[1 << 19:])
        else:
            self.wfile.write(DATA)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    server.let_go = threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.let_go.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def lodged(tmp_path):
    daemon = Daemon(tmp_path)
    daemon.env = {k: v for k, v in daemon.env.items()
                  if not k.lower().endswith("_proxy")}
    assert daemon.start() == "ok"
    yield daemon
    daemon.clear()


def images(lodged):
    return [i["name"] for i in lodged.ask("GET", "/v1/images")["images"]]


def job(lodged, number):
    return lodged.ask("GET", f"/v1/jobs/{number}").json


def test_an_image_is_pulled(lodged, server):
    total = hashlib.sha256(DATA).hexdigest()
    body = {"source": f"{server.url}/disk.img", "name": "disk",
            "checksum": f"sha256:{total}"}
    answer = lodged.ask("POST", f"/v1/images?wait={LIMIT}", body)
    assert (answer.status, answer["state"]) == (200, "done"), answer.text
    assert answer["verb"] == "pull" and answer["name"] == "disk"
    assert images(lodged) == ["disk"]
    assert lodged.ask("GET", "/v1/images")["images"][0]["size"] == len(DATA)
    # The reason is the program's own.
    answer = lodged.ask("POST", f"/v1/images?wait={LIMIT}", body)
    assert answer.status == 500 and "disk" in answer["detail"]
    answer = lodged.ask("DELETE", f"/v1/images/disk?wait={LIMIT}")
    assert answer.status == 200 and images(lodged) == []
    assert lodged.ask("DELETE", "/v1/images/disk").status == 404
    listed = lodged.ask("GET", "/v1/jobs?limit=2").json
    assert [j["verb"] for j in listed["jobs"]] == ["pull", "pull"]
    rest = lodged.ask("GET", f"/v1/jobs?after={listed['next']}").json
    assert [j["verb"] for j in rest["jobs"]] == ["remove"]
    assert "next" not in rest


def test_a_file_becomes_an_image(lodged, tmp_path):
    path = tmp_path / "disk.raw"
    path.write_bytes(DATA)
    body = {"file": str(path), "name": "own"}
    answer = lodged.ask("POST", f"/v1/images?wait={LIMIT}", body)
    assert answer.status == 200, answer.text
    assert images(lodged) == ["own"]


def test_progress_and_cancel(lodged, server):
    body = {"source": f"{server.url}/slow.img", "unchecked": True}
    answer = lodged.ask("POST", "/v1/images", body)
    assert answer.status == 202 and answer.location.startswith("/v1/jobs/")
    number = answer["id"]
    seen = wait_for(lambda: job(lodged, number).get("progress"))
    assert seen["total"] in (0, len(DATA)) and seen["done"] <= len(DATA)
    wait_for(lambda: job(lodged, number)["progress"]["done"] >= 1 << 19)
    assert lodged.ask("DELETE", f"/v1/jobs/{number}").status == 202
    wait_for(lambda: job(lodged, number)["state"] == "failed")
    assert job(lodged, number)["error"]["code"] == "cancelled"
    assert images(lodged) == []
    assert lodged.ask("DELETE", f"/v1/jobs/{number}").status == 409
    # What came goes on when it is asked for again.
    server.let_go.set()
    answer = lodged.ask("POST", f"/v1/images?wait={LIMIT}", body)
    assert answer.status == 200, answer.text
    assert images(lodged) == ["slow"]


def test_they_end_with_lodged(lodged, server):
    body = {"source": f"{server.url}/slow.img", "unchecked": True}
    number = lodged.ask("POST", "/v1/images", body)["id"]
    wait_for(lambda: job(lodged, number).get("progress"))
    assert lodged.with_folder("lodge")
    lodged.kill()
    wait_for(lambda: not lodged.with_folder("lodge"))


def test_what_is_wrong_is_told(lodged):
    for body in ({}, {"source": "a", "file": "/b"}, {"source": "-x"},
                 {"file": "relative"}, {"source": "a", "uefi": 1},
                 {"source": "a", "name": ""}, {"source": "a", "name": "--x"},
                 {"file": "/a", "checksum": "sha256:0"},
                 {"source": "a", "more": 1}):
        assert lodged.ask("POST", "/v1/images", body).status == 400, body
    answer = lodged.ask("POST", f"/v1/images?wait={LIMIT}",
                        {"source": "no-such-system"})
    assert answer.status == 500 and "catalogue" in answer["detail"]
    lodged.make("web")
    number = lodged.ask("DELETE", f"/v1/vms/web?wait={LIMIT}")["id"]
    assert lodged.ask("DELETE", f"/v1/jobs/{number}").status == 409
