# SPDX-License-Identifier: Apache-2.0
"""fio in guests of lodge and QEMU, on virtio disks with images of several
formats, and on the host.

The guest is Debian's ordinary kernel with fio of this computer and the
libraries that it wants; both machines have the same images and cache mode. On
the host fio has the raw image's file, as a guest's writes reach it: through the
page cache, or past it with cache=none.
"""
import pathlib
import re
import shutil

import initramfs
from disks import FormatImages
from guests import BenchError, Process

HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 60

FORMATS = ('raw', 'qcow2', 'luks')
CACHES = {'': 'writeback', '_none': 'none'}

# What is done: how, size of an access, how many at a time, and the unit.
KINDS = {
    '4k_1': ('randread', '4k', 1, 'k/s'),
    '4k_32': ('randread', '4k', 32, 'k/s'),
    '4k_write_1': ('randwrite', '4k', 1, 'k/s'),
    '4k_write_32': ('randwrite', '4k', 32, 'k/s'),
    'read': ('read', '1m', 1, 'MiB/s'),
    'write': ('write', '1m', 1, 'MiB/s'),
}

TESTS = [f'{name}{suffix}_{kind}' for suffix in CACHES for name in FORMATS
         for kind in KINDS]

HEAD = """\
[global]
ioengine=libaio
thread=1
norandommap=1
gtod_reduce=1
time_based=1
ramp_time=150ms
runtime=350ms
"""

JOB = """
[{test}]
stonewall
filename={path}
direct={direct:d}
rw={how}
bs={size}
iodepth={depth}
"""

# Of fio's terse lines, version 3: the job's name, and of reads and writes
# KiB a second and accesses a second.
NAME, READ, WRITE = 2, 6, 47


def parts_of(test):
    """A test's format, suffix of the cache mode, and kind."""
    return re.fullmatch(r'([a-z0-9]+?)(_none|)_(.*)', test).groups()


def tests_with(suffix, tests):
    return [test for test in tests if parts_of(test)[1] == suffix]


def job_text(tests, paths, direct):
    """A job file; `paths` by format. Formats without one are left out."""
    text = HEAD
    for test in tests:
        name, _, kind = parts_of(test)
        if name in paths:
            how, size, depth, _ = KINDS[kind]
            text += JOB.format(test=test, path=paths[name], direct=direct,
                               how=how, size=size, depth=depth)
    return text


def fio():
    path = shutil.which('fio')
    if not path:
        raise BenchError('fio is missing; install the package fio')
    return path


def build_initrd(drivers, job, path, run_tool):
    """Of fio, the drivers and the job; the path of the kernel."""
    words = initramfs.with_tool(fio(), f'{HERE / "fio_init.sh"}:/init',
                             f'{job}:/fio.job')
    return initramfs.build(drivers, words, path, run_tool)


def results(output):
    """Test, rate and unit of each of fio's lines."""
    for line in output.decode(errors='replace').splitlines():
        fields = line.strip().split(';')
        if len(fields) <= WRITE + 1 or fields[NAME] not in TESTS:
            continue
        how, _, _, unit = KINDS[parts_of(fields[NAME])[2]]
        at = WRITE if 'write' in how else READ
        rate = (int(fields[at + 1]) / 1e3 if unit == 'k/s'
                else int(fields[at]) / 1024)
        yield fields[NAME], rate, unit


class Bench:
    """Machines beside each other, and the host."""

    def __init__(self, setup, run_tool, say):
        self.setup = setup
        self.run_tool = run_tool
        self.say = say
        self.folder = pathlib.Path(setup.folder)
        self.initrd = str(self.folder / 'fio-initrd')
        self.job = self.folder / 'fio.job'

    def measure(self, rates, tests, rounds):
        with FormatImages(self.folder, self.run_tool) as images:
            for suffix, images.cache in CACHES.items():
                some = tests_with(suffix, tests)
                if some:
                    self.measure_cache(rates, some, rounds, images)

    def measure_cache(self, rates, tests, rounds, images):
        disks = dict(zip(FORMATS, ('/dev/vda', '/dev/vdb', '/dev/vdc')))
        self.job.write_text(job_text(tests, disks, True), encoding='ascii')
        kernel = build_initrd(self.setup.drivers, self.job, self.initrd,
                              self.run_tool)
        self.job.write_text(job_text(tests, {'raw': images.paths['raw']},
                                     images.cache == 'none'),
                            encoding='utf-8')
        for number in range(rounds):
            self.on_host(rates, images)
            self.in_qemu(rates, kernel, images)
            self.in_guest(rates, self.setup.lodge, kernel, images)
            self.say(f'bench: formats, cache={images.cache}, round '
                     f'{number + 1} of {rounds}')

    def on_host(self, rates, images):
        images.settle()
        with Process('fio', [fio(), '--output-format=terse',
                             '--terse-version=3', str(self.job)]) as process:
            process.finish(LIMIT)
            self.collect(rates, 'native', process)

    def in_qemu(self, rates, kernel, images):
        """QEMU loses an interrupt now and then: what a peer did not come to
        has no figure."""
        try:
            self.in_guest(rates, self.setup.qemu, kernel, images)
        except BenchError as error:
            self.say(f'bench: {error}')

    def in_guest(self, rates, machine, kernel, images):
        images.settle()
        command = machine.command(kernel, self.initrd, self.setup.append)
        with Process(machine.name, command + images.words(machine)) as process:
            process.finish(LIMIT)
            if b'fio: status 0' not in process.output:
                raise BenchError(f'{machine.name}: fio failed: '
                                 f'{process.last_words()}')
            self.collect(rates, machine.name, process)

    @staticmethod
    def collect(rates, name, process):
        for test, rate, unit in results(process.output):
            rates.add(name, test, rate, unit)
