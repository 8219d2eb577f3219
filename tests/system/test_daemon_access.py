# SPDX-License-Identifier: Apache-2.0
"""lodged: who may do what (tokens, roles, certificates), how often, and what
the audit log says of it; TLS; events as a stream."""
import http.client
import json
import socket
import ssl
import subprocess

import pytest

from conftest import LODGE
from daemon import LODGED, LIMIT, Connection, DOCUMENT, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")

ROLES = ["none", "viewer", "operator", "admin"]


@pytest.fixture
def lodged(daemon):
    assert daemon.start(options=["--rate", "0"]) == "ok"
    return daemon


def make_token(lodged, name, role="none", grants=(), **more):
    answer = lodged.ask("POST", "/v1/tokens", {
        "name": name, "role": role,
        "grants": [{"vm": vm, "role": r} for vm, r in grants], **more})
    assert answer.status == 201, answer.text
    return answer.json.get("token")


# --- tokens -------------------------------------------------------------------------

def test_a_tokens_life(lodged):
    text = make_token(lodged, "ci", "viewer")
    assert text.startswith("lodge_") and len(text) == 70
    you = lodged.ask("GET", "/v1", token=text)["you"]
    assert you == {"name": "token ci", "role": "viewer"}
    assert lodged.ask("GET", "/v1")["you"]["role"] == "admin"
    # It is shown once, and kept as a hash.
    listed = lodged.ask("GET", "/v1/tokens")["tokens"]
    assert [t["name"] for t in listed] == ["ci"] and "token" not in listed[0]
    for path in lodged.data.glob("registry.db*"):
        assert text[6:].encode() not in path.read_bytes()
        assert bytes.fromhex(text[6:]) not in path.read_bytes()
    again = lodged.ask("POST", "/v1/tokens", {"name": "ci", "role": "admin"})
    assert again.status == 409 and "revoke" in again["detail"]
    lodged.kill()
    assert lodged.start() == "ok"
    assert lodged.ask("GET", "/v1", token=text).status == 200
    assert lodged.ask("DELETE", "/v1/tokens/ci").status == 200
    answer = lodged.ask("GET", "/v1", token=text)
    assert answer.status == 401 and answer.header("www-authenticate")
    assert lodged.ask("DELETE", "/v1/tokens/ci").status == 404
    short = make_token(lodged, "short", "viewer", seconds=1)
    wait_for(lambda: lodged.ask("GET", "/v1", token=short).status == 401)


def test_tokens_that_are_wrong(lodged):
    for body in ({}, {"name": "a"}, {"name": "../a", "role": "viewer"},
                 {"name": "a", "role": "root"},
                 {"name": "a", "role": "viewer", "seconds": 0},
                 {"name": "a", "role": "viewer", "more": 1},
                 {"name": "a", "grants": [{"vm": "web"}]},
                 {"name": "a", "grants": {"web": "viewer"}},
                 {"name": "a", "role": "viewer", "certificate": "yes"}):
        answer = lodged.ask("POST", "/v1/tokens", body)
        assert answer.status == 400, body
    lodged.make("web")
    for role in "admin", "none":
        assert lodged.ask("POST", "/v1/tokens", {
            "name": "a", "grants": [{"vm": "web", "role": role}]
        }).status == 400
    answer = lodged.ask("POST", "/v1/tokens", {
        "name": "a", "grants": [{"vm": "wbe", "role": "viewer"}]})
    assert answer.status == 404 and "web" in answer["detail"]
    assert not lodged.ask("GET", "/v1/tokens")["tokens"]


def test_the_commands(lodged):
    made = lodged.cli("token", "create", "ci", "--role", "operator",
                      "--expires", "90d")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert lodged.ask("GET", "/v1", token=token)["you"]["role"] == "operator"
    lodged.make("web")
    assert lodged.cli("token", "create", "ops", "--grant",
                      "web=operator").returncode == 0
    listed = lodged.cli("token", "list").stdout
    assert "ci" in listed and "web=operator" in listed
    assert token not in listed
    names = [t["name"] for t in json.loads(
        lodged.cli("token", "list", "--json").stdout)]
    assert names == ["ci", "ops"]
    assert lodged.cli("token", "revoke", "ci").returncode == 0
    assert lodged.ask("GET", "/v1", token=token).status == 401
    last = json.loads(lodged.cli("audit", "--json", "--lines",
                                 "2").stdout.splitlines()[0])
    assert (last["method"], last["path"]) == ("DELETE", "/v1/tokens/ci")
    assert "/v1/tokens/ci" in lodged.cli("audit").stdout
    for words, status in ((["create"], 2), (["create", "a"], 1),
                          (["create", "a", "--role", "root"], 1),
                          (["create", "a", "--expires", "soon"], 2),
                          (["create", "a", "--grant", "web"], 2),
                          (["revoke", "none"], 1), (["revok", "a"], 2)):
        result = lodged.cli("token", *words)
        assert result.returncode == status, (words, result.stderr)
        assert len(result.stderr.splitlines()) == 1


# --- roles --------------------------------------------------------------------------

def operations():
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


def test_each_operation_for_each_role(lodged):
    """403 exactly where the document's x-role says so; whoever is admitted
    gets another answer, though it may be that there is no such thing."""
    lodged.make("web")
    tokens = {role: make_token(lodged, role, role) for role in ROLES[1:]}
    tokens["grant"] = make_token(lodged, "grant", grants=[("web", "viewer")])
    lodged.make("other")
    count = 0
    for method, path, operation in operations():
        if operation.get("x-websocket"):
            continue
        needs = ROLES.index(operation["x-role"])
        where = path.replace("{vm}", "web").replace("{job}", "77")
        where = where.replace("{token}", "nobody").replace("{image}", "none")
        if operation["operationId"] in ("deleteVm", "streamEvents"):
            continue  # their own tests
        body = {} if "requestBody" in operation else None
        assert lodged.ask(method, where, body,
                          token="lodge_00").status in (401, 429)
        for role, token in tokens.items():
            has = ROLES.index(role) if role in ROLES else (
                1 if "{vm}" in path else 0)
            answer = lodged.ask(method, where, body, token=token)
            assert (answer.status == 403) == (has < needs), (
                method, path, role, answer.text)
            assert answer.status != 401
            count += 1
    assert count > 40
    answer = lodged.ask("DELETE", "/v1/vms/other", token=tokens["operator"])
    assert answer.status == 403 and "admin on other" in answer["detail"]
    assert lodged.ask("DELETE", "/v1/vms/other",
                      token=tokens["admin"]).status in (200, 202)


def test_a_grant_is_for_one_machine(lodged):
    for name in "web", "db", "mail":
        lodged.make(name)
    token = make_token(lodged, "t", grants=[("web", "operator"),
                                            ("db", "viewer")])

    def ask(method, path, body=None):
        return lodged.ask(method, path, body, token=token)
    assert ask("POST", "/v1/vms/web/stop").status == 409
    assert ask("POST", "/v1/vms/db/stop").status == 403
    assert ask("POST", "/v1/vms/mail/stop").status == 404
    # What he may not see is told like what is not there.
    gone = ask("GET", "/v1/vms/mai")["detail"].replace("mai", "X")
    assert ask("GET", "/v1/vms/mail")["detail"].replace("mail", "X") == gone
    assert ask("PATCH", "/v1/vms/web", {"name": "x"}).status == 403
    assert [v["name"] for v in ask("GET", "/v1/vms")["vms"]] == ["db", "web"]
    assert ask("GET", "/v1")["vms"] == 2
    names = {e["name"] for e in ask("GET", "/v1/events")["events"]}
    assert names == {"web", "db"}
    assert ask("GET", "/metrics").status == 403
    # The machine's id counts, not its name.
    assert lodged.ask("PATCH", "/v1/vms/web", {"name": "www"}).status == 200
    assert lodged.ask("PATCH", "/v1/vms/mail", {"name": "web"}).status == 200
    assert ask("POST", "/v1/vms/www/stop").status == 409
    assert ask("POST", "/v1/vms/web/stop").status == 404


def test_the_audit_log(lodged):
    token = make_token(lodged, "ci", "viewer")
    lodged.make("web")
    lodged.ask("GET", "/v1/vms", token=token)
    lodged.ask("POST", "/v1/vms/web/start", token=token)
    lodged.ask("GET", "/v1", token="lodge_ff")
    last = lodged.ask("GET", "/v1/audit")["last"]
    lodged.kill()
    assert lodged.start() == "ok"
    lines = lodged.ask("GET", "/v1/audit?since=0&limit=100")["audit"]
    assert lines[-1]["id"] == last
    told = [(l.get("who"), l["method"], l["path"], l["status"])
            for l in lines]
    me = lodged.ask("GET", "/v1")["you"]["name"]
    assert told == [
        (me, "POST", "/v1/tokens", 201), (me, "POST", "/v1/vms", 201),
        ("token ci", "POST", "/v1/vms/web/start", 403),
        (None, "GET", "/v1", 401)]
    assert lines[0]["detail"] == "ci" and lines[1]["detail"] == "web"
    assert token not in json.dumps(lines)
    assert len(lodged.ask("GET", "/v1/audit?limit=2")["audit"]) == 2


# --- floods -------------------------------------------------------------------------

def test_requests_are_counted(daemon):
    assert daemon.start(options=["--rate", "2"]) == "ok"
    one, other = (make_token(daemon, name, "viewer") for name in "ab")
    refused = wait_for(lambda: next(
        (a for a in [daemon.ask("GET", "/v1", token=one)]
         if a.status == 429), None))
    assert int(refused.header("retry-after")) >= 1
    assert "try again in" in refused["detail"]
    # Others are not concerned, and it is over after that time.
    assert daemon.ask("GET", "/v1", token=other).status == 200
    assert daemon.ask("GET", "/v1").status == 200
    wait_for(lambda: daemon.ask("GET", "/v1", token=one).status == 200)


def test_wrong_tokens_are_slow(lodged):
    token = make_token(lodged, "a", "viewer")
    wait_for(lambda: lodged.ask("GET", "/v1",
                                token="lodge_guess").status == 429)
    # Nobody else is kept out.
    assert lodged.ask("GET", "/v1", token=token).status == 200
    assert lodged.ask("GET", "/v1").status == 200


# --- TLS ----------------------------------------------------------------------------

def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True,
                   capture_output=True, timeout=LIMIT)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A folder with an authority, a server's certificate, and those of
    clients: one of ours, and one of another authority."""
    base = tmp_path_factory.mktemp("tls")

    def key_and_request(name):
        openssl("req", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                base / f"{name}.key", "-out", base / f"{name}.csr", "-subj",
                f"/CN={name}")

    def sign(name, ca, *more):
        openssl("x509", "-req", "-in", base / f"{name}.csr", "-CA",
                base / f"{ca}.pem", "-CAkey", base / f"{ca}.key", "-out",
                base / f"{name}.pem", "-days", "2", *more)
    for ca in "ca", "other":
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                base / f"{ca}.key", "-out", base / f"{ca}.pem", "-subj",
                f"/CN={ca}", "-days", "2")
    key_and_request("server")
    names = base / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    sign("server", "ca", "-extfile", names)
    for name, ca in ("alice", "ca"), ("mallory", "other"):
        key_and_request(name)
        sign(name, ca)
    return base


def listening_port(pid):
    """Of the one TCP socket that the process listens at."""
    out = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True,
                         check=True, timeout=LIMIT).stdout
    line, = [l for l in out.splitlines() if f"pid={pid}," in l]
    return int(line.split()[3].rsplit(":", 1)[1])


def start_tls(daemon, authority, *options):
    assert daemon.start(options=[
        "--listen", "127.0.0.1:0", "--cert", authority / "server.pem",
        "--key", authority / "server.key", "--rate", "0", *options]) == "ok"
    return listening_port(daemon.child.pid)


def tls(authority, port, client=None, ca="ca"):
    context = ssl.create_default_context(cafile=authority / f"{ca}.pem")
    if client:
        context.load_cert_chain(authority / f"{client}.pem",
                                authority / f"{client}.key")
    return http.client.HTTPSConnection("127.0.0.1", port, context=context,
                                       timeout=LIMIT)


BROKEN = (ssl.SSLError, http.client.HTTPException, OSError)


def test_tls(daemon, authority):
    port = start_tls(daemon, authority)
    token = make_token(daemon, "ci", "admin")
    # From elsewhere nobody is known without a token.
    answer = daemon.ask("GET", "/v1/vms", connection=tls(authority, port))
    assert answer.status == 401
    answer = daemon.ask("POST", "/v1/vms", {"name": "web"}, token=token,
                        connection=tls(authority, port))
    assert answer.status == 201
    line = daemon.ask("GET", "/v1/audit")["audit"][-1]
    assert (line["who"], line["from"]) == ("token ci", "127.0.0.1")
    with pytest.raises(BROKEN):
        daemon.ask("GET", "/v1", connection=tls(authority, port, ca="other"))
    # Neither plain HTTP nor old versions of TLS.
    with socket.create_connection(("127.0.0.1", port), LIMIT) as plain:
        plain.sendall(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert b"HTTP/1.1 2" not in plain.recv(4096)
        except OSError:
            pass
    old = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_1",
         "-cipher", "ALL:@SECLEVEL=0"], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=LIMIT, check=False)
    assert old.returncode != 0 and "Cipher is (NONE)" in old.stdout


def test_certificates_of_clients(daemon, authority):
    port = start_tls(daemon, authority, "--client-ca", authority / "ca.pem")
    token = make_token(daemon, "ci", "admin")
    for client in None, "mallory":
        with pytest.raises(BROKEN):
            daemon.ask("GET", "/v1", token=token,
                       connection=tls(authority, port, client))
    for words, text in ((["--ca", authority / "ca.pem"],
                         "--cert FILE and --key FILE"), ([], "--ca FILE")):
        result = daemon.cli("--connect", f"https://localhost:{port}", *words,
                            "ps")
        assert result.returncode == 1 and text in result.stderr
        assert len(result.stderr.splitlines()) == 1

    def ask(**more):
        return daemon.ask("GET", "/v1", connection=tls(authority, port,
                                                       "alice"), **more)
    # A certificate alone is nobody, until it is given a role.
    assert ask().status == 401
    assert ask(token=token)["you"]["name"] == "token ci"
    assert make_token(daemon, "alice", "viewer", certificate=True) is None
    assert ask()["you"] == {"name": "certificate alice", "role": "viewer"}
    answer = daemon.ask("POST", "/v1/vms", {"name": "web"},
                        connection=tls(authority, port, "alice"))
    assert answer.status == 403
    assert daemon.ask("DELETE", "/v1/tokens/alice").status == 200
    assert ask().status == 401


def test_lodge_from_elsewhere(daemon, authority, tmp_path):
    """The commands, on the machines of another computer's lodged."""
    port = start_tls(daemon, authority)
    secret = tmp_path / "token"
    secret.write_text(make_token(daemon, "ci", "admin") + "\n")
    (tmp_path / "other").mkdir(0o700)
    env = {**daemon.env, "XDG_RUNTIME_DIR": str(tmp_path / "other"),
           "XDG_DATA_HOME": str(tmp_path / "other")}

    def lodge(*words, url=f"https://localhost:{port}", ca="ca", **more):
        return subprocess.run(
            [LODGE, "--connect", url, "--token-file", secret, "--ca",
             authority / f"{ca}.pem", *words], env={**env, **more},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT, check=False)
    assert lodge("create", "web", "--label", "a").returncode == 0
    assert daemon.state("web") == "stopped"
    assert [vm["name"] for vm in json.loads(
        lodge("ps", "--json").stdout)] == ["web"]
    assert json.loads(lodge("top", "--json").stdout) == []
    answer = lodge("pause", "web")
    assert answer.returncode == 1 and "lodge start web" in answer.stderr
    assert lodge("vm", "edit", "web", "--cpus", "2").returncode == 0
    assert "created" in lodge("events").stdout
    assert lodge("rm", "web").returncode == 0
    assert "ci" in lodge("token", "list").stdout
    # By variables as well, and by an address.
    assert lodge("ps", url=f"https://127.0.0.1:{port}").returncode == 0
    assert subprocess.run(
        [LODGE, "ps"], env={**env, "LODGE_HOST": f"unix:{daemon.socket}"},
        capture_output=True, timeout=LIMIT, check=False).returncode == 0
    for words, status, text, more in (
            (["exec", "web", "--", "true"], 2, "this computer alone", {}),
            (["ps"], 1, "certificate", {"ca": "other"}),
            (["stop", "web"], 1, "give https://", {"url": "ftp://x"}),
            (["stop", "web"], 1, "port 1", {"url": "https://127.0.0.1:1"}),
            (["stop", "web"], 1, "no machine web", {})):
        result = lodge(*words, **more)
        assert result.returncode == status and text in result.stderr, result
        assert len(result.stderr.splitlines()) == 1
    secret.write_text("lodge_00")
    result = lodge("ps")
    assert result.returncode == 1 and "lodge token create" in result.stderr
    # Nothing was begun here.
    assert not list((tmp_path / "other").rglob("registry.db"))


def test_clients_that_hang_in_the_handshake(daemon, authority):
    port = start_tls(daemon, authority)
    token = make_token(daemon, "ci", "viewer")
    hanging = [socket.create_connection(("127.0.0.1", port), LIMIT)
               for _ in range(60)]
    for i, client in enumerate(hanging):
        client.sendall(b"\x16\x03\x01\x02\x00\x01" if i % 2 else b"\xff" * 99)
    assert daemon.ask("GET", "/v1", token=token,
                      connection=tls(authority, port)).status == 200
    # All places of others are taken: our own user has his.
    more = []
    for _ in range(200):
        more.append(socket.create_connection(("127.0.0.1", port), LIMIT))
    assert daemon.ask("GET", "/v1").status == 200
    for client in hanging + more:
        client.close()
    wait_for(lambda: reached(daemon, authority, port, token))


def reached(daemon, authority, port, token):
    try:
        return daemon.ask("GET", "/v1", token=token,
                          connection=tls(authority, port)).status == 200
    except BROKEN:
        return False


@pytest.mark.parametrize("options, words", [
    (["--cert", "server.pem", "--key", "none"], "none"),
    (["--cert", "server.pem", "--key", "alice.key"], "cannot serve TLS"),
    (["--cert", "names", "--key", "server.key"], "cannot serve TLS"),
])
def test_files_that_are_none(daemon, authority, options, words):
    options = [o if o.startswith("--") else authority / o for o in options]
    assert words in daemon.start(
        options=["--listen", "127.0.0.1:0", *options])
    assert daemon.gone()[0] == 1


def test_pages_of_elsewhere(lodged):
    """A browser says whose page asks."""
    body = {"name": "web"}
    assert lodged.ask("POST", "/v1/vms", body,
                      {"Origin": "https://evil.example"}).status == 403
    assert lodged.ask("POST", "/v1/vms", body,
                      {"Origin": "null"}).status == 403
    assert lodged.ask("POST", "/v1/vms", body,
                      {"Origin": "https://lodged"}).status == 201


# --- a stream -----------------------------------------------------------------------

class Stream:
    def __init__(self, lodged, since=None, token=None, **headers):
        self.connection = Connection(lodged.socket)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.connection.request(
            "GET", "/v1/events/stream" + (f"?since={since}" if since else ""),
            headers=headers)
        self.response = self.connection.getresponse()

    def next(self):
        """The next event's fields; None at the end."""
        fields = {}
        while True:
            line = self.response.readline().decode()
            if not line:
                return None
            if line == "\n" and fields:
                return fields
            name, _, value = line.rstrip("\n").partition(": ")
            if name and not line.startswith(":"):
                fields[name] = value

    def close(self):
        self.response.close()
        self.connection.close()


def test_events_as_a_stream(lodged):
    lodged.make("a")
    stream = Stream(lodged)
    assert stream.response.getheader("content-type") == "text/event-stream"
    first = stream.next()
    assert first["event"] == "created" and first["id"] == "1"
    assert json.loads(first["data"])["name"] == "a"
    lodged.make("b")
    second = stream.next()
    assert json.loads(second["data"])["name"] == "b"
    stream.close()
    lodged.make("c")
    again = Stream(lodged, **{"Last-Event-ID": second["id"]})
    assert json.loads(again.next()["data"])["name"] == "c"
    again.close()
    again = Stream(lodged, since=second["id"])
    assert json.loads(again.next()["data"])["name"] == "c"
    again.close()
    wait_for(lambda: b"\nlodge_api_clients 1\n" in
             lodged.ask("GET", "/metrics").text)


def test_streams_end_with_their_token(lodged):
    lodged.make("a")
    token = make_token(lodged, "t", grants=[("a", "viewer")])
    stream = Stream(lodged, token=token)
    assert json.loads(stream.next()["data"])["name"] == "a"
    assert lodged.ask("DELETE", "/v1/tokens/t").status == 200
    lodged.ask("PATCH", "/v1/vms/a", {"config": {"cpus": 2}})
    assert stream.next() in (None, {}) or stream.response.isclosed()
    refused = Stream(lodged, token=token)
    assert refused.response.status == 401


def test_a_stream_that_nobody_reads(lodged):
    streams = [Stream(lodged) for _ in range(20)]
    for i in range(100):
        lodged.make(f"vm{i}")
    assert lodged.ask("GET", "/v1")["vms"] == 100
    for stream in streams:
        stream.close()
