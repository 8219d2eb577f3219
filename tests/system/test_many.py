# SPDX-License-Identifier: Apache-2.0
"""Verbs for several machines: by names, by a label, all; of each that fails a
line, and the others are done."""
import json
import os
import re
import signal
import subprocess

import pytest

import tiny
from conftest import ENGINE, LODGE
from daemon import LODGED, Daemon, wait_for

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")


@pytest.fixture
def place(tmp_path):
    """Three machines that are kept, a, b and c, and one that is not."""
    daemon = Daemon(tmp_path)
    kernel = tmp_path / "idle.elf"
    kernel.write_bytes(tiny.kernel(tiny.HALT))
    words = ["--kernel", kernel, "--memory", "16M", "--engine", ENGINE]
    for name in "abc":
        result = daemon.cli("create", name, *words, "--label", f"tier={name}",
                            "--label", "kept")
        assert result.returncode == 0, result.stderr
    plain = subprocess.Popen(
        [LODGE, "run", *map(str, words), "--serial", "none", "--name",
         "plain"], env=daemon.env, stdin=subprocess.DEVNULL)
    wait_for(lambda: "plain" in daemon.ps())
    yield daemon
    plain.kill()
    plain.wait()
    daemon.clear()


def states(place):
    return " ".join(vm["state"] for _, vm in sorted(place.ps().items()))


def good(place, *words):
    result = place.cli(*words)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def bad(place, status, lines, *words):
    """The lines name these, one each."""
    result = place.cli(*words)
    assert result.returncode == status and result.stdout == ""
    told = result.stderr.splitlines()
    assert len(told) == len(lines), result.stderr
    for line, name in zip(told, lines):
        assert line.startswith(f"lodge: {words[0]}: ") and name in line


def test_hold(place):
    good(place, "start", "--all")
    assert states(place) == "running " * 3 + "running"
    bad(place, 1, ["machine nope", "machine nix"], "pause", "a", "nope",
        "plain", "nix")
    wait_for(lambda: states(place) == "paused running running paused")
    # One that is paused already is told of by name, and left by --all.
    bad(place, 1, ["a is paused"], "pause", "b", "a")
    good(place, "pause", "--all")
    wait_for(lambda: states(place) == "paused " * 3 + "paused")
    good(place, "resume", "--label", "tier=b")
    wait_for(lambda: states(place) == "paused running paused paused")
    assert good(place, "resume", "--all", "--dry-run").splitlines() == [
        "would resume a", "would resume c", "would resume plain"]
    good(place, "resume", "--all")
    wait_for(lambda: states(place) == "running " * 3 + "running")
    good(place, "reset", "a", "plain", "a")
    assert len([e for e in map(json.loads, good(
        place, "events", "--json", "a").splitlines())
        if e["kind"] == "paused"]) == 1


def test_stop_and_rm(place):
    good(place, "start", "a", "b")
    assert good(place, "stop", "--all", "--dry-run").splitlines() == [
        f"would stop {name}" for name in ("a", "b", "plain")]
    # These guests heed no button.
    good(place, "stop", "--all", "--timeout", "1")
    assert states(place) == "stopped stopped stopped"
    bad(place, 1, ["b does not run"], "stop", "b")
    bad(place, 1, ["a does not run", "machine nope", "c does not run"], "stop",
        "--force", "a", "nope", "c")
    good(place, "stop", "--all")
    good(place, "start", "b")
    bad(place, 1, ["b runs"], "rm", "--all")
    assert list(place.ps()) == ["b"]


@pytest.mark.parametrize("verb", ["start", "stop", "pause", "resume", "reset",
                                  "rm"])
def test_words(place, verb):
    bad(place, 2, ["name is missing"], verb)
    bad(place, 2, ["or --all"], verb, "a", "--all")
    bad(place, 2, ["not both"], verb, "--label", "kept", "--all")
    bad(place, 1, ["the label none"], verb, "--label", "none")
    assert states(place) == "stopped stopped stopped running"


def test_what_is_not_there(place, tmp_path):
    bad(place, 1, ["nix"], "events", "nix")
    bad(place, 1, [f"{tmp_path}/none.yaml"], "apply", "-f",
        f"{tmp_path}/none.yaml")
    bad(place, 2, ["run has no verbs"], "help", "run", "web")
    bad(place, 2, ["poweroff, reboot"], "agent", "plain", "halt")


def test_where_nothing_is_kept(tmp_path):
    """No lodged is started for it."""
    daemon = Daemon(tmp_path)
    bad(daemon, 1, ["the label web"], "pause", "--label", "web")
    bad(daemon, 1, ["x", "y"], "stop", "x", "y")
    good(daemon, "resume", "--all")
    assert not daemon.daemons()


def test_one_that_is_not_kept(place):
    for words in (["start"], ["rm"], ["crashes"], ["export"],
                  ["edit", "--cpus", "2"]):
        bad(place, 1, ["plain is a machine of lodge run, which is not kept"],
            *words, "plain")
    good(place, "rm", "--force", "plain", "a")
    assert "plain" not in place.ps() and "a" not in place.ps()


def test_one_that_hangs(place):
    """It holds up nobody, is told of, and can be ended."""
    good(place, "start", "a")
    pid = place.ps()["plain"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: place.ps()["plain"]["state"] == "silent")
    assert place.ps()["a"]["state"] == "running"
    row, = (line for line in place.cli("ps").stdout.splitlines()
            if line.startswith("plain"))
    assert str(pid) in row and "its process is stopped" in row
    assert "(silent)" in place.cli("list").stdout
    bad(place, 1, [f"kill -CONT {pid}"], "stop", "plain")
    good(place, "stop", "--force", "plain")
    assert "plain" not in place.ps()


def listings(place):
    """Every command that has --json, with words for it where it wants some."""
    words = {("status",): ["a"], ("inspect",): ["a"], ("balloon",): ["a"],
             ("crashes",): ["a"], ("job",): ["a"], ("limit",): ["a"],
             ("net", "show"): ["lab"], ("image", "info"): ["tiny"],
             ("net", "rules"): ["lab", "a"],
             ("disk", "info"): ["disk.qcow2"], ("disk", "map"): ["disk.qcow2"],
             ("disk", "check"): ["disk.qcow2"],
             ("disk", "compare"): ["disk.qcow2", "disk.qcow2"],
             ("disk", "snapshot"): ["list", "disk.qcow2"],
             ("disk", "bitmap"): ["list", "disk.qcow2"]}
    # They change something, and others have tests of them.
    left = {"agent", "attach", "mirror", "commit", "rebase", "create", "edit",
            "build", "pull", "import", "export", "remove", "forget", "delete",
            "revoke", "resize", "convert", "encrypt", "key", "clone", "run",
            "start", "stop", "rm", "pause", "resume", "reset", "apply",
            "insert", "eject", "detach", "keys", "screenshot"}

    def verbs(*noun):
        text = place.cli("help", *noun).stdout
        return re.findall(r"^  ([a-z]+) +\S",
                          text.split("tells more about")[0], re.MULTILINE)
    for command in verbs():
        if command == "vm":  # whose verbs are those of the short forms
            continue
        noun = "VERB --help tells" in place.cli("help", command).stdout
        for verb in [(command, v) for v in verbs(command)] if noun else \
                [(command,)]:
            if verb[-1] not in left and \
                    "  --json " in place.cli("help", *verb).stdout:
                yield [*verb, "--json", *words.get(verb, [])]


def test_json_everywhere(place):
    folder = place.base
    (folder / "disk.img").write_bytes(bytes(1 << 20))
    for words in (["start", "a"], ["net", "create", "lab"],
                  ["disk", "create", folder / "disk.qcow2", "1M"],
                  ["token", "create", "ci", "--grant", "a=viewer"],
                  ["image", "import", folder / "disk.img", "--name", "tiny"]):
        result = place.cli(*words)
        assert result.returncode == 0, result.stderr
    found = 0
    for words in listings(place):
        result = place.cli(*words, cwd=folder)
        if result.returncode == 1 and words[0] in ("job", "limit"):
            continue  # it has no disk
        assert (result.returncode, result.stderr) == (0, ""), words
        if "events" in words or "audit" in words:
            assert [json.loads(line) for line in result.stdout.splitlines()]
        else:
            json.loads(result.stdout)
        found += 1
    assert found >= 25
