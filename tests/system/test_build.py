# SPDX-License-Identifier: Apache-2.0
"""A parallel build inside the guest: many processes, much new code, files."""
import re

import pytest

import project
from conftest import run

LIMIT = 600  # seconds; the machine that runs the tests may be busy


def test_parallel_build(linux, tmp_path):
    """make -j4 on four processors, three times in a row: the program is byte
    for byte the host's, and prints what it should."""
    try:
        initrd = project.make_initrd(tmp_path / "guest")
    except project.Unavailable as why:
        pytest.skip(str(why))
    kernel = linux[linux.index("--kernel") + 1]
    engine = linux[linux.index("--engine") + 1]
    result = run("run", "--kernel", kernel, "--initrd", initrd, "--engine",
                 engine, "--cpus", 4, "--append",
                 "console=ttyS0 quiet panic=-1", "--no-reboot", timeout=LIMIT)
    lines = re.findall(r"RESULT (\d) (\d+) (\w+)", result.stdout)
    good = (str(project.expected()), project.build_here(tmp_path / "here"))
    assert lines == [(str(n), *good) for n in (1, 2, 3)], result.stdout[-2000:]
    assert re.search(r"LOAD 4 ", result.stdout)
    assert result.returncode == 0
