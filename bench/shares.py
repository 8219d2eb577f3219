# SPDX-License-Identifier: Apache-2.0
"""A folder shared with a guest on lodge, beside QEMU's guest with virtiofsd and
the host's own use of it.

What a guest believes of names: on lodge for a tick of its clock, as always; by
QEMU's virtiofsd not at all, for the next it knows is a second.
"""
import os
import shutil
import tempfile
import time

import initramfs
from disks import MEMORY
from guests import BenchError, Process

LIMIT = 120
SERVERS = ('/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd')
ROOM = 256 << 20
MOUNTED = '/share'  # in the guest


class Bench:
    """The host, and a machine with the folder, which is in memory."""

    def __init__(self, setup, run_tool, say):
        self.setup = setup
        self.say = say
        self.initrd = f'{setup.folder}/share-initrd'
        self.kernel = initramfs.build(
            setup.guest, [f'--file={setup.program}:/init'], self.initrd,
            run_tool)

    def measure(self, tests, rounds, collect):
        """`collect` is given a machine's name and what its guest said."""
        if shutil.disk_usage(MEMORY).free < ROOM:
            raise BenchError(f'{MEMORY}: too little room for a shared folder')
        folder = tempfile.mkdtemp(prefix='lodge-bench-', dir=MEMORY)
        try:
            for number in range(rounds):
                self.on_host(tests, folder, collect)
                if any(map(os.path.exists, SERVERS)):
                    self.in_qemu(tests, folder, collect)
                self.in_guest(tests, folder, collect)
                self.say(f'bench: shares, round {number + 1} of {rounds}')
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def on_host(self, tests, folder, collect):
        words = [self.setup.program, ','.join(tests), 'none', folder]
        with Process('native', words) as process:
            process.finish(LIMIT)
            collect('native', process.output)

    def in_qemu(self, tests, folder, collect):
        """The server ends with the machine's connection."""
        machine = self.setup.qemu
        server = next(path for path in SERVERS if os.path.exists(path))
        with tempfile.TemporaryDirectory(prefix='lodge-bench-') as place:
            path = f'{place}/fs'
            words = [server, f'--socket-path={path}', '-o',
                     f'source={os.path.realpath(folder)}', '-o', 'cache=none']
            with Process('virtiofsd', words) as process:
                while (not os.path.exists(path) and
                       process.process.poll() is None):
                    time.sleep(0.01)
                self.run(machine, tests, collect, [
                    '-object', 'memory-backend-memfd,id=ram,share=on,size='
                    f'{machine.memory_mib}M', '-machine',
                    'memory-backend=ram', '-chardev',
                    f'socket,id=fs,path={path}', '-device',
                    'vhost-user-fs-pci,chardev=fs,tag=share0'])

    def in_guest(self, tests, folder, collect):
        self.run(self.setup.lodge, tests, collect, [
            '--share', f'{os.path.realpath(folder)}:{MOUNTED}'])

    def run(self, machine, tests, collect, more):
        command = machine.command(
            self.kernel, self.initrd,
            f'{self.setup.append} bench={",".join(tests)} '
            f'folder={MOUNTED}') + more
        with Process(machine.name, command) as process:
            process.finish(LIMIT)
            if not collect(machine.name, process.output):
                raise BenchError(f'{machine.name}: no shared folder: '
                                 f'{process.last_words()}')
