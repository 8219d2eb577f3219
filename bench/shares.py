# SPDX-License-Identifier: Apache-2.0
"""A folder shared with a guest on lodge, beside the host's own use of it."""
import os
import shutil
import tempfile

from disks import MEMORY, build_initrd
from guests import BenchError, Process

LIMIT = 120
ROOM = 256 << 20
MOUNTED = '/share'  # in the guest


class Bench:
    """The host, and a machine with the folder, which is in memory."""

    def __init__(self, setup, run_tool, say):
        self.setup = setup
        self.say = say
        self.initrd = f'{setup.folder}/share-initrd'
        self.kernel = build_initrd(setup.guest, setup.program, self.initrd,
                                   run_tool)

    def measure(self, tests, rounds, collect):
        """`collect` is given a machine's name and what its guest said."""
        if shutil.disk_usage(MEMORY).free < ROOM:
            raise BenchError(f'{MEMORY}: too little room for a shared folder')
        folder = tempfile.mkdtemp(prefix='lodge-bench-', dir=MEMORY)
        try:
            for number in range(rounds):
                self.on_host(tests, folder, collect)
                self.in_guest(tests, folder, collect)
                self.say(f'bench: shares, round {number + 1} of {rounds}')
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def on_host(self, tests, folder, collect):
        words = [self.setup.program, ','.join(tests), 'none', folder]
        with Process('native', words) as process:
            process.finish(LIMIT)
            collect('native', process.output)

    def in_guest(self, tests, folder, collect):
        machine = self.setup.lodge
        command = machine.command(
            self.kernel, self.initrd,
            f'{self.setup.append} bench={",".join(tests)} '
            f'folder={MOUNTED}') + [
                '--share', f'{os.path.realpath(folder)}:{MOUNTED}']
        with Process(machine.name, command) as process:
            process.finish(LIMIT)
            if not collect(machine.name, process.output):
                raise BenchError(f'{machine.name}: no shared folder: '
                                 f'{process.last_words()}')
