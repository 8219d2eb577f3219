# SPDX-License-Identifier: Apache-2.0
"""What the tests of lodged share: a place of its own, a client over its Unix
socket that holds each answer against the OpenAPI document, and its end."""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import jsonschema
import yaml

from conftest import BUILD, LODGE, SOURCE

LODGED = BUILD / "lodged"
LIMIT = int(os.environ.get("LODGE_LIMIT", 120))
DOCUMENT = yaml.safe_load(
    (SOURCE / "docs" / "api" / "openapi.yaml").read_text())


def wait_for(condition, seconds=LIMIT):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


# --- the document ----------------------------------------------------------------

RESOLVER = jsonschema.RefResolver("", DOCUMENT)


def resolved(part):
    while "$ref" in part:
        part = RESOLVER.resolve(part["$ref"])[1]
    return part


def check_schema(schema, value):
    jsonschema.Draft202012Validator(schema, resolver=RESOLVER).validate(value)


def operation_of(method, path):
    """The operation of the document that a request is for: of those that the
    path fits, the one with the fewest parts in braces."""
    parts = path.split("?")[0].strip("/").split("/")
    fits = []
    for pattern, item in DOCUMENT["paths"].items():
        names = pattern.strip("/").split("/")
        if len(names) == len(parts) and all(
                n == p or n.startswith("{") for n, p in zip(names, parts)):
            fits.append((pattern.count("{"), pattern, item))
    assert fits, f"{method} {path} is not in the document"
    return min(fits)[2][method.lower()]


def check_answer(method, path, answer):
    """The status is one of the document's, and the body is what it says."""
    responses = operation_of(method, path)["responses"]
    response = resolved(responses.get(str(answer.status),
                                      responses["default"]))
    if "content" not in response:
        assert not answer.text
        return
    kind, = response["content"]
    assert answer.type.split(";")[0] == kind
    if answer.json is None:
        assert "json" not in kind
        return
    check_schema(response["content"][kind]["schema"], answer.json)


def check_request(method, path, body):
    content = operation_of(method, path)["requestBody"]["content"]
    check_schema(content["application/json"]["schema"], body)


# --- figures ------------------------------------------------------------------------

def figures(text):
    """Prometheus' text format, read strictly: {(name, labels): value}."""
    found, kinds = {}, {}
    label = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
    line_form = re.compile(r"([a-z_]+)(?:\{((?:%s,?)*)\})? ([-+.e0-9]+)$"
                           % label)
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line[7:].split()
            assert name not in kinds, f"{name} twice"
            kinds[name] = kind
            # As promtool's linter has it.
            assert name.endswith("_total") == (kind == "counter")
        elif not line.startswith("# HELP "):
            name, labels, value = line_form.match(line).groups()
            assert list(kinds)[-1] == name, "lines of a figure are together"
            assert (name, labels) not in found
            found[name, labels] = float(value)
    return found


# --- a client -----------------------------------------------------------------------

class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout=LIMIT):
        super().__init__("lodged", timeout=timeout)
        self.path = str(path)

    def connect(self):
        # While others stand in its queue, a connect with a timeout fails.
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)
        self.sock.settimeout(self.timeout)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.type = response.getheader("content-type")
        self.etag = response.getheader("etag")
        self.location = response.getheader("location")
        self.header = response.getheader
        self.text = response.read()
        self.json = (json.loads(self.text)
                     if "json" in (self.type or "") else None)

    def __getitem__(self, name):
        return self.json[name]


class Daemon:
    """A lodged with folders of its own, which a test starts and kills."""
    def __init__(self, base):
        self.base = pathlib.Path(base)
        self.env = {**os.environ,
                    "XDG_RUNTIME_DIR": str(self.base / "r"),
                    "XDG_DATA_HOME": str(self.base / "d")}
        self.runtime = self.base / "r" / "lodge"
        self.data = self.base / "d" / "lodge"
        (self.base / "r").mkdir(0o700, exist_ok=True)
        (self.base / "d").mkdir(0o700, exist_ok=True)
        self.socket = self.runtime / "lodged.api"
        self.child = None

    # Its process.

    def start(self, *before, program=LODGED, options=()):
        """Starts it; `before`: a program that runs it."""
        there, here = os.pipe()
        self.child = subprocess.Popen(
            [*map(str, before), program, "--ready", str(here),
             *map(str, options)], env=self.env,
            pass_fds=[here], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        os.close(here)
        with os.fdopen(there) as ready:
            return ready.readline().strip()

    def kill(self):
        self.child.kill()
        return self.gone()

    def end(self):
        self.child.terminate()
        return self.gone()

    def gone(self):
        error = self.child.communicate(timeout=LIMIT)[1]
        status, self.child = self.child.returncode, None
        return status, error

    def clear(self):
        """Ends all that it has started, whoever started it."""
        for pid in self.daemons() | self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.child:
            self.kill()
        wait_for(lambda: not self.processes())
        wait_for(self.no_groups)

    def groups(self):
        """The folders of its control groups."""
        number = 5381
        for c in str(self.data).encode():
            number = (number * 33 + c) & 0xffffffff
        name = f"lodge/{os.getuid()}-{number:08x}"
        top = pathlib.Path("/sys/fs/cgroup")
        return [f for f in (*top.glob(name), *top.glob("*/" + name))
                if f.is_dir()]

    def no_groups(self):
        """Whether those of processes that nobody waits for can go."""
        for folder in self.groups():
            for path in (*folder.glob("*/"), folder, folder.parent):
                try:
                    path.rmdir()
                except OSError:
                    pass
        return not self.groups()

    # What there is.

    def with_folder(self, name):
        """Processes of that name with our folders in their environment."""
        found = set()
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                if pathlib.Path(command[0].decode()).name != name:
                    continue
                env = (entry / "environ").read_bytes().split(b"\0")
                if f"XDG_DATA_HOME={self.base / 'd'}".encode() in env:
                    found.add(int(entry.name))
            except OSError:
                pass
        return found

    def processes(self):
        return self.with_folder("lodge-vm")

    def daemons(self):
        return self.with_folder("lodged")

    def cli(self, *args, timeout=LIMIT, cwd=None):
        return subprocess.run([LODGE, *map(str, args)], env=self.env, cwd=cwd,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, check=False)

    def ps(self):
        result = self.cli("ps", "--json")
        assert result.returncode == 0, result.stderr
        return {vm["name"]: vm for vm in json.loads(result.stdout)}

    # The API.

    def ask(self, method, path, body=None, headers=None, check=True,
            token=None, connection=None):
        """A request on a connection of its own; the answer is held against
        the document, and the request where it was not refused."""
        connection = connection or Connection(self.socket)
        if token:
            headers = {**(headers or {}), "Authorization": f"Bearer {token}"}
        try:
            connection.request(method, path,
                               None if body is None else json.dumps(body),
                               headers or {})
            answer = Answer(connection.getresponse())
        finally:
            connection.close()
        if check:
            check_answer(method, path, answer)
            if body is not None and answer.status < 400:
                check_request(method, path, body)
        return answer

    def make(self, name, **config):
        answer = self.ask("POST", "/v1/vms", {"name": name, "config": config})
        assert answer.status == 201, answer.text
        return answer

    def say(self, name, verb, body=None, wait=LIMIT):
        return self.ask("POST", f"/v1/vms/{name}/{verb}?wait={wait}", body)

    def vm(self, name):
        return self.ask("GET", f"/v1/vms/{name}").json

    def state(self, name):
        return self.vm(name)["state"]

    def wait_state(self, name, *states):
        return wait_for(lambda: self.state(name) in states)

    def events(self, **more):
        args = "&".join(f"{k}={v}" for k, v in {"limit": 1000, **more}.items())
        return self.ask("GET", f"/v1/events?{args}")["events"]

    def kinds(self, name):
        return [e["kind"] for e in self.events() if e.get("name") == name]


class OtherPrograms(Daemon):
    """One in the place of whose programs a test may put scripts."""
    def __init__(self, base):
        super().__init__(base)
        self.bin = self.base / "bin"
        self.bin.mkdir()
        for path in BUILD.glob("lodge*.so"):
            (self.bin / path.name).symlink_to(path)
        # It finds the others beside the name that it was started by.
        os.link(BUILD / "lodged", self.bin / "lodged")
        for name in "lodge", "lodge-vm":
            self.script(name, 'exec "$real" "$@"')

    def script(self, name, text):
        """$real is the program itself."""
        new = self.bin / "new"
        new.write_text(f'#!/bin/sh\nreal="{BUILD / name}"\n{text}\n')
        new.chmod(0o755)
        new.rename(self.bin / name)

    def start(self, *before, **more):
        return super().start(*before, program=self.bin / "lodged", **more)
