# SPDX-License-Identifier: Apache-2.0
"""What the documents and the help tell people to type is what lodge takes:
commands and their options."""
import re
import shlex

import pytest

from conftest import SOURCE, run
from test_usage import COMMANDS

# That page has drawings, no commands.
PAGES = [SOURCE / "README.md", *(page for page in sorted(
    (SOURCE / "docs").glob("*.md")) if page.stem != "architecture")]
FENCED = re.compile(r"^```[a-z]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
HELP = {}


def lines_of(text):
    """Commands, with continued lines joined; of a pipeline lodge's part."""
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"^\s*(\$ |# )?(sudo )?", "", line)
        if line.startswith("lodge "):
            yield line


def examples():
    for page in PAGES:
        for block in FENCED.findall(page.read_text()):
            for line in lines_of(block):
                yield f"{page.stem}: {line}"
    for command in COMMANDS:
        text = run("help", *command).stdout
        _, _, text = text.partition("\nexamples:\n")
        for line in lines_of(text):
            yield f"{' '.join(command)}: {line}"


def help_of(command):
    if command not in HELP:
        HELP[command] = run("help", *command).stdout
    return HELP[command]


def own_words(line):
    """Up to what is another program's, or the shell's."""
    words = shlex.split(line, comments=True)[1:]
    for i, word in enumerate(words):
        if word in ("--", "|", "&&", ";", "&") or re.match(r"[0-9]*[<>]", word):
            return words[:i]
    return words


@pytest.mark.parametrize("example", sorted(set(examples())))
def test_an_example(example):
    words = own_words(example.split(": ", 1)[1])
    while words and words[0] in ("--connect", "--token-file", "--ca"):
        words = words[2:]
    command = tuple(words[:2]) if list(words[:2]) in COMMANDS else \
        tuple(words[:1])
    if words[0].isupper() or words[0].startswith("--"):
        return  # lodge COMMAND --help
    assert list(command) in COMMANDS, example
    text = help_of(command)
    if "--detach" in words:
        text += help_of(("create",))
    for word in words:
        name = word.split("=")[0].rstrip(",")
        if name.startswith("--"):
            assert re.search(rf"^  {name}\b", text, re.MULTILINE), name
