#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the manual pages against the program: every command is in one page,
with all its options, and no page has an option that there is not. With mandoc
installed, its lint finds nothing either.

usage: check_pages.py LODGE FOLDER PAGE=COMMAND,COMMAND..."""
import pathlib
import re
import shutil
import subprocess
import sys

# Of programs and commands that the pages tell of and lodge is not.
FOREIGN = {"lodge": {"no-reboot", "connect", "token-file", "ca", "cert", "key", "version"},
           "lodge-token": {"listen", "connect", "token-file"},
           "lodge-run": {"backing", "vlan"},
           "lodge-vm": {"detach", "disk"},
           "lodge-net": {"net"},
           "lodge-attach": {"disk", "net", "share"}}
ALSO = {"help", "json", "wide", "force", "all", "label", "dry-run"}
NOUN = "VERB --help tells"


def told(lodge, *words):
    return subprocess.run([lodge, "help", *words], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def options(lodge, *words):
    return set(re.findall(r"^  --([a-z][a-z0-9-]*)", told(lodge, *words),
                          re.MULTILINE))


def names(text):
    return re.findall(r"^  ([a-z]+) +\S", text.split("tells more about")[0],
                      re.MULTILINE)


def flags(text):
    """The long options of a page's Fl macros."""
    found = set()
    for line in re.findall(r"(?:^\.| )Fl +(-.*)", text, re.MULTILINE):
        found |= set(re.findall(r"(?:^| )-([a-z][a-z0-9-]+)", line))
    return found


def check(lodge, folder, page, commands):
    text = (folder / f"{page}.1").read_text()
    have, known = flags(text), set(ALSO) | FOREIGN.get(page, set())
    for command in commands:
        if command == "completion":  # its verbs are the shells
            continue
        verbs = names(told(lodge, command)) \
            if NOUN in told(lodge, command) and page != "lodge-vm" else []
        for words in [[command, verb] for verb in verbs] or [[command]]:
            if not re.search(rf"^\.(It|Nm) .*\b{words[-1]}\b", text,
                             re.MULTILINE):
                yield f"{page}.1: {' '.join(words)} is not told of"
            for name in sorted(options(lodge, *words) - have - {"help"}):
                yield f"{page}.1: --{name} of {' '.join(words)} is missing"
            known |= options(lodge, *words)
    for name in sorted(have - known):
        yield f"{page}.1: there is no --{name}"


def lint(folder):
    if not shutil.which("mandoc"):
        return
    for path in sorted(folder.glob("*.[18]")):
        result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path],
                                stdout=subprocess.PIPE, text=True, check=False)
        yield from result.stdout.splitlines()


def main():
    lodge, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    wrong, seen = list(lint(folder)), set()
    for word in sys.argv[3:]:
        page, _, rest = word.partition("=")
        commands = [c for c in rest.split(",") if c]
        own = page.partition("-")[2]
        commands += [own] if own else []
        seen |= set(commands)
        wrong += check(lodge, folder, page, commands)
    wrong += [f"{name}: in no page" for name in names(told(lodge))
              if name not in seen]
    print("\n".join(wrong), end="\n" if wrong else "")
    return bool(wrong)


sys.exit(main())
