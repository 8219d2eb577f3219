#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of a built kvm-unit-tests tree on lodge, and on QEMU beside.

  kvm_unit_tests.py TREE [--lodge PROGRAM] [--engine NAME] [--qemu PROGRAM]
                    [--timeout SECONDS] [--logs FOLDER] [TEST...]

TREE holds x86/unittests.cfg and the x86/*.flat images. Its entries are written
for QEMU's command line; taken over are smp, test_args, timeout, -m and -append.
The same entry runs under `qemu -accel tcg -cpu max` when --qemu is given, and
once more with the processor that the entry names when it fails there. --logs
keeps what each run printed. What an entry needs of the host's KVM is skipped.
Ends with a table, and status 1 when lodge failed a test that QEMU passed (or
any, without --qemu).
"""

import argparse
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

PASS_STATUS, SKIP_STATUS = 1, 77


class Entry:
    """One [name] of unittests.cfg."""

    def __init__(self, name):
        self.name = name
        self.values = {}

    def get(self, key, default=""):
        return self.values.get(key, default)

    @property
    def arguments(self):
        """What follows the image's name on the command line."""
        text = self.get("test_args")
        text = text.replace("`date +%s`", str(int(time.time())))
        words = shlex.split(text)
        params = self.params
        if "-append" in params:
            words.append(params[params.index("-append") + 1])
        return " ".join(words)

    @property
    def params(self):
        return shlex.split(self.get("qemu_params") or
                           self.get("extra_params"))

    @property
    def processor(self):
        params = self.params
        return params[params.index("-cpu") + 1] if "-cpu" in params else None

    @property
    def memory(self):
        params = self.params
        if "-m" not in params:
            return "128M"
        size = params[params.index("-m") + 1].upper()
        return size if size[-1] in "MG" else size + "M"

    def unfit(self, arch):
        """Why the entry is no test of a machine like ours, or None."""
        if self.get("arch", arch) != arch:
            return f"not in a build for {arch}"
        if self.get("accel") == "kvm":
            return "KVM only"
        if "nodefault" in self.get("groups").split():
            return "not run by default"
        if "check" in self.values:
            return "asks for a setting of the host's KVM"
        if "-enable-kvm" in self.params or self.processor == "host":
            return "KVM only"
        if self.processor and "hv_" in self.processor:
            return "Hyper-V interfaces"
        if "-device" in self.params:
            return "asks for QEMU's devices"
        return None


def load_entries(path):
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        heading = re.match(r"\[(.*)\]$", line)
        setting = re.match(r"(\w+)\s*=\s*(.*)$", line)
        if heading:
            entries.append(Entry(heading[1]))
        elif setting and entries:
            entries[-1].values[setting[1]] = setting[2]
    return entries


def built_for(tree):
    """i386 or x86_64."""
    config = tree / "config.mak"
    text = config.read_text(encoding="utf-8") if config.exists() else ""
    found = re.search(r"^ARCH=(\S+)", text, re.M)
    return found[1] if found else "x86_64"


def environment(entry, folder):
    """The initrd: lines NAME=VALUE that the test's library reads."""
    size = entry.memory
    mib = int(size[:-1]) * (1024 if size[-1] == "G" else 1)
    path = folder / "environment"
    path.write_text(f"NR_CPUS={entry.get('smp', '1')}\nMEMSIZE={mib}\n"
                    "TEST_DEVICE=1\n", encoding="ascii")
    return str(path)


def lodge_command(args, entry, image, initrd):
    command = [args.lodge, "run", "--engine", args.engine, "--kernel", image,
               "--cpus", entry.get("smp", "1"), "--memory", entry.memory,
               "--initrd", initrd, "--serial", "stdio", "--testdev",
               "--no-reboot"]
    if entry.arguments:
        command += ["--append", entry.arguments]
    return command


def qemu_command(args, entry, image, initrd, processor):
    command = [args.qemu, "-accel", "tcg", "-cpu", processor, "-kernel", image,
               "-initrd", initrd, "-smp", entry.get("smp", "1"), "-m",
               entry.memory, "-nodefaults", "-no-reboot", "-display", "none",
               "-serial", "stdio", "-device", "pc-testdev", "-device",
               "isa-debug-exit,iobase=0xf4,iosize=0x4"]
    if entry.arguments:
        command += ["-append", entry.arguments]
    return command


def run(command, seconds, log):
    """(verdict, detail) of one run."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=seconds, check=False)
        text, status = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        text, status = (late.stdout or b"").decode(errors="replace"), None
    if log:
        log.write_text(shlex.join(command) + "\n" + text, encoding="utf-8")
    summary = re.findall(r"^SUMMARY: (.*?)\r?$", text, re.M)
    failed = re.findall(r"^FAIL: (.*?)\r?$", text, re.M)
    detail = summary[-1] if summary else ""
    if failed:
        detail += ": " + "; ".join(failed[:4])
    if status is None:
        return "fail", f"no end after {seconds:g} s"
    program = pathlib.Path(command[0]).name
    if re.search(rf"^{re.escape(program)}: ", text, re.M):
        return "fail", text.splitlines()[-1]
    if status == PASS_STATUS:
        return "pass", detail
    if status == SKIP_STATUS:
        return "skip", detail
    return "fail", detail or f"status {status}"


def run_qemu(args, entry, image, initrd, log):
    processors = ["max"]
    if entry.processor and not entry.processor.startswith("max"):
        processors.append(entry.processor)
    best = None
    for processor in processors:
        verdict = run(qemu_command(args, entry, image, initrd, processor),
                      args.timeout, log)
        if verdict[0] == "pass":
            return verdict
        best = best or verdict
    return best


def run_entry(args, entry, folder):
    """Verdicts of lodge and of QEMU."""
    image = args.tree / "x86" / entry.get("file")
    reason = entry.unfit(built_for(args.tree))
    if not image.exists():
        reason = f"no {image.name}"
    if reason:
        return ("left out", reason), ("", "")
    initrd = environment(entry, folder)
    logs = [None, None]
    if args.logs:
        logs = [args.logs / f"{entry.name}.{side}"
                for side in ("lodge", "qemu")]
    ours = run(lodge_command(args, entry, str(image), initrd), args.timeout,
               logs[0])
    theirs = ("", "")
    if args.qemu:
        theirs = run_qemu(args, entry, str(image), initrd, logs[1])
    return ours, theirs


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="TEST")
    parser.add_argument("--lodge", default="build/lodge")
    parser.add_argument("--engine", default="soft")
    parser.add_argument("--qemu")
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--logs", type=pathlib.Path)
    return parser.parse_intermixed_args()


def main():
    args = parse()
    table = args.tree / "x86" / "unittests.cfg"
    if not table.exists():
        sys.exit(f"{table} does not exist")
    if not os.access(args.lodge, os.X_OK):
        sys.exit(f"{args.lodge} does not exist")
    if args.logs:
        args.logs.mkdir(parents=True, exist_ok=True)
    counts = {"pass": 0, "fail": 0, "skip": 0, "left out": 0}
    worse = []
    with tempfile.TemporaryDirectory() as folder:
        for entry in load_entries(table):
            if args.names and entry.name not in args.names:
                continue
            ours, theirs = run_entry(args, entry, pathlib.Path(folder))
            print(f"{entry.name:32} {ours[0]:9} {theirs[0]:5} {ours[1]}"
                  + (f" | {theirs[1]}" if theirs[1] else ""), flush=True)
            counts[ours[0]] += 1
            if ours[0] == "fail" and (not args.qemu or theirs[0] == "pass"):
                worse.append(entry.name)
    print(", ".join(f"{n} {word}" for word, n in counts.items()))
    if worse and args.qemu:
        print("passed by QEMU alone:", " ".join(worse))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
