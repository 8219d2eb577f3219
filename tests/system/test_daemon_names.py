# SPDX-License-Identifier: Apache-2.0
"""Names and settings that cannot be: each is told in one line when it is given,
and no other machine has it instead."""
import socket
import subprocess

import pytest

from daemon import LODGED
from test_usage import refused

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")


def answer_to(lodged, line):
    """The first line of the answer to a request whose first line this is."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(lodged.socket))
        client.settimeout(60)
        client.sendall(line + b"\r\nHost: x\r\n\r\n")
        return client.recv(65536).split(b"\r\n")[0]


@pytest.mark.parametrize("end", [b"%0A", b"%0a%0d", b"%0Dx", b"%00", b"%00x",
                                 b"%20HTTP/1.1%0D%0AX:"])
@pytest.mark.parametrize("method,verb", [(b"DELETE", b""),
                                         (b"GET", b""),
                                         (b"POST", b"/start")])
def test_a_path_with_an_end_in_it(lodged, method, verb, end):
    """What is in front of that end is another machine's path."""
    lodged.make("web")
    status = answer_to(lodged, method + b" /v1/vms/web" + end + verb +
                       b" HTTP/1.1")
    assert not status or b" 400 " in status
    assert lodged.state("web") == "stopped"


def test_a_request_without_a_version(lodged):
    lodged.make("web")
    assert b" 400 " in answer_to(lodged, b"DELETE /v1/vms/web")
    assert lodged.state("web") == "stopped"


@pytest.mark.parametrize("verb", ["start", "stop", "rm", "pause", "edit",
                                  "export", "crashes", "events", "console",
                                  "status", "shell"])
def test_words_that_are_no_names(lodged, verb):
    lodged.make("a")
    refused(lodged.cli(verb, ""), 2, "a machine's name is missing")
    for name in ("a/b", "a\nb", "../a", "a?", "\x1b[31m"):
        told = refused_line(lodged.cli(verb, name))
        assert "is no machine's name" in told
        assert all(letter.isprintable() for letter in told)
    assert lodged.state("a") == "stopped"


def refused_line(result):
    refused(result, 2)
    return result.stderr.rstrip("\n")


@pytest.mark.parametrize("name,word", [
    ("", "a machine's name is missing"),
    *((name, "1 to 63 letters") for name in ("-x", ".x", "a\nb", "a/b", "ü",
                                             "x" * 64)),
])
def test_names_that_are_not_given(lodged, name, word):
    refused(lodged.cli("create", "--", name), 2, word)
    assert lodged.ask("GET", "/v1")["vms"] == 0


@pytest.mark.parametrize("options,word", [
    (["--publish", "x"], "--publish: x: give [HOST:]PORT"),
    (["--publish", "99999:80"], "--publish: 99999:80: give"),
    (["--net", "usr"], "--net: usr: give user, tap"),
    (["--net", "user,mac=zz"], "--net: mac zz: give"),
    (["--display", "foo"], "--display: foo: give none, std"),
    (["--memory", "1M"], "--memory: give bytes, whole MiB, from 4 MiB to 1"),
    (["--label", "=x"], "--label: give names"),
    (["--share", "/tmp"], "create: --share /tmp: give FOLDER"),
    (["no-such-image"], "there is no image no-such-image"),
])
def test_settings_that_no_start_would_take(lodged, options, word):
    lodged.make("old")
    refused(lodged.cli("create", "web", *options), 2, word)
    refused(lodged.cli("create", "web", *options, "--dry-run"), 2, word)
    assert lodged.ask("GET", "/v1")["vms"] == 1
    if options[0].startswith("--"):
        refused(lodged.cli("edit", "old", *options), 2,
                word.replace("create:", "edit:"))


def test_what_was_kept_before_stays(lodged):
    """A setting that is refused today is no reason to lose a machine."""
    lodged.make("web", publish=["8080:80"])
    answer = lodged.ask("PATCH", "/v1/vms/web",
                        {"config": {"publish": ["8080"]}})
    assert answer.status == 400 and "publish" in answer["detail"]
    assert lodged.vm("web")["config"]["publish"] == ["8080:80"]


@pytest.mark.parametrize("options,word", [
    (["--bogus"], "--bogus: unknown option"), (["word"], '"word"'),
    (["--listen"], "--listen: its value is missing"),
    (["--rate", "x"], "--rate x"), (["--cert", "x"], "go together")])
def test_options_of_lodged(options, word):
    result = subprocess.run([LODGED, *options], capture_output=True, text=True,
                            timeout=60, check=False)
    assert result.returncode == 2 and word in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("query", [
    "dryrun=true", "dry_run", "dry_run=", "dry_run=1", "dry-run=true",
    "dry_run=true&dry_run=false", "wait=1&dryrun=true", "&dryrun=true",
    "a" * 300, "label=" + "a" * 300 + "&dry_run=true",
    "&".join(["wait=1"] * 20 + ["dry_run=true"])])
def test_arguments_that_are_not_known(lodged, query):
    """Who asks for no more than a look has no machine deleted."""
    lodged.make("web")
    answer = lodged.ask("DELETE", f"/v1/vms/web?{query}")
    assert answer.status == 400, answer.text
    assert lodged.state("web") == "stopped"


def test_arguments_have_words_of_their_own(lodged):
    for query, words in (("limt=3", "did you mean limit?"),
                         ("state=on", "give stopped, starting, running"),
                         ("limit=3&limit=4", "limit: is there twice")):
        answer = lodged.ask("GET", f"/v1/vms?{query}")
        assert answer.status == 400 and words in answer["detail"]
    assert lodged.ask("GET", "/v1/vms?").status == 200
    assert lodged.ask("GET", "/v1/vms?state=running&limit=5").status == 200
