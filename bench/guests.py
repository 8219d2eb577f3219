# SPDX-License-Identifier: Apache-2.0
"""Starts the machines that are compared, and looks at their processes.

A Machine is one way to run a kernel: lodge's soft engine, or QEMU's TCG. Both
get the same kernel, initrd, command line, memory and processors, their serial
console on pipes. All waiting has a limit; what goes wrong is a BenchError of
one line.
"""
import os
import re
import select
import signal
import subprocess
import tempfile
import time


UEFI_CODE = '/usr/share/OVMF/OVMF_CODE_4M.fd'
UEFI_VARIABLES = '/usr/share/OVMF/OVMF_VARS_4M.fd'


class BenchError(Exception):
    """One line for the user."""


class Process:
    """A running program whose output is read with a limit of time."""

    def __init__(self, name, command, cwd=None):
        self.name = name
        self.output = b''
        self.errors = tempfile.TemporaryFile()
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self.errors, cwd=cwd)
        except OSError as error:
            raise BenchError(f'{command[0]}: {error.strerror}') from error
        self.pid = self.process.pid
        self.pipe = self.process.stdout.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def elapsed(self):
        return time.monotonic() - self.started

    def _read(self, deadline):
        """Adds to self.output; False at its end."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.pipe], [], [], left)[0]:
            raise BenchError(f'{self.name}: not done after '
                             f'{self.elapsed():.0f} s; last said: '
                             f'{self.last_words()}')
        data = os.read(self.pipe, 65536)
        self.output += data
        return bool(data)

    def wait_for(self, pattern, limit):
        """Reads until the output has `pattern`; seconds since the start."""
        deadline = time.monotonic() + limit
        while not re.search(pattern, self.output):
            if not self._read(deadline):
                raise BenchError(f'{self.name}: ended too soon: '
                                 f'{self.last_words()}')
        return self.elapsed()

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def finish(self, limit):
        """Reads to the end of the process; seconds since the start."""
        deadline = time.monotonic() + limit
        while self._read(deadline):
            pass
        status = self.process.wait()
        took = self.elapsed()
        if status:
            raise BenchError(f'{self.name}: status {status}: '
                             f'{self.last_words()}')
        return took

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.finish(10)

    def last_words(self):
        self.errors.seek(0)
        for text in (self.errors.read(), self.output):
            lines = text.decode(errors='replace').split('\n')
            lines = [line.strip() for line in lines if line.strip()]
            if lines:
                return lines[-1][:200]
        return 'nothing'

    def cpu_seconds(self):
        """Processor time that the living threads have used so far."""
        total = 0
        for thread in os.listdir(f'/proc/{self.pid}/task'):
            with open(f'/proc/{self.pid}/task/{thread}/schedstat',
                      encoding='ascii') as file:
                total += int(file.read().split()[0])
        return total * 1e-9

    def memory_beyond(self, ram):
        """Resident bytes of the process outside its guest's `ram` bytes."""
        maps = list(read_smaps(self.pid))
        first, last = find_ram(maps, ram)
        return sum(m['pss'] for m in maps
                   if m['start'] < first or m['end'] > last)


def read_smaps(pid):
    """The mappings of a process, in order of address."""
    entry = None
    with open(f'/proc/{pid}/smaps', encoding='utf-8',
              errors='replace') as file:
        for line in file:
            head = re.match(r'([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) '
                            r'(\S+ \d+) *(.*)', line)
            if head:
                entry = {'start': int(head[1], 16), 'end': int(head[2], 16),
                         'offset': int(head[3], 16), 'file': head[4],
                         'name': head[5], 'pss': 0}
            elif line.startswith('Pss:'):
                entry['pss'] = int(line.split()[1]) * 1024
                yield entry


def find_ram(maps, ram):
    """Where a guest's RAM is mapped: a memory file of that size, perhaps with
    pages of other files mapped over parts of it, or one anonymous mapping."""
    spans = {}
    for m in maps:
        if m['name'].startswith('/memfd:'):
            base = m['start'] - m['offset']
            spans[base] = max(spans.get(base, 0), m['end'])
    for base, end in spans.items():
        if end - base == ram:
            return base, end
    for m in maps:
        if m['end'] - m['start'] == ram:
            return m['start'], m['end']
    raise BenchError('no mapping of the guest\'s memory found in smaps')


class Machine:
    """One program that runs guests."""

    def __init__(self, name, program, cpus, memory_mib):
        self.name = name
        self.program = program
        self.cpus = cpus
        self.memory_mib = memory_mib

    def command(self, kernel, initrd, append):
        raise NotImplementedError

    def start(self, kernel, initrd, append):
        return Process(self.name, self.command(kernel, initrd, append))

    def disk_words(self, paths):
        """Raw images by bus: virtio, ahci, nvme."""
        raise NotImplementedError

    def format_words(self, paths, secret, cache):
        """Virtio disks in order, images by format; `secret`: a file with the
        passphrase of one that is encrypted."""
        raise NotImplementedError

    def net_words(self):
        """A virtio card with the network "user"."""
        raise NotImplementedError

    def firmware_command(self, kind, variables):
        """`kind`: bios, or uefi with a copy of its variables."""
        raise NotImplementedError

    def version(self):
        raise NotImplementedError


class Lodge(Machine):
    def command(self, kernel, initrd, append, memory_mib=None):
        return [self.program, 'run', '--engine', 'soft', '--no-reboot',
                '--kernel', kernel, '--initrd', initrd, '--append', append,
                '--cpus', str(self.cpus),
                '--memory', f'{memory_mib or self.memory_mib}M']

    def disk_words(self, paths):
        return [word for bus, path in paths.items()
                for word in ('--disk', f'{path},bus={bus}')]

    def format_words(self, paths, secret, cache):
        words = []
        for name, path in paths.items():
            key = f',secret={secret}' if name == 'luks' else ''
            words += ['--disk', f'{path},format={name},cache={cache}{key}']
        return words

    def net_words(self):
        return ['--net', 'user']

    def firmware_command(self, kind, variables):
        return [self.program, 'run', '--engine', 'soft', '--firmware', kind,
                '--memory', f'{self.memory_mib}M']

    def version(self):
        return output_of([self.program, 'version'])


class Qemu(Machine):
    def command(self, kernel, initrd, append):
        return [self.program, '-nodefaults', '-no-user-config',
                '-display', 'none', '-no-reboot', '-serial', 'stdio',
                '-machine', 'q35', '-accel', 'tcg,thread=multi',
                '-cpu', 'max', '-smp', str(self.cpus),
                '-m', f'{self.memory_mib}M', '-kernel', kernel,
                '-initrd', initrd, '-append', append]

    def disk_words(self, paths):
        devices = {'virtio': 'virtio-blk-pci,drive=virtio',
                   'ahci': 'ide-hd,drive=ahci,bus=ide.0',
                   'nvme': 'nvme,drive=nvme,serial=bench'}
        return [word for bus, path in paths.items() for word in (
            '-drive', f'if=none,id={bus},format=raw,file={path}',
            '-device', devices[bus])]

    def format_words(self, paths, secret, cache):
        words = ['-object', f'secret,id=key,file={secret}']
        for name, path in paths.items():
            key = ',key-secret=key' if name == 'luks' else ''
            words += ['-drive', f'if=none,id={name},format={name},'
                                f'cache={cache},file={path}{key}',
                      '-device', f'virtio-blk-pci,drive={name}']
        return words

    def net_words(self):
        return ['-netdev', 'user,id=net', '-device',
                'virtio-net-pci,netdev=net']

    def firmware_command(self, kind, variables):
        command = [self.program, '-nographic', '-net', 'none',
                   '-machine', 'q35,smm=off', '-accel', 'tcg,thread=multi',
                   '-cpu', 'max', '-m', f'{self.memory_mib}M']
        if kind == 'uefi':
            flash = 'if=pflash,format=raw'
            command += ['-drive', f'{flash},readonly=on,file={UEFI_CODE}',
                        '-drive', f'{flash},file={variables}']
        return command

    def version(self):
        return output_of([self.program, '--version'])


def output_of(command):
    """The first line that a command prints, or an empty one."""
    try:
        text = subprocess.run(command, capture_output=True, timeout=20,
                              check=False, text=True).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return text.split('\n', 1)[0].strip()
