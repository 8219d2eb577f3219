# SPDX-License-Identifier: Apache-2.0
"""lodge completion: in the shells themselves, and what they are told."""
import json
import os
import shutil
import subprocess

import pexpect
import pytest

import tiny
from conftest import BUILD, ENGINE, LODGE
from daemon import LODGED, Daemon

pytestmark = pytest.mark.skipif(not LODGED.exists(), reason="no lodged")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two machines that are kept, one of which runs; an image, a network."""
    daemon = Daemon(tmp_path_factory.mktemp("completion"))
    kernel = daemon.base / "idle.elf"
    kernel.write_bytes(tiny.kernel(tiny.HALT))
    for name in ("web", "wiki"):
        result = daemon.cli("create", name, "--kernel", kernel, "--memory",
                            "16M", "--engine", ENGINE)
        assert result.returncode == 0, result.stderr
    assert daemon.cli("start", "web").returncode == 0
    result = daemon.cli("net", "create", "lab")
    assert result.returncode == 0, result.stderr
    image = daemon.base / "disk.img"
    image.write_bytes(bytes(1 << 20))
    result = daemon.cli("image", "import", image, "--name", "tiny")
    assert result.returncode == 0, result.stderr
    yield daemon
    daemon.clear()


def shell(place, *args, folder=None):
    env = {**place.env, "PATH": f"{BUILD}:{os.environ['PATH']}",
           "HOME": str(place.base)}
    result = subprocess.run(args, env=env, cwd=folder or place.base,
                            stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split("\n")[:-1]


def in_bash(place, *words):
    """What bash would offer for the last of the words, as it cuts them."""
    quoted = " ".join(f"'{w}'" for w in ("lodge", *words))
    return shell(place, "bash", "-c",
                 "source <(lodge completion bash); "
                 f"COMP_WORDS=({quoted}) COMP_CWORD={len(words)}; _lodge; "
                 '(( ${#COMPREPLY[@]} )) && printf "%s\\n" "${COMPREPLY[@]}"; '
                 "true")


def in_zsh(place, *words):
    """The same, with stand-ins for zsh's own functions."""
    quoted = " ".join(f"'{w}'" for w in ("lodge", *words))
    lines = shell(place, "zsh", "-fc",
                  "compdef() { :; }; _files() { print -l *(N); }; "
                  "_describe() { print -rl -- ${found%%:*}; }; "
                  "source <(lodge completion zsh); "
                  f"words=({quoted}) CURRENT={len(words) + 1}; _lodge; true")
    last = words[-1]
    return [line.replace("\\", "") for line in lines
            if line.startswith(last)]


def in_fish(place, *words):
    line = " ".join(["lodge", *words])
    lines = shell(place, "fish", "-c",
                  "lodge completion fish | source; "
                  f"complete --do-complete '{line}'")
    return [line.split("\t")[0] for line in lines]


SHELLS = [pytest.param(function, id=name, marks=pytest.mark.skipif(
    not shutil.which(name), reason=f"no {name}"))
    for name, function in (("bash", in_bash), ("zsh", in_zsh),
                           ("fish", in_fish))]


@pytest.mark.parametrize("words, offered", [
    (["scr"], ["screenshot"]),
    (["image", "ca"], ["catalogue"]),
    (["run", "--eph"], ["--ephemeral"]),
    (["stop", "w"], ["web"]),
    (["start", "w"], ["wiki"]),
    (["edit", "w"], ["web", "wiki"]),
    (["vm", "rm", "wi"], ["wiki"]),
    (["run", "ti"], ["tiny"]),
    (["create", "new", "ti"], ["tiny"]),
    (["net", "show", "l"], ["lab"]),
    (["run", "--engine", "k"], ["kvm"]),
    (["disk", "create", "--format", "qc"], ["qcow2"]),
    (["run", "--kernel", "idl"], ["idle.elf"]),
    (["run", "--cpus", "2", "--disk", "dis"], ["disk.img"]),
    (["disk", "info", "dis"], ["disk.img"]),
    (["help", "scr"], ["screenshot"]),
    (["nothing", "x"], []),
])
@pytest.mark.parametrize("complete", SHELLS)
def test_a_word(place, complete, words, offered):
    assert sorted(complete(place, *words)) == offered


@pytest.mark.parametrize("complete", SHELLS)
def test_all_commands(place, complete):
    found = complete(place, "")
    assert {"run", "stop", "image", "completion", "help"} <= set(found)


def test_values_behind_an_equals_sign(place):
    assert in_bash(place, "run", "--engine", "=", "so") == ["soft"]
    assert in_bash(place, "run", "--engine", "=") == ["auto", "kvm", "soft"]
    assert in_bash(place, "run", "--net", "network", "=", "l") == ["lab"]


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish")
def test_values_behind_an_equals_sign_in_fish(place):
    assert in_fish(place, "run", "--engine=so") == ["--engine=soft"]


PROMPT = "ready>"


def at_a_prompt(place, name):
    """The shell itself, at a terminal, with lodge's completion."""
    rc = place.base / f"{name}.rc"
    start = {"bash": ["bash", "--noprofile", "--rcfile", str(rc), "-i"],
             "zsh": ["zsh", "-f", "-i"],
             "fish": ["fish", "--no-config", "-i"]}[name]
    rc.write_text("PS1=ready\\>; bind 'set enable-bracketed-paste off'; "
                  "source <(lodge completion bash)\n")
    first = {"bash": "", "fish": "function fish_prompt; echo -n ready\\>; end; "
             "lodge completion fish | source",
             "zsh": "autoload -U compinit; compinit -u -d $HOME/dump; "
             "source <(lodge completion zsh); PS1=rea''dy\\>"}[name]
    child = pexpect.spawn(start[0], start[1:], timeout=60, encoding="utf-8",
                          cwd=place.base, dimensions=(24, 200), env={
                              **place.env, "TERM": "xterm", "HOME":
                              str(place.base), "PATH":
                              f"{BUILD}:{os.environ['PATH']}"})
    child.delaybeforesend = None
    if first:
        child.send(first + "\r")
    child.expect_exact(PROMPT)
    return child


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.skipif(
    not shutil.which(name), reason=f"no {name}"))
    for name in ("bash", "zsh", "fish")])
def test_tab_in_the_shell_itself(place, name):
    """What was completed is run, and so it is told by what it printed."""
    child = at_a_prompt(place, name)
    for typed, told in (("lodge net sho\tla\t--j\t", '"name": "lab"'),
                        ("lodge stat\twe\t", "name       web"),
                        ("lodge image inf\tti\t", "name       tiny"),
                        ("lodge disk info disk\t", "1 MiB (1048576 bytes)")):
        child.send(typed + "\r")
        child.expect_exact(told)
        child.expect_exact(PROMPT)
    child.close(force=True)


def words(place, *line):
    result = place.cli("completion", "words", "--", *line)
    assert result.returncode == 0 and result.stderr == ""
    return result.stdout.splitlines()


def test_what_was_given_is_not_offered_again(place):
    first = words(place, "run", "--cp")
    assert [line.split("\t")[0] for line in first] == ["--cpus"]
    assert words(place, "run", "--cpus", "2", "--cp") == []
    assert words(place, "run", "--disk", "a", "--disk-s")[0].startswith(
        "--disk-size")
    assert any(line.startswith("--disk\t") for line in words(
        place, "run", "--disk", "a", "--disk"))


def test_words_of_a_program_are_files(place):
    assert words(place, "exec", "web", "--", "c") == [":files"]
    assert words(place, "cp", "w") == [":files", "web:\trunning"]


def test_every_option_is_offered(place):
    """By the help of each command, which the same tables print."""
    for command in ("run", "create", "stop", "attach", "ps"):
        text = place.cli("help", command).stdout
        options = [line.split()[0] for line in text.splitlines()
                   if line.startswith("  --")]
        offered = [line.split("\t")[0]
                   for line in words(place, command, "--")]
        assert offered == [*options, "--help"]


def test_it_starts_no_daemon_where_nothing_is_kept(tmp_path):
    daemon = Daemon(tmp_path)
    assert words(daemon, "stop", "") == []
    assert not daemon.daemons()
    assert json.loads(daemon.cli("ps", "--json").stdout) == []


def test_the_scripts_have_no_mistakes(place):
    for name in ("bash", "zsh", "fish"):
        script = place.base / f"script.{name}"
        script.write_text(place.cli("completion", name).stdout)
        if shutil.which(name):
            shell(place, name, "-n", str(script))
    assert LODGE.exists()
