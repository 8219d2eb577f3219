#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every file of tests is named where tests are built and run: a test that
nobody lists is never run, and nothing else would tell.

A file test_NAME or fuzz_NAME below tests/ stands in the meson.build beside it
or in the next one above.
"""
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1] / "tests"


def build_file(folder):
    while not (folder / "meson.build").exists():
        folder = folder.parent
    return folder / "meson.build"


def is_named(path, text):
    """Whole, as 'NAME', or as the 'END' of what a loop puts together."""
    kind, _, name = path.stem.partition("_")
    if f"{path.name}'" in text or f"'{name}'" in text:
        return True
    words = name.split("_")
    return any(f"'{kind}_{'_'.join(words[:i])}_' + name" in text and
               f"'{'_'.join(words[i:])}'" in text
               for i in range(1, len(words)))


def main():
    status = 0
    for path in sorted(TESTS.rglob("*.c")) + sorted(TESTS.rglob("*.py")):
        build = build_file(path.parent)
        if path.stem.partition("_")[0] in ("test", "fuzz") and not is_named(
                path, build.read_text(encoding="utf-8")):
            print(f"{path}: {build} does not name it", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
