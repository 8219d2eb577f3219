# SPDX-License-Identifier: Apache-2.0
"""Images of lodge beside those of qemu-img: converted, made, snapshots, opened.

A disk of 1 GiB, half of it holes, is there in every format, written by
qemu-img, in the page cache. Both programs turn each into each; neither waits
for the host to write out what they made. The programs take turns, the best of
some rounds counts, and a process is measured from its start to its end. What
was written before is on the disk when it starts.
"""
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

from guests import BenchError

SIZE_MIB = 1024
THIN = '10G'
LARGE = '1T'

# lodge's formats, and what qemu-img calls them.
FORMATS = {'raw': 'raw', 'qcow2': 'qcow2', 'vmdk': 'vmdk', 'vdi': 'vdi',
           'vhd': 'vpc', 'vhdx': 'vhdx'}
PACKED = 'qcow2 compressed'
SOURCES = [*FORMATS, PACKED]
TARGETS = [*FORMATS, PACKED]

# Compressing takes seconds: it is measured with one source.
PAIRS = [(source, target) for source in SOURCES for target in TARGETS
         if target != PACKED or source == 'raw']

# Images take room: the sources, and a target.
ROOM = 8 << 30

ENOUGH = 4  # seconds: no further round of a pair that took longer
SMALL_ROUNDS = 7

# Milliseconds that lodge is to stay below; None: qemu-img's.
SMALL_GOALS = {'create a thin qcow2': 5, 'create an overlay': 5,
               'take a snapshot': None, 'open a qcow2 of 1 TiB': 10}


def format_of(name):
    return 'qcow2' if name == PACKED else name


def write_source(path):
    """A MiB of data, a MiB of nothing, and so on; half of the data repeats."""
    numbers = random.Random(1)
    with open(path, 'wb') as file:
        file.truncate(SIZE_MIB << 20)
        for at in range(0, SIZE_MIB, 2):
            text = b'what is written at %d MiB of the disk\n' % at
            file.seek(at << 20)
            file.write(numbers.randbytes(1 << 19))
            file.write((text * ((1 << 19) // len(text) + 1))[:1 << 19])


class Images:
    """The folder with the sources, and the two programs."""

    def __init__(self, lodge, folder):
        self.lodge = lodge
        self.qemu = shutil.which('qemu-img')
        if not self.qemu:
            raise BenchError('qemu-img is missing; install the package '
                             'qemu-utils')
        if shutil.disk_usage(folder).free < ROOM:
            raise BenchError(f'{folder}: too little room for images of '
                             f'{ROOM >> 30} GiB')
        # A backing file's relative path is looked for beside the overlay.
        self.parent = pathlib.Path(folder).resolve()

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='images-',
                                                    dir=self.parent))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return str(self.folder / name.replace(' ', '-'))

    def seconds(self, command):
        start = time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except OSError as error:
            raise BenchError(f'{command[0]}: {error.strerror}') from error
        took = time.monotonic() - start
        if done.returncode:
            said = done.stderr.decode(errors='replace').strip().split('\n')
            raise BenchError(f'{" ".join(command[:3])}: {said[-1]}')
        return took

    def qemu_convert(self, source, target, path):
        packed = ['-c'] if target == PACKED else []
        return [self.qemu, 'convert', *packed,
                '-f', FORMATS[format_of(source)],
                '-O', FORMATS[format_of(target)], self.path(source), path]

    def lodge_convert(self, source, target, path):
        packed = ['--compress'] if target == PACKED else []
        return [self.lodge, 'disk', 'convert', *packed,
                '--from', format_of(source), '--to', format_of(target),
                self.path(source), path]

    def write_sources(self):
        write_source(self.path('raw'))
        for name in SOURCES[1:]:
            self.seconds(self.qemu_convert('raw', name, self.path(name)))

    def best(self, commands, rounds, before):
        """The least milliseconds of each of two commands."""
        took = [[], []]
        start = time.monotonic()
        for number in range(rounds):
            if number and time.monotonic() - start > ENOUGH:
                break
            for times, command in zip(took, commands):
                before()
                os.sync()
                times.append(self.seconds(command))
        return [1e3 * min(times) for times in took]

    def remove(self, name):
        if os.path.exists(self.path(name)):
            os.unlink(self.path(name))

    # --- what is measured -----------------------------------------------------

    def conversions(self, rounds):
        """(source, target): milliseconds of qemu-img and of lodge."""
        self.write_sources()
        path, found = self.path('new'), {}
        for source, target in PAIRS:
            found[source, target] = self.best(
                [self.qemu_convert(source, target, path),
                 self.lodge_convert(source, target, path)],
                rounds, lambda: self.remove('new'))
            self.remove('new')
        return found

    def small_commands(self):
        """What is done, to which file that is fresh; by qemu-img and lodge."""
        new, base = self.path('new'), self.path('base')
        large = self.path('large')
        qemu, lodge = self.qemu, [self.lodge, 'disk']
        return zip(SMALL_GOALS, (None, None, 'qcow2', None), (
            ([qemu, 'create', '-q', '-f', 'qcow2', new, THIN],
             lodge + ['create', '--format', 'qcow2', new, THIN]),
            ([qemu, 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2',
              new],
             lodge + ['create', '--format', 'qcow2', '--backing', base,
                      '--backing-format', 'qcow2', new]),
            ([qemu, 'snapshot', '-c', 'first', new],
             lodge + ['snapshot', 'create', '--format', 'qcow2', new,
                      'first']),
            ([qemu, 'info', '-f', 'qcow2', large],
             lodge + ['info', '--format', 'qcow2', large])))

    def small(self):
        """What is done: milliseconds of qemu-img and of lodge."""
        self.seconds([self.qemu, 'create', '-q', '-f', 'qcow2', '-o',
                      'preallocation=metadata', self.path('base'), THIN])
        self.seconds([self.qemu, 'create', '-q', '-f', 'qcow2', '-o',
                      'preallocation=metadata', self.path('large'), LARGE])
        found = {}
        for name, fresh, commands in self.small_commands():
            def prepare(fresh=fresh):
                self.remove('new')
                if fresh:
                    self.seconds(['cp', '--sparse=always', self.path(fresh),
                                  self.path('new')])
            found[name] = self.best(commands, SMALL_ROUNDS, prepare)
        self.remove('base')
        self.remove('large')
        return found
