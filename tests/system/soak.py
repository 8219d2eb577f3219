#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Boots guests in a loop, many times, and tells which runs went wrong.

Each run boots the default kernel with 1, 2 or 4 processors in turn, works a
little (or builds a C project, --work build), compares what the guest says with
what it should, and powers off. A run fails on wrong words, a status that is
not 0, or when it takes longer than --limit; its console is kept in --keep.

usage: soak.py [--count N] [--jobs N] [--work boot|build] [--cpus 1,2,4] ...
"""
import argparse
import concurrent.futures
import hashlib
import itertools
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True

import project  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
APPEND = "console=ttyS0 quiet panic=-1"
EVERY = 20  # seconds between two lines of progress

# Processes, pipes, files, signals and a little arithmetic.
BOOT_INIT = """\
#!/bin/busybox sh
mount -t proc proc /proc
mount -t tmpfs tmp /tmp
seq 1 3000 > /tmp/a
for n in 1 2 3 4; do
	(gzip -c /tmp/a | gzip -dc > /tmp/b$n; sort -rn /tmp/b$n | \\
		sort -n | cmp - /tmp/a || echo "differs $n") &
done
wait
sleep 100 & kill $!; wait
echo "RESULT $(nproc) $(cat /tmp/b* | sha256sum | cut -c1-64)"
poweroff -f
"""


def boot_initrd(folder):
    """The initramfs, and what its guest says on so many processors."""
    root = folder / "root"
    root.mkdir(parents=True)
    (root / "init").write_text(BOOT_INIT)
    (root / "init").chmod(0o755)
    subprocess.run([sys.executable, SOURCE / "guests" / "make_initrd.py",
                    folder / "initrd", "--busybox", "/bin/busybox",
                    "--tree", root], check=True)
    data = b"".join(b"%d\n" % n for n in range(1, 3001)) * 4
    word = hashlib.sha256(data).hexdigest()
    return folder / "initrd", lambda cpus: [f"RESULT {cpus} {word}"]


def build_initrd(folder):
    initrd = project.make_initrd(folder, times=1)
    line = (f"RESULT 1 {project.expected()} "
            f"{project.build_here(folder / 'here')}")
    return initrd, lambda cpus: [line]


WORKS = {"boot": boot_initrd, "build": build_initrd}


class Soak:
    def __init__(self, args, initrd, wanted):
        self.args = args
        self.initrd = initrd
        self.wanted = wanted
        self.lock = threading.Lock()
        self.done = self.failed = 0
        self.seconds = {}
        self.told = self.start = time.monotonic()

    def command(self, cpus):
        return [self.args.lodge, "run", "--engine", self.args.engine,
                "--kernel", self.args.kernel, "--initrd", self.initrd,
                "--append", f"{APPEND} {self.args.append}".strip(),
                "--cpus", str(cpus), "--memory", "256M", "--no-reboot",
                *self.args.option]

    def problem(self, cpus, done):
        """What is wrong with a run that came to its end, or None."""
        lines = re.findall(r"^RESULT .*?(?=\r*$)", done.stdout, re.M)
        if done.returncode:
            return f"status {done.returncode}"
        if lines != self.wanted(cpus):
            return "wrong words: " + "; ".join(lines)[:200]
        return None

    def run(self, number, cpus):
        start = time.monotonic()
        try:
            done = subprocess.run(
                self.command(cpus), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", timeout=self.args.limit, check=False)
            output, why = done.stdout, self.problem(cpus, done)
        except subprocess.TimeoutExpired as late:
            output = (late.stdout or b"").decode(errors="replace")
            why = f"not done after {self.args.limit} s"
        self.tell(number, cpus, time.monotonic() - start, why, output)

    def tell(self, number, cpus, took, why, output):
        with self.lock:
            self.done += 1
            self.seconds.setdefault(cpus, []).append(took)
            if why:
                self.failed += 1
                path = self.args.keep / f"run-{number}-cpus-{cpus}.log"
                self.args.keep.mkdir(parents=True, exist_ok=True)
                path.write_text(output)
                print(f"run {number}, {cpus} processors: {why}; console in "
                      f"{path}", flush=True)
            if time.monotonic() - self.told > EVERY:
                self.told = time.monotonic()
                print(f"{self.done} of {self.args.count} runs, {self.failed} "
                      "failed", flush=True)

    def summary(self):
        times = ", ".join(
            f"{cpus} processors {min(all_of):.1f} to {max(all_of):.1f} s"
            for cpus, all_of in sorted(self.seconds.items()))
        print(f"{self.done} runs, {self.failed} failed, in "
              f"{time.monotonic() - self.start:.0f} s ({times})")


def number_list(text):
    return [int(word) for word in text.split(",")]


def parse():
    build = SOURCE / "build"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100,
                        help="runs (100)")
    parser.add_argument("--jobs", type=int, default=1,
                        help="machines at a time (1)")
    parser.add_argument("--work", choices=WORKS, default="boot",
                        help="what guests do (boot)")
    parser.add_argument("--cpus", type=number_list, default=[1, 2, 4],
                        metavar="A,B", help="processors, in turn (1,2,4)")
    parser.add_argument("--engine", default="soft")
    parser.add_argument("--limit", type=float, default=120, metavar="SECONDS",
                        help="for one run (120)")
    parser.add_argument("--append", default="", metavar="STRING",
                        help="added to the kernel's command line")
    parser.add_argument("--option", action="append", default=[],
                        metavar="=--X", help="added to lodge run; repeats")
    parser.add_argument("--lodge", default=build / "lodge")
    parser.add_argument("--kernel",
                        default=build / "guest" / "default" / "vmlinux")
    parser.add_argument("--keep", type=pathlib.Path, default=build / "soak",
                        metavar="FOLDER", help="consoles of failed runs")
    return parser.parse_args()


def main():
    args = parse()
    with tempfile.TemporaryDirectory() as folder:
        try:
            initrd, wanted = WORKS[args.work](pathlib.Path(folder) / "guest")
        except project.Unavailable as why:
            sys.exit(f"soak: {why}")
        soak = Soak(args, initrd, wanted)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            runs = [pool.submit(soak.run, number, cpus) for number, cpus in
                    zip(range(1, args.count + 1), itertools.cycle(args.cpus))]
            try:
                for run in runs:
                    run.result()
            except KeyboardInterrupt:
                pool.shutdown(cancel_futures=True)
    soak.summary()
    return 1 if soak.failed or not soak.done else 0


if __name__ == "__main__":
    sys.exit(main())
