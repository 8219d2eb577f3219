# SPDX-License-Identifier: Apache-2.0
"""Commands, options, and every kind of bad input: one line, a status."""
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess

import pytest

import tiny
from conftest import LODGE, run


def refused(result, status, *words):
    """One line from lodge that names these words; nothing on stdout."""
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("lodge: ")
    for word in words:
        assert word in lines[0]


# --- commands ----------------------------------------------------------------

def test_no_command_shows_usage():
    result = run()
    assert result.returncode == 2
    assert result.stderr.startswith("usage: lodge COMMAND")


@pytest.mark.parametrize("args", [["help"], ["--help"]])
def test_help_lists_commands(args):
    result = run(*args)
    assert result.returncode == 0
    for word in ("run", "create", "edit", "start", "ps", "rm", "events",
                 "console", "list", "status", "stop", "reset", "screenshot",
                 "keys", "inspect", "host", "version", "help"):
        assert f"\n  {word} " in result.stdout


def verbs(*noun):
    """What the help lists: commands, or the verbs of a noun."""
    text = run("help", *noun).stdout
    text = text.split("tells more about one.")[0]
    return re.findall(r"^  ([a-z]+) +\S", text, re.MULTILINE)


def is_noun(command):
    return "VERB --help tells" in run("help", *command).stdout


def every_command():
    """Each as a list of words: ["run"], ["image", "list"]."""
    for command in verbs():
        if is_noun([command]):
            yield from ([command, verb] for verb in verbs(command))
        yield [command]


COMMANDS = list(every_command())


def test_nouns_have_verbs():
    assert ["image", "list"] in COMMANDS and ["net", "show"] in COMMANDS
    assert ["disk", "create"] in COMMANDS and ["host"] in COMMANDS


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_a_command(command):
    by_name, by_option = run("help", *command), run(*command, "--help")
    assert by_name.returncode == by_option.returncode == 0
    assert by_name.stderr == by_option.stderr == ""
    assert by_name.stdout == by_option.stdout
    usage = by_name.stdout.splitlines()[0]
    # Those of lodge vm are called by their short forms.
    assert usage.startswith((f"usage: lodge {' '.join(command)}",
                             f"usage: lodge {command[-1]}"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_fits_and_shows_an_example(command):
    text = run(*command, "--help").stdout
    assert [line for line in text.splitlines() if len(line) > 80 and
            not re.search(r"\S{55}", line)] == []
    examples = text.split("\nexamples:\n")[1].split("\n\n")[0]
    for line in examples.splitlines():
        words = line.split("lodge ", 1)[1].split()
        words.insert(0, "lodge")
        assert words[1] in (command[0], command[-1]) or \
            len(command) == 1, line


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_unknown_option_of_a_command(command):
    if is_noun(command):
        command = [*command, verbs(*command)[0]]
    refused(run(*command, "--no-such-thing"), 2, "--no-such-thing")
    known = re.findall(r"^  --([a-z][a-z-]{4,})",
                       run(*command, "--help").stdout, re.MULTILINE)
    for name in known[:2]:
        wrong = name[:2] + name[3:]
        refused(run(*command, f"--{wrong}"), 2, f"--{wrong}",
                "did you mean --")


def test_version():
    assert run("version").stdout == run("--version").stdout
    assert run("version").stdout.startswith("lodge 0.")


def test_host_names_every_engine():
    result = run("host")
    assert result.returncode == 0
    for word in ("processors", "memory", "huge pages", "io_uring",
                 "engine soft", "engine kvm", "engine auto"):
        assert any(line.startswith(word)
                   for line in result.stdout.splitlines()), word


@pytest.mark.parametrize("command", [
    ["ps"], ["list"], ["top"], ["vm", "ps"], ["image", "list"],
    ["image", "machines"], ["image", "catalogue"], ["net", "list"], ["host"],
    ["version"]], ids=" ".join)
def test_json_of_lists(command):
    """What lists or shows without a name; those with one have other tests."""
    result = run(*command, "--json")
    assert result.returncode == 0, result.stderr
    json.loads(result.stdout)


@pytest.mark.parametrize("word,like", [("rum", "run"), ("hots", "host"),
                                       ("ver", "version")])
def test_unknown_command_suggests(word, like):
    refused(run(word), 2, word, f"did you mean {like}?")


@pytest.mark.parametrize("words,like", [
    (["logs", "web"], "console"), (["networks"], "net"),
    (["kill", "web"], "stop"), (["image", "lst"], "list")])
def test_what_others_call_it(words, like):
    refused(run(*words), 2, words[1] if len(words) > 2 else words[0],
            f"did you mean {like}?")


@pytest.mark.parametrize("words,same", [
    ("delete", "rm"), ("remove", "rm"), ("ls", "ps"), ("info", "status"),
    ("network show", "net show"), ("image rm", "image remove"),
    ("image delete", "image remove"), ("image ls", "image list"),
    ("image show", "image info"), ("net rm", "net delete"),
    ("net remove", "net delete"), ("net info", "net show"),
    ("token rm", "token revoke"), ("vm delete", "vm rm"),
    ("disk show", "disk info")])
def test_other_words_for_the_same(words, same):
    assert run(*words.split(), "--help").stdout == \
        run("help", *same.split()).stdout
    assert run("help", *words.split()).stdout == \
        run("help", *same.split()).stdout


def test_the_noun_vm_has_all_that_machines_have():
    """Each command that wants a machine's name."""
    missing = [c for c, in (c for c in COMMANDS if len(c) == 1)
               if re.search(r"^usage: lodge \S+ (\[.*\] )?NAME\b",
                            run("help", c).stdout) and ["vm", c] not in COMMANDS]
    assert missing == []


@pytest.mark.parametrize("words,what", [
    ("token revoke", "a token's"), ("net delete", "a network's"),
    ("net show", "a network's"), ("image remove", "an image's"),
    ("image info", "an image's"), ("rm", "a machine's")])
def test_an_empty_name_is_none(words, what):
    refused(run(*words.split(), ""), 2, f"{words}: {what} name is missing")


def test_unknown_command_without_a_likeness():
    refused(run("frobnicate"), 2, "frobnicate", "lodge help")


# --- options -----------------------------------------------------------------

@pytest.mark.parametrize("args,words", [
    (["--memroy", "1G"], ["--memroy", "did you mean --memory?"]),
    (["--mem", "1G"], ["--mem", "--memory"]),
    (["--zzz"], ["--zzz", "lodge help run"]),
    (["debian", "kernel"], ["unexpected argument", "kernel"]),
    (["--cpus"], ["--cpus needs a value"]),
    (["--cpus", "--memory", "1G"], ["--cpus needs a value"]),
    (["--no-reboot=yes"], ["--no-reboot takes no value"]),
    (["--cpus", "0"], ["--cpus 0", "1 to 64"]),
    (["--cpus", "1000"], ["--cpus 1000", "1 to 64"]),
    (["--cpus", "-1"], ["--cpus -1", "1 to 64"]),
    (["--cpus", "2x"], ["--cpus 2x", "1 to 64"]),
    (["--cpus", "99999999999999999999"], ["1 to 64"]),
    (["--memory", "1"], ["--memory 1", "too little"]),
    (["--memory", "0"], ["--memory 0", "too little"]),
    (["--memory", "abc"], ["--memory abc", "512M"]),
    (["--memory", "-5G"], ["--memory -5G", "512M"]),
    (["--memory", "5X"], ["--memory 5X", "512M"]),
    (["--memory", "5Gs"], ["--memory 5Gs", "512M"]),
    (["--memory", "2T"], ["--memory 2T", "too much"]),
    (["--memory", "99999999999G"], ["too much"]),
    (["--engine", "xen"], ["--engine xen", "soft"]),
    (["--serial", "tcp"], ["--serial tcp", "pty"]),
    (["--serial", "file:"], ["--serial file:", "file:PATH"]),
    (["--console", "agent"], ["--console agent", "NAME=WHERE"]),
    (["--console", "=pty"], ["--console =pty", "name"]),
    (["--console", "a/b=pty"], ["--console a/b=pty", "name"]),
    (["--console", ".a=pty"], ["--console .a=pty", "name"]),
    (["--console", "a=tcp"], ["--console tcp", "unix:PATH"]),
    (["--console", "a=pty", "--console", "a=none"], ["two have that name"]),
    (["--console", "a=stdio", "--console", "b=stdio"], ["stdio"]),
    (["--console", "a=stdio", "--serial", "stdio"], ["stdio"]),
    ([word for n in range(32) for word in ("--console", f"p{n}=none")],
     ["more than 31"]),
    (["--name", "a/b"], ["--name a/b"]),
    (["--name", ""], ["--name"]),
    (["--soft-cache", "many"], ["--soft-cache many", "8M"]),
    (["--soft-cache", "0"], ["--soft-cache 0", "too little", "1M to 1G"]),
    (["--soft-cache", "2G"], ["--soft-cache 2G", "too much"]),
    (["--soft-cache", "3M", "--cpus", "4"],
     ["--soft-cache 3M", "4 processors", "4M to 4G"]),
    (["--profile"], ["--profile needs a value"]),
    (["--profile-symbols"], ["--profile-symbols needs a value"]),
    (["--perf-map=yes"], ["--perf-map takes no value"]),
    (["--log-level", "loud"], ["--log-level loud", "debug"]),
    (["--cpus", "1", "--cpus", "2"], ["--cpus is given twice"]),
    (["--no-reboot", "--no-reboot"], ["--no-reboot is given twice"]),
])
def test_bad_option(args, words):
    refused(run("run", *args), 2, *words)


@pytest.mark.parametrize("size", ["16", "16M", "16m", "16MiB", "16MB"])
def test_memory_sizes(make_kernel, size):
    args = make_kernel(tiny.debug_exit(5), memory=size)
    assert run(*args, "--testdev").returncode == 11


def test_option_with_equals_sign(make_kernel):
    args = make_kernel(tiny.debug_exit(3))
    assert run(*args, "--testdev", "--cpus=2").returncode == 7


# --- files -------------------------------------------------------------------

def run_kernel(path, *args):
    return run("run", "--engine", "soft", "--memory", "32M", "--kernel", path,
               *args)


def test_missing_kernel(tmp_path):
    refused(run_kernel(tmp_path / "nix"), 1, "kernel", str(tmp_path / "nix"),
            "no such file")


def test_empty_kernel(tmp_path):
    (tmp_path / "k").touch()
    refused(run_kernel(tmp_path / "k"), 1, str(tmp_path / "k"), "is empty")


def test_directory_as_kernel(tmp_path):
    refused(run_kernel(tmp_path), 1, str(tmp_path), "is a directory")


def test_fifo_as_kernel(tmp_path):
    os.mkfifo(tmp_path / "k")
    refused(run_kernel(tmp_path / "k"), 1, str(tmp_path / "k"),
            "no regular file")


FOREIGN = {
    "zeros": b"\0" * 4096,
    "script": b"#!/bin/sh\nexit 0\n",
    "four bytes": b"\x7fELF",
    "noise": bytes(n * n * 7919 >> 5 & 0xFF for n in range(70000)),
    "DOS program": b"MZ" + b"\0" * 600,
    "one byte": b"x",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_kernel(tmp_path, name):
    (tmp_path / "k").write_bytes(FOREIGN[name])
    refused(run_kernel(tmp_path / "k"), 1, str(tmp_path / "k"))


def test_foreign_elf():
    refused(run_kernel("/bin/true"), 1, "/bin/true")


def test_truncated_elf(tmp_path):
    whole = tiny.kernel(tiny.HALT, b"data" * 1000)
    (tmp_path / "k").write_bytes(whole[:0x1800])
    refused(run_kernel(tmp_path / "k"), 1, str(tmp_path / "k"))


def bzimage():
    """A file that looks like Linux up to the protected-mode part."""
    image = bytearray(0x400 + 0x10000)
    image[0x1F1] = 1  # setup sectors
    image[0x1FE:0x200] = b"\x55\xAA"
    image[0x200:0x202] = b"\xEB\x66"
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x20F)
    struct.pack_into("<I", image, 0x1F4, 0x10000 // 16)  # syssize
    image[0x211] = 1  # LOADED_HIGH
    struct.pack_into("<I", image, 0x214, 0x100000)
    struct.pack_into("<H", image, 0x236, 3)  # xloadflags: 64-bit entry
    struct.pack_into("<I", image, 0x238, 2047)  # command line
    struct.pack_into("<I", image, 0x22C, 0x7FFFFFFF)  # initrd_addr_max
    struct.pack_into("<I", image, 0x230, 0x200000)  # alignment
    image[0x234] = 1  # relocatable
    struct.pack_into("<Q", image, 0x258, 0x1000000)  # pref_address
    struct.pack_into("<I", image, 0x260, 0x200000)  # init_size
    return image


def test_truncated_bzimage(tmp_path):
    (tmp_path / "k").write_bytes(bzimage()[:0x4000])
    refused(run_kernel(tmp_path / "k"), 1, str(tmp_path / "k"))


def test_kernel_too_large_for_memory(tmp_path):
    image = bzimage()
    struct.pack_into("<I", image, 0x260, 0x10000000)  # needs 256 MiB
    (tmp_path / "k").write_bytes(image)
    refused(run_kernel(tmp_path / "k"), 1, str(tmp_path / "k"), "memory")


@pytest.fixture
def bz(tmp_path):
    path = tmp_path / "bz"
    path.write_bytes(bzimage())
    return path


def cpio():
    """An archive with one file."""
    def entry(name, content):
        fields = [1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0,
                  len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % f for f in fields)
        head += name.encode() + b"\0"
        head += b"\0" * (-len(head) % 4)
        return head + content + b"\0" * (-len(content) % 4)
    return entry("file", b"x" * 5000) + entry("TRAILER!!!", b"")


def zstd():
    return subprocess.run(["zstd", "-c"], input=os.urandom(300000),
                          stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("content,word", [
    (b"", "is empty"),
    (b"garbage, no archive", "neither a cpio"),
    (b"\0" * 512 + b"garbage", "neither a cpio"),
    (b"\x7fELF" + b"\0" * 500, "neither a cpio"),
    (cpio()[:2000], "cut short"),
    (cpio()[:50], "cut short"),
    (cpio() + b"\0" * 100 + cpio()[:300], "cut short"),
    (b"\xfd7zXZ\0" + b"\1" * 100, "cut short"),
    (b"\x1f\x8b\x08", "cut short"),
    (b"\x02\x21\x4c\x18\x00\x10\x00\x00abc", "cut short"),
])
def test_bad_initrd(tmp_path, bz, content, word):
    (tmp_path / "i").write_bytes(content)
    refused(run_kernel(bz, "--initrd", tmp_path / "i"), 1,
            str(tmp_path / "i"), word)


@pytest.mark.skipif(not shutil.which("zstd"), reason="no zstd")
def test_truncated_zstd_initrd(tmp_path, bz):
    (tmp_path / "i").write_bytes(zstd()[:-100])
    refused(run_kernel(bz, "--initrd", tmp_path / "i"), 1, "cut short")


def test_missing_initrd(tmp_path, bz):
    refused(run_kernel(bz, "--initrd", tmp_path / "nix"), 1, "initrd",
            "no such file")


def test_directory_as_initrd(tmp_path, bz):
    refused(run_kernel(bz, "--initrd", tmp_path), 1, "is a directory")


def test_missing_module(make_kernel, tmp_path):
    refused(run(*make_kernel(tiny.HALT), "--module", tmp_path / "nix"), 1,
            "module", "no such file")


# --- outputs -----------------------------------------------------------------

@pytest.mark.parametrize("where", ["", "missing/report.json"])
def test_unwritable_report(make_kernel, tmp_path, where):
    result = run(*make_kernel(tiny.power_off()), "--report", tmp_path / where)
    refused(result, 1, "report", str(tmp_path / where))


@pytest.mark.parametrize("where", ["", "missing/profile.txt"])
def test_unwritable_profile(make_kernel, tmp_path, where):
    result = run(*make_kernel(tiny.power_off(), engine="soft"), "--profile",
                 tmp_path / where)
    refused(result, 1, "profile", str(tmp_path / where))


def test_symbols_that_are_none(make_kernel, tmp_path):
    (tmp_path / "symbols").write_text("hello")
    for name, word in (("symbols", "System.map"), ("missing", "No such file")):
        result = run(*make_kernel(tiny.power_off(), engine="soft"),
                     "--profile", tmp_path / "profile", "--profile-symbols",
                     tmp_path / name)
        refused(result, 1, "symbols", str(tmp_path / name), word)
    assert not (tmp_path / "profile").exists()


def test_profile_of_a_kernel_without_names(make_kernel, tmp_path):
    result = run(*make_kernel(tiny.power_off(), engine="soft"), "--profile",
                 tmp_path / "profile")
    assert result.returncode == 0, result.stderr
    assert "rewritten code" in (tmp_path / "profile").read_text()


@pytest.mark.parametrize("where", ["", "missing/serial.log"])
def test_unwritable_serial_file(make_kernel, tmp_path, where):
    result = run(*make_kernel(tiny.power_off()), "--serial",
                 f"file:{tmp_path / where}")
    refused(result, 1, "serial console: file", str(tmp_path / where))


def test_a_failed_start_leaves_nothing(tmp_path, bz):
    before = sorted(p.name for p in tmp_path.iterdir())
    (tmp_path / "i").write_bytes(b"garbage")
    for args in (["--initrd", tmp_path / "i"], ["--memory", "4M"]):
        result = run("run", "--kernel", bz, "--engine", "soft", *args,
                     "--serial", f"file:{tmp_path / 'log'}", "--report",
                     tmp_path / "report.json")
        refused(result, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(before + ["i"])


def test_full_disk_under_the_report(make_kernel):
    result = run(*make_kernel(tiny.power_off()), "--report", "/dev/full")
    refused(result, 1, "report /dev/full", "No space")


def test_full_disk_under_the_serial_file(make_kernel):
    result = run(*make_kernel(tiny.text("hello") + tiny.HALT), "--serial",
                 "file:/dev/full")
    refused(result, 1, "No space")


# --- the default guest -------------------------------------------------------

def test_no_default_guest(tmp_path):
    program = tmp_path / "bin" / "lodge"
    program.parent.mkdir()
    shutil.copy(LODGE, program)
    result = subprocess.run([program, "run"], capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, timeout=30, check=False)
    refused(result, 1, "no default guest", "make guest", "--kernel")


# --- /dev/kvm ----------------------------------------------------------------

def in_namespace(script, *args):
    """lodge in a mount namespace that `script` has prepared."""
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script + '; exec "$@"', "sh",
         LODGE, *map(str, args)], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=30, check=False)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@needs_root
def test_no_dev_kvm(make_kernel):
    args = make_kernel(tiny.power_off(), engine="kvm")
    result = in_namespace("mount -t tmpfs none /dev", *args)
    if "mount" in result.stderr:
        pytest.skip("no mount namespaces here")
    refused(result, 1, "engine kvm", "/dev/kvm")


@needs_root
def test_no_dev_kvm_leaves_soft_for_auto(make_kernel):
    args = make_kernel(tiny.power_off(), engine="auto")
    result = in_namespace("mount -t tmpfs none /dev", *args)
    assert result.returncode == 0, result.stderr


@needs_root
def test_dev_kvm_without_permission(tmp_path):
    # A copy that everybody can reach; not in pytest's private folder.
    folder = pathlib.Path("/tmp") / f"lodge-test-{os.getpid()}"
    folder.mkdir()
    try:
        folder.chmod(0o755)
        shutil.copy(LODGE, folder / "lodge")
        (folder / "k").write_bytes(tiny.kernel(tiny.power_off()))
        result = subprocess.run(
            ["unshare", "--mount", "sh", "-c",
             "mount -t tmpfs none /dev && mknod -m 600 /dev/kvm c 10 232 &&"
             ' exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"',
             "sh", folder / "lodge", "run", "--kernel", folder / "k",
             "--memory", "16M", "--engine", "kvm"], capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=30, check=False,
            env={name: value for name, value in os.environ.items()
                 if name != "XDG_RUNTIME_DIR"})
    finally:
        shutil.rmtree(folder)
    refused(result, 1, "engine kvm", "/dev/kvm")
