#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the test guests on the engines of this host and compares the results.

  run_guests.py --build DIR [--engine soft] [--engine kvm] [--oracle] [NAME...]

Each guest of guests.txt is booted on each engine; --oracle adds QEMU's TCG,
which checks the guests themselves. A guest passes when it prints PASS and
leaves through the debug exit port with 0; those that end in a reset or a
crash print READY first. What a guest skips (SKIP and the reason) or the table
leaves out for an engine is counted as skipped. Some measure time against a timer,
which a busy host disturbs: what fails is run once more, alone, and that counts.
Exit status: 0 when nothing failed, 1 otherwise, 77 when the engine is missing
here.
"""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time
from xml.sax.saxutils import quoteattr

HERE = pathlib.Path(__file__).resolve().parent
PASS_STATUS, SKIP_STATUS, CRASH_STATUS = 1, 0x7F, 3


class Guest:
    """One line of guests.txt: name bits cpus memory end [# engine: reason]"""

    def __init__(self, line):
        fields, _, notes = line.partition("#")
        self.name, _, cpus, self.memory, self.end = fields.split()
        self.cpus = int(cpus)
        self.display = "std" if self.name.startswith("vga_") else None
        self.skip = {}
        for note in filter(None, (n.strip() for n in notes.split(";"))):
            engine, _, reason = note.partition(":")
            self.skip[engine.strip()] = reason.strip()


def load_table():
    """The guests; a line "- engine: reason: names" leaves out several."""
    table = {}
    for line in (HERE / "guests.txt").read_text().splitlines():
        if line.startswith("- "):
            engine, reason, names = line[2:].split(":")
            for name in names.split():
                table[name].skip[engine] = reason.strip()
        elif line.strip() and not line.startswith("#"):
            guest = Guest(line)
            table[guest.name] = guest
    return list(table.values())


def command(args, guest, engine):
    image = str(args.build / (guest.name + ".bin"))
    if engine == "oracle":
        return [args.qemu, "-accel", "tcg", "-cpu", "max", "-kernel", image,
                "-smp", str(guest.cpus), "-m", guest.memory, "-display",
                "none", "-serial", "stdio", "-monitor", "none", "-no-reboot",
                "-nodefaults", "-device",
                "isa-debug-exit,iobase=0xf4,iosize=1",
                *(["-device", "VGA"] if guest.display else [])]
    return [args.lodge, "run", "--kernel", image, "--cpus", str(guest.cpus),
            "--memory", guest.memory, "--engine", engine, "--serial", "stdio",
            "--testdev", "--no-reboot",
            *(["--display", guest.display] if guest.display else [])]


def judge(guest, engine, status, text):
    """(verdict, detail) of a finished run."""
    lines = [line.strip("\r ") for line in text.splitlines()]
    for line in lines:
        if line.startswith("SKIP") and status == SKIP_STATUS:
            return "skip", line[5:]
    failed = [line for line in lines if line.startswith("FAILED")]
    if failed:
        return "fail", "\n".join(failed)
    if guest.end == "pass":
        if "PASS" in lines and status == PASS_STATUS:
            return "pass", ""
    else:
        want = 0
        if guest.end == "crash" and engine != "oracle":
            want = CRASH_STATUS
        if "READY" in lines and status == want:
            return "pass", ""
    tail = "\n".join(lines[-12:])
    return "fail", f"status {status}, wanted end: {guest.end}\n{tail}"


def run_one(args, guest, engine):
    for name in (engine, engine + "-emulated"):
        if name in guest.skip and (name == engine or args.kvm_emulated):
            return guest, engine, "skip", guest.skip[name], 0.0
    start = time.monotonic()
    try:
        done = subprocess.run(command(args, guest, engine),
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT,
                              timeout=args.timeout, check=False)
        verdict, detail = judge(guest, engine, done.returncode,
                                done.stdout.decode(errors="replace"))
    except subprocess.TimeoutExpired as late:
        text = (late.stdout or b"").decode(errors="replace")
        tail = "\n".join(text.splitlines()[-8:])
        verdict, detail = "fail", f"no end after {args.timeout:g} s\n{tail}"
    return guest, engine, verdict, detail, time.monotonic() - start


def write_junit(path, results):
    bad = sum(1 for r in results if r[2] == "fail")
    skipped = sum(1 for r in results if r[2] == "skip")
    with open(path, "w", encoding="utf-8") as out:
        out.write(f'<testsuite name="guest" tests="{len(results)}" '
                  f'failures="{bad}" skipped="{skipped}">\n')
        for guest, engine, verdict, detail, seconds in results:
            out.write(f'<testcase classname="guest.{engine}" '
                      f'name={quoteattr(guest.name)} time="{seconds:.3f}">')
            if verdict == "fail":
                out.write(f"<failure message={quoteattr(detail)}/>")
            elif verdict == "skip":
                out.write(f"<skipped message={quoteattr(detail)}/>")
            out.write("</testcase>\n")
        out.write("</testsuite>\n")


def engine_usable(args, engine):
    """Why an engine cannot run here, or None."""
    if engine == "oracle":
        return None
    if not os.access(args.lodge, os.X_OK):
        return f"{args.lodge} does not exist"
    if engine == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm is missing or not permitted"
    return None


def kvm_emulated(args):
    """True when /dev/kvm runs no guest kernel code in hardware."""
    host = subprocess.run([args.lodge, "host"], stdout=subprocess.PIPE,
                          timeout=60, check=False).stdout.decode()
    return not any(line.split()[:3] == ["engine", "kvm", "usable"]
                   for line in host.splitlines())


def compare(results):
    """Guests whose verdict differs between engines, skips apart."""
    seen = {}
    for guest, engine, verdict, _, _ in results:
        if verdict != "skip":
            seen.setdefault(guest.name, {})[engine] = verdict
    return {name: by for name, by in seen.items() if len(set(by.values())) > 1}


def parse_args():
    parser = argparse.ArgumentParser(description="run the test guests")
    parser.add_argument("names", nargs="*", help="default: all of them")
    parser.add_argument("--build", type=pathlib.Path, required=True,
                        help="where the guests' images are")
    parser.add_argument("--lodge", default="build/lodge")
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--engine", action="append", default=[],
                        help="soft or kvm; may be repeated (default soft)")
    parser.add_argument("--oracle", action="store_true",
                        help="run on QEMU's TCG as well")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--junit", help="write results there")
    parser.add_argument("--quiet", action="store_true",
                        help="failures and the summary only")
    return parser.parse_args()


def tell(args, result):
    guest, engine, verdict, detail, seconds = result
    if args.quiet and verdict != "fail":
        return
    mark = {"pass": "ok  ", "skip": "skip", "fail": "FAIL"}[verdict]
    print(f"{mark} {engine:6} {guest.name:18} {seconds:6.2f} s"
          + (f"  {detail}" if verdict == "skip" else ""), flush=True)
    if verdict == "fail":
        print("     " + detail.replace("\n", "\n     "), flush=True)


def main():
    args = parse_args()
    table = load_table()
    if args.names:
        table = [g for g in table if g.name in args.names]
        if not table:
            sys.exit("no such guest: " + " ".join(args.names))
    engines = args.engine or ([] if args.oracle else ["soft"])
    for engine in engines:
        reason = engine_usable(args, engine)
        if reason:
            print(f"guest tests on {engine} skipped: {reason}")
            sys.exit(77)
    args.kvm_emulated = "kvm" in engines and kvm_emulated(args)
    if args.kvm_emulated:
        print("this host's KVM emulates guest kernel code")
    if args.oracle:
        engines.append("oracle")

    results = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        waiting = [pool.submit(run_one, args, guest, engine)
                   for engine in engines for guest in table]
        for future in concurrent.futures.as_completed(waiting):
            results.append(future.result())
            tell(args, results[-1])
    for index, (guest, engine, verdict, _, _) in enumerate(results):
        if verdict == "fail":
            print(f"once more, alone: {guest.name}")
            results[index] = run_one(args, guest, engine)
            tell(args, results[index])

    for name, verdicts in compare(results).items():
        text = ", ".join(f"{e} {v}" for e, v in sorted(verdicts.items()))
        print(f"engines differ on {name}: {text}")
    count = {v: sum(1 for r in results if r[2] == v)
             for v in ("pass", "fail", "skip")}
    print(f"guests: {count['pass']} passed, {count['fail']} failed, "
          f"{count['skip']} skipped")
    if args.junit:
        write_junit(args.junit, results)
    sys.exit(1 if count["fail"] else 0)


if __name__ == "__main__":
    main()
