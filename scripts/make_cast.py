#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of the README's first picture and writes what a terminal
shows as an SVG image, line by line as it came.

usage: make_cast.py LODGE FILE.svg"""
import html
import os
import pathlib
import re
import subprocess
import sys
import tempfile

COMMANDS = [
    "lodge create web --cpus 2 --publish 9080:80 --label tier=front",
    "lodge create db --memory 256M --restart on-failure",
    "lodge start --all",
    "lodge ps",
    "lodge exec web -- uname -sr",
    "lodge cp site/index.html web:/tmp",
    "lodge exec web -- cat /tmp/index.html",
    "lodge pause --label tier=front",
    "lodge ps",
    "lodge stop --all --force",
]
# After that one, and not shown: until the guests have started.
STARTED = "lodge start --all"
WAIT = "for n in web db; do lodge exec --timeout 300 $n -- true; done"
WIDTH, LINE, LEFT, TOP, SIZE = 722, 19, 18, 46, 14
COLOURS = {"32": "#7ec699", "33": "#e5c07b", "31": "#e06c75", "2": "#7f848e",
           "1": "#ffffff"}


def shown(lodge, commands, folder):
    """What a terminal shows of each command: lines with their colours."""
    env = {**os.environ, "XDG_DATA_HOME": f"{folder}/d",
           "XDG_RUNTIME_DIR": f"{folder}/r", "TERM": "xterm",
           "PATH": f"{lodge.parent}:{os.environ['PATH']}"}
    for name in ("d", "r", "site"):
        (folder / name).mkdir(0o700)
    (folder / "site" / "index.html").write_text("<h1>Hello</h1>\n")
    try:
        for command in commands:
            yield "\x1b[2m$\x1b[0m \x1b[1m" + command + "\x1b[0m"
            # On a terminal of its own, for the colours.
            text = subprocess.run(
                ["script", "-qec", f"stty cols 84; {command}", "/dev/null"],
                env=env, cwd=folder, stdin=subprocess.DEVNULL, text=True,
                stdout=subprocess.PIPE, check=False).stdout
            yield from text.replace("\r", "").splitlines()
            if command == STARTED:
                subprocess.run(["sh", "-c", WAIT], env=env, check=True,
                               stderr=subprocess.DEVNULL)
    finally:
        subprocess.run([lodge, "rm", "--all", "--force"], env=env, check=True)


def spans(line):
    """The text with colours as tspan elements."""
    _, plain, *rest = ["", *re.split(r"\x1b\[(\d*)m", line)]
    yield html.escape(plain)
    for colour, text in zip(rest[::2], rest[1::2]):
        fill = COLOURS.get(colour)
        text = html.escape(text)
        yield f'<tspan fill="{fill}">{text}</tspan>' if fill else text


def picture(lines):
    height = TOP + LINE * len(lines) + 8
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
           f'height="{height}" font-family="ui-monospace, Menlo, Consolas, '
           f'DejaVu Sans Mono, monospace" font-size="{SIZE}">')
    yield ("<style>text{fill:#c8ccd4;white-space:pre;animation:show 1ms "
           "backwards}@keyframes show{from{opacity:0}}</style>")
    yield f'<rect width="{WIDTH}" height="{height}" rx="9" fill="#21252b"/>'
    for i, colour in enumerate(("#e06c75", "#e5c07b", "#7ec699")):
        yield f'<circle cx="{20 + 20 * i}" cy="18" r="6" fill="{colour}"/>'
    at = 0.0
    for i, line in enumerate(lines):
        at += 0.9 if "\x1b[2m$" in line else 0.15
        yield (f'<text x="{LEFT}" y="{TOP + LINE * i}" xml:space="preserve" '
               f'style="animation-delay:{at:.2f}s">{"".join(spans(line))}'
               "</text>")
    yield "</svg>"


def main():
    lodge = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        lines = list(shown(lodge, COMMANDS, pathlib.Path(folder)))
    pathlib.Path(sys.argv[2]).write_text("\n".join(picture(lines)) + "\n")


main()
