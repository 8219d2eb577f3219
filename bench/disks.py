# SPDX-License-Identifier: Apache-2.0
"""Disks of lodge beside those of QEMU, read and written by the benchmark program
of a guest past its page cache: a virtio, a SATA and an NVMe disk, each a raw
image in memory. Images of several formats in files, for fio.py.
"""
import json
import os
import pathlib
import shutil
import sys
import tempfile

from guests import BenchError, Process

BUSES = ('virtio', 'ahci', 'nvme')
FORMATS = ('raw', 'qcow2', 'luks')
SIZE_MIB = 128
FORMATS_MIB = 256
MEMORY = '/dev/shm'

# Accesses with which exits are counted, and how many are counted off.
COUNTED = 101000
COUNTED_OFF = 1000

LIMIT = 60
TRIES = 10


class Images:
    """An image for each bus, in memory, full of data."""

    def __enter__(self):
        if shutil.disk_usage(MEMORY).free < (len(BUSES) + 1) * SIZE_MIB << 20:
            raise BenchError(f'{MEMORY}: too little room for disk images')
        self.folder = tempfile.mkdtemp(prefix='lodge-bench-', dir=MEMORY)
        self.paths = {}
        for bus in BUSES:
            path = pathlib.Path(self.folder) / bus
            path.write_bytes(bytes(range(1, 129)) * (SIZE_MIB << 13))
            self.paths[bus] = str(path)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)


    def words(self, machine):
        return machine.disk_words(self.paths)


class FormatImages:
    """An image of each format in files, full of data, in the page cache."""

    def __init__(self, parent, run_tool):
        self.parent = parent
        self.run_tool = run_tool
        self.cache = 'writeback'

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix='formats-', dir=self.parent)
        self.paths = {name: os.path.join(self.folder, name)
                      for name in FORMATS}
        self.secret = os.path.join(self.folder, 'secret')
        raw = pathlib.Path(self.paths['raw'])
        raw.write_bytes(bytes(range(1, 129)) * (FORMATS_MIB << 13))
        pathlib.Path(self.secret).write_text('bench', encoding='ascii')
        options = {'qcow2': [],
                   'luks': ['--object', f'secret,id=key,file={self.secret}',
                            '-o', 'key-secret=key,iter-time=100']}
        for name, words in options.items():
            self.make(['qemu-img', 'convert', *words, '-f', 'raw',
                       '-O', name, str(raw), self.paths[name]])
        self.settle()
        return self

    def make(self, command):
        """qemu-img measures how long a passphrase takes; on a busy machine it
        gives up now and then."""
        for left in reversed(range(TRIES)):
            try:
                self.run_tool(command, 'cannot make images')
                return
            except BenchError:
                if not left:
                    raise

    def settle(self):
        """What was written goes to the disk now, not while something is
        measured."""
        for path in self.paths.values():
            with open(path, 'rb') as file:
                os.fsync(file)

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def words(self, machine):
        return machine.format_words(self.paths, self.secret, self.cache)


class Bench:
    """Machines with these disks, and one kernel and initrd for all."""

    def __init__(self, machines, kernel, initrd, append, images):
        self.machines = machines
        self.kernel = kernel
        self.initrd = initrd
        self.append = append
        self.images = images

    def command(self, machine, words):
        return machine.command(self.kernel, self.initrd,
                               f'{self.append} {words}') + \
            self.images.words(machine)

    def outputs(self, tests):
        """Each machine's name, and what its guest said. QEMU's NVMe loses an
        interrupt now and then: what a peer did not come to has no figure."""
        for machine in self.machines:
            command = self.command(machine, f'bench={",".join(tests)}')
            with Process(machine.name, command) as process:
                try:
                    process.finish(LIMIT)
                except BenchError as error:
                    if machine is self.machines[-1]:
                        raise
                    print(f'bench: {error}', file=sys.stderr)
                yield machine.name, process.output

    def counts(self, report, test, ios):
        command = self.command(self.machines[-1], f'bench={test} ios={ios}')
        with Process('lodge', command + ['--report', report]) as process:
            process.finish(LIMIT)
        with open(report, encoding='utf-8') as file:
            exits = json.load(file)['exits']
        return exits['mmio'], exits['interrupt']

    def exits(self, report, test):
        """lodge's accesses to registers in memory, and interrupts, an access."""
        few = self.counts(report, test, COUNTED_OFF)
        many = self.counts(report, test, COUNTED)
        return tuple((m - f) / (COUNTED - COUNTED_OFF)
                     for m, f in zip(many, few))
