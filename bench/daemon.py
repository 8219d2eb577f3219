#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many machines kept by lodged, beside libvirt's with QEMU's TCG.

Each daemon runs alone with folders of its own. A tiny kernel whose first
instructions write to the serial port tells when a guest has begun; the default
guest tells what an idle one costs. Also a program of its own (make many): 200
machines kept and 50 default guests that run at the same time.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from guests import BenchError, find_ram, read_smaps

MIB = 1 << 20
LIMIT = 120
REGISTERED = 1000
READS = 3000
STARTS = 15
CREATES = 5
AT_ONCE = 40
IDLE_GUESTS = 8
IDLE_PEERS = 2
IDLE_SECONDS = 5
POLL = 0.0002


# --- a guest that tells when it has begun ---------------------------------------

BASE, CODE = 0x100000, 16


def tiny_kernel():
    """Multiboot: "x" to COM1, then nothing."""
    out = b'\xB0x\x66\xBA\xF8\x03\xEE'        # mov al, 'x'; mov dx, 0x3f8; out
    code = out + b'\xFA\xF4\xEB\xFD'          # cli; hlt for ever
    magic, flags = 0x1BADB002, 0
    segment = struct.pack('<IIII', magic, flags, -(magic + flags) & 0xFFFFFFFF,
                          0) + code
    elf = b'\x7fELF\x01\x01\x01'.ljust(16, b'\0') + struct.pack(
        '<HHIIIIIHHHHHH', 2, 3, 1, BASE + CODE, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    elf += struct.pack('<IIIIIIII', 1, 0x1000, BASE, BASE, len(segment),
                       len(segment), 7, 0x1000)
    return elf.ljust(0x1000, b'\0') + segment


# --- lodged -----------------------------------------------------------------------

class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('lodged', timeout=LIMIT)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Lodged:
    """A lodged of our own, until the end of a with statement."""

    def __init__(self, build):
        self.build = pathlib.Path(build)
        self.base = pathlib.Path(tempfile.mkdtemp(prefix='lodge-bench-'))
        self.runtime = self.base / 'r' / 'lodge'
        for name in 'r', 'd':
            (self.base / name).mkdir(0o700)
        self.env = {**os.environ, 'XDG_RUNTIME_DIR': str(self.base / 'r'),
                    'XDG_DATA_HOME': str(self.base / 'd')}

    def __enter__(self):
        there, here = os.pipe()
        self.child = subprocess.Popen(
            [self.build / 'lodged', '--ready', str(here)], env=self.env,
            pass_fds=[here], stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(here)
        with os.fdopen(there) as ready:
            word = ready.readline().strip()
        if word != 'ok':
            raise BenchError(f'lodged: {word}')
        self.connection = Connection(self.runtime / 'lodged.api')
        return self

    def __exit__(self, *words):
        self.cli('rm', '--all', '--force', check=False)
        self.connection.close()
        self.child.terminate()
        self.child.wait()
        shutil.rmtree(self.base, ignore_errors=True)

    @property
    def pid(self):
        return self.child.pid

    def ask(self, method, path, body=None):
        self.connection.request(method, path,
                                None if body is None else json.dumps(body))
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise BenchError(f'lodged: {method} {path}: {text.decode()}')
        return json.loads(text)

    def cli(self, *args, check=True):
        done = subprocess.run([self.build / 'lodge', *args], env=self.env,
                              capture_output=True, text=True, check=False,
                              timeout=LIMIT)
        if check and done.returncode:
            raise BenchError(f'lodge {args[0]}: {done.stderr.strip()}')
        return done.stdout

    def make(self, name, **config):
        self.ask('POST', '/v1/vms', {'name': name, 'config': config})

    def first_byte(self, name, end=None):
        """When the guest's serial console has said something."""
        end = end or time.monotonic() + LIMIT
        path = str(self.runtime / f'{name}.console')
        while time.monotonic() < end:
            with socket.socket(socket.AF_UNIX) as console:
                try:
                    console.settimeout(LIMIT)
                    console.connect(path)
                    if console.recv(1):
                        return time.monotonic()
                except OSError:
                    pass
            time.sleep(POLL)
        raise BenchError(f'{name}: its guest does not begin')

    def memory(self):
        """Resident bytes of lodged, of which nobody else has any part."""
        return sum(m['pss'] for m in read_smaps(self.pid))

    def cpu_seconds(self):
        total = 0
        for thread in os.listdir(f'/proc/{self.pid}/task'):
            with open(f'/proc/{self.pid}/task/{thread}/schedstat',
                      encoding='ascii') as file:
                total += int(file.read().split()[0])
        return total * 1e-9


def percentile(values, part):
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def reads(lodged, path, count):
    """Seconds of each."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        lodged.ask('GET', path)
        took.append(time.perf_counter() - began)
    return took


def requests_a_second(lodged, path, count=8000):
    """Four clients, each with a request under way."""
    text = f'GET {path} HTTP/1.1\r\nHost: l\r\n\r\n'.encode()
    sockets = []
    for _ in range(4):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(LIMIT)
        one.connect(str(lodged.runtime / 'lodged.api'))
        sockets.append(one)
    began, answered = time.monotonic(), 0
    while answered < count:
        for one in sockets:
            one.sendall(text)
        for one in sockets:
            data = b''
            while b'\r\n\r\n' not in data:
                data += one.recv(65536)
            head, body = data.split(b'\r\n\r\n', 1)
            size = int(head.lower().split(b'content-length:')[1].split()[0])
            while len(body) < size:
                body += one.recv(65536)
            answered += 1
    took = time.monotonic() - began
    for one in sockets:
        one.close()
    return answered / took


def registered(lodged, kernel, count):
    """Rows of what many machines cost that do not run."""
    before = lodged.memory()
    began = time.monotonic()
    for i in range(count):
        lodged.make(f'vm{i:04}', kernel=kernel, memory=16 * MIB,
                    labels={'n': str(i % 10)})
    made = (time.monotonic() - began) / count
    one = reads(lodged, f'/v1/vms/vm{count // 2:04}', READS)
    page = reads(lodged, '/v1/vms?limit=100', 200)
    rate = requests_a_second(lodged, f'/v1/vms/vm{count // 2:04}')
    time.sleep(1)
    cpu = lodged.cpu_seconds()
    time.sleep(IDLE_SECONDS)
    return {
        'create': made, 'p50': statistics.median(one),
        'p99': percentile(one, 0.99), 'page': percentile(page, 0.99),
        'rate': rate, 'before': before, 'after': lodged.memory(),
        'idle': (lodged.cpu_seconds() - cpu) / IDLE_SECONDS,
    }


def start_one(lodged, kernel):
    """Seconds from the command to the guest's first instruction."""
    lodged.make('one', kernel=kernel, memory=256 * MIB, engine='soft')
    took = []
    for _ in range(STARTS):
        began = time.monotonic()
        with subprocess.Popen([lodged.build / 'lodge', 'start', 'one'],
                              env=lodged.env):
            took.append(lodged.first_byte('one') - began)
        lodged.cli('stop', '--force', 'one')
    lodged.cli('rm', 'one')
    return statistics.median(took)


def create_one(lodged, kernel):
    """Seconds from the first of two commands, which makes a machine, to the
    guest's first instruction."""
    took = []
    for _ in range(CREATES):
        began = time.monotonic()
        lodged.cli('create', 'fresh', '--kernel', kernel, '--memory', '256M',
                   '--engine', 'soft')
        with subprocess.Popen([lodged.build / 'lodge', 'start', 'fresh'],
                              env=lodged.env):
            took.append(lodged.first_byte('fresh') - began)
        lodged.cli('rm', '--force', 'fresh')
    return statistics.median(took)


def start_many(lodged, kernel, count):
    """Guests that begin in a second."""
    names = [f'many{i}' for i in range(count)]
    for name in names:
        lodged.make(name, kernel=kernel, memory=64 * MIB, engine='soft',
                    labels={'many': ''})
    began = time.monotonic()
    with subprocess.Popen([lodged.build / 'lodge', 'start', '--label',
                           'many'], env=lodged.env):
        last = max(lodged.first_byte(name) for name in names)
    lodged.cli('rm', '--force', '--label', 'many')
    return count / (last - began)


def wait_prompts(lodged, names):
    """Until the default guests are at their prompts."""
    for name in names:
        end = time.monotonic() + LIMIT
        data = b''
        with socket.socket(socket.AF_UNIX) as console:
            console.settimeout(LIMIT)
            console.connect(str(lodged.runtime / f'{name}.console'))
            while b'# ' not in data.split(b'\n')[-1]:
                if time.monotonic() > end:
                    raise BenchError(f'{name}: no prompt')
                data += console.recv(65536)


def idle_guests(lodged, count, ram=128 * MIB):
    """Of default guests that do nothing: memory of each process beyond the
    guest's, and part of a processor."""
    names = [f'idle{i}' for i in range(count)]
    for name in names:
        lodged.make(name, memory=ram, engine='soft', labels={'idle': ''})
    began = time.monotonic()
    lodged.cli('start', '--label', 'idle')
    started = time.monotonic() - began
    wait_prompts(lodged, names)
    booted = time.monotonic() - began
    time.sleep(2)
    pids = [lodged.ask('GET', f'/v1/vms/{name}')['pid'] for name in names]
    beyond, cpu = costs_of(pids, ram)
    return {'beyond': statistics.median(beyond), 'cpu': cpu,
            'started': started, 'booted': booted}


def cpu_of(pid):
    total = 0
    for thread in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{thread}/schedstat',
                  encoding='ascii') as file:
            total += int(file.read().split()[0])
    return total * 1e-9


def costs_of(pids, ram):
    """Bytes that each has beyond its guest's `ram`, and the processor's part
    that one takes."""
    beyond = []
    for pid in pids:
        maps = list(read_smaps(pid))
        first, last = find_ram(maps, ram)
        beyond.append(sum(m['pss'] for m in maps
                          if m['start'] < first or m['end'] > last))
    cpu = sum(cpu_of(pid) for pid in pids)
    time.sleep(IDLE_SECONDS)
    cpu = (sum(cpu_of(pid) for pid in pids) - cpu) / IDLE_SECONDS / len(pids)
    return beyond, cpu


# --- libvirt ------------------------------------------------------------------------

DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>{memory}</memory>
<vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type>
<kernel>{kernel}</kernel>{boot}</os><features><acpi/></features><devices>
<serial type='file'><source path='{serial}'/><target port='0'/></serial>
<memballoon model='none'/></devices></domain>"""


class Libvirt:
    """A session's libvirtd with folders of its own."""

    def __init__(self):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix='lodge-bench-'))
        (self.base / 'run').mkdir(0o700)
        config = self.base / '.config' / 'libvirt'
        config.mkdir(parents=True)
        # No virtlogd between a guest and the file of its serial port.
        (config / 'qemu.conf').write_text('stdio_handler = "file"\n')
        self.env = {**os.environ, 'HOME': str(self.base),
                    'XDG_RUNTIME_DIR': str(self.base / 'run')}
        # As root it would be the system's libvirtd, with its settings.
        self.who = {'user': 65534, 'group': 65534, 'extra_groups': []}
        if os.geteuid():
            self.who = {}
        for name in 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME', 'XDG_DATA_HOME':
            self.env.pop(name, None)

    def __enter__(self):
        if self.who:
            for path in [self.base, *self.base.rglob('*')]:
                os.chown(path, self.who['user'], self.who['group'])
        self.child = subprocess.Popen(
            ['libvirtd'], env=self.env, **self.who, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + LIMIT
        while self.virsh('list', check=False) is None:
            if time.monotonic() > end or self.child.poll() is not None:
                raise BenchError('libvirtd does not serve here')
            time.sleep(0.1)
        return self

    def __exit__(self, *words):
        for name in (self.virsh('list', '--all', '--name', check=False)
                     or '').split():
            self.virsh('destroy', name, check=False)
            self.virsh('undefine', name, check=False)
        self.child.terminate()
        self.child.wait()
        shutil.rmtree(self.base, ignore_errors=True)

    def virsh(self, *args, check=True):
        done = subprocess.run(
            ['virsh', '-q', '-c', 'qemu:///session', *args], env=self.env,
            **self.who,
            capture_output=True, text=True, check=False, timeout=LIMIT)
        if done.returncode and check:
            raise BenchError(f'virsh {args[0]}: {done.stderr.strip()}')
        return None if done.returncode else done.stdout

    def mine(self, path):
        """A copy that libvirt's user may read."""
        copy = self.base / f'{pathlib.Path(path).name}.copy'
        if not copy.exists():
            shutil.copyfile(path, copy)
            copy.chmod(0o644)
        return copy

    def write(self, name, kernel, memory, initrd=None):
        """A domain's description."""
        path = self.base / f'{name}.xml'
        boot = ''
        if initrd:
            boot = (f'<initrd>{self.mine(initrd)}</initrd>'
                    '<cmdline>console=ttyS0 quiet</cmdline>')
        path.write_text(DOMAIN.format(
            name=name, kernel=self.mine(kernel), memory=memory, boot=boot,
            serial=self.serial(name)))
        return path

    def define(self, name, kernel, memory, initrd=None):
        self.virsh('define', str(self.write(name, kernel, memory, initrd)))

    def serial(self, name):
        return self.base / f'{name}.serial'

    def first_byte(self, name):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if os.stat(self.serial(name)).st_size:
                    return time.monotonic()
            time.sleep(POLL)
        raise BenchError(f'{name}: its guest does not begin')

    def memory(self):
        return sum(m['pss'] for m in read_smaps(self.child.pid))

    def start_one(self, kernel):
        self.define('one', kernel, 256)
        took = []
        for _ in range(5):
            self.serial('one').unlink(missing_ok=True)
            began = time.monotonic()
            with subprocess.Popen(
                    ['virsh', '-q', '-c', 'qemu:///session', 'start', 'one'],
                    env=self.env, stdout=subprocess.DEVNULL, **self.who):
                took.append(self.first_byte('one') - began)
            self.virsh('destroy', 'one')
        self.virsh('undefine', 'one')
        return statistics.median(took)

    def create_one(self, kernel):
        """Seconds from the command, which makes and starts a domain."""
        took = []
        path = self.write('fresh', kernel, 256)
        for _ in range(CREATES):
            self.serial('fresh').unlink(missing_ok=True)
            began = time.monotonic()
            with subprocess.Popen(
                    ['virsh', '-q', '-c', 'qemu:///session', 'create',
                     str(path)], env=self.env, stdout=subprocess.DEVNULL,
                    **self.who):
                took.append(self.first_byte('fresh') - began)
            self.virsh('destroy', 'fresh')
        return statistics.median(took)

    def registered(self, kernel, count):
        """What many domains cost that do not run; one virsh asks, command by
        command, for all requests."""
        lines = [f'define {self.write(f"vm{i:04}", kernel, 16)}\n'
                 for i in range(count)]
        with Virsh(self) as virsh:
            began = time.monotonic()
            for line in lines:
                virsh.ask(line)
            made = (time.monotonic() - began) / count
            one = [virsh.ask(f'domstate vm{count // 2:04}\n')
                   for _ in range(READS)]
            page = [virsh.ask('list --all\n') for _ in range(5)]
        time.sleep(1)
        cpu = cpu_of(self.child.pid)
        time.sleep(IDLE_SECONDS)
        found = {'create': made, 'p50': statistics.median(one),
                 'p99': percentile(one, 0.99), 'page': max(page),
                 'rate': READS / sum(one), 'after': self.memory(),
                 'idle': (cpu_of(self.child.pid) - cpu) / IDLE_SECONDS}
        with Virsh(self) as virsh:
            for i in range(count):
                virsh.ask(f'undefine vm{i:04}\n')
        return found

    def idle_guests(self, kernel, initrd, count, ram=128 * MIB):
        """As of lodge: beyond the guest's memory, and part of a processor."""
        names = [f'idle{i}' for i in range(count)]
        for name in names:
            self.define(name, kernel, ram // MIB, initrd)
            self.virsh('start', name)
        for name in names:
            end = time.monotonic() + LIMIT
            while not self.serial(name).read_bytes().rstrip(b'\x1b[6n'
                                                            ).endswith(b'# '):
                if time.monotonic() > end:
                    raise BenchError(f'libvirt: {name}: no prompt')
                time.sleep(0.2)
        time.sleep(2)
        pids = [int(path.read_text()) for path in self.base.rglob('*.pid')
                if path.stem in names]
        beyond, cpu = costs_of(pids, ram)
        for name in names:
            self.virsh('destroy', name)
            self.virsh('undefine', name)
        return {'beyond': statistics.median(beyond), 'cpu': cpu}

    def start_many(self, kernel, count):
        """All by one virsh, as one client would."""
        names = [f'many{i}' for i in range(count)]
        for name in names:
            self.define(name, kernel, 64)
        began = time.monotonic()
        with subprocess.Popen(
                ['virsh', '-q', '-c', 'qemu:///session',
                 '; '.join(f'start {name}' for name in names)], env=self.env,
                stdout=subprocess.DEVNULL, **self.who):
            last = max(self.first_byte(name) for name in names)
        return count / (last - began)


class Virsh:
    """One virsh that takes commands, as long as there are some."""

    END = 'lodge-bench-end'

    def __init__(self, libvirt):
        self.child = subprocess.Popen(
            ['virsh', '-q', '-c', 'qemu:///session'], env=libvirt.env,
            **libvirt.who, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *words):
        self.child.stdin.close()
        self.child.wait(LIMIT)
        self.child.stdout.close()

    def ask(self, line):
        """Seconds of a command: until virsh reads the one that follows it,
        which it shows."""
        began = time.perf_counter()
        self.child.stdin.write(f'{line}echo {self.END}\n')
        while f'echo {self.END}' not in (said :=
                                         self.child.stdout.readline()):
            if not said or said.startswith('error:'):
                raise BenchError(f'virsh: {said.strip() or "has ended"}')
        return time.perf_counter() - began


# --- all of it --------------------------------------------------------------------------

def libvirt_figures(kernel, guest, say):
    if not shutil.which('libvirtd') or not shutil.which('virsh'):
        say('bench: no libvirt (libvirt-daemon-system, libvirt-clients): '
            'lodged alone')
        return {}
    try:
        with Libvirt() as libvirt:
            found = {'memory': libvirt.memory(),
                     'one': libvirt.start_one(kernel),
                     'fresh': libvirt.create_one(kernel)}
            say('bench: libvirt, one machine')
            found['many'] = libvirt.start_many(kernel, 10)
            say('bench: libvirt, many machines')
            found['guests'] = libvirt.idle_guests(*guest, IDLE_PEERS)
            say('bench: libvirt, idle guests')
            found['kept'] = libvirt.registered(kernel, REGISTERED)
            say('bench: libvirt, 1000 machines')
            return found
    except BenchError as error:
        say(f'bench: {error}: lodged alone')
        return {}


def write_kernel(folder):
    path = pathlib.Path(folder) / 'tiny.elf'
    path.write_bytes(tiny_kernel())
    return str(path.resolve())


def measure(build, folder, say, figure):
    """Rows as those of run.py; libvirt is in QEMU's column."""
    kernel = write_kernel(folder)
    with Lodged(build) as lodged:
        one = start_one(lodged, kernel)
        fresh = create_one(lodged, kernel)
        say('bench: lodged, one machine')
        many_a_second = start_many(lodged, kernel, AT_ONCE)
        say('bench: lodged, many machines')
        idle = idle_guests(lodged, IDLE_GUESTS)
        say('bench: lodged, idle guests')
    with Lodged(build) as lodged:
        kept = registered(lodged, kernel, REGISTERED)
        say('bench: lodged, 1000 machines')
    guest = pathlib.Path(build) / 'guest' / 'default'
    peer = libvirt_figures(kernel, (guest / 'vmlinuz', guest / 'initrd'), say)

    def row(name, unit, goal, ours, *theirs, scale=1):
        """`theirs`: the way to the peer's value, if it has one."""
        values, value = {'lodge': ours * scale}, peer or None
        for word in theirs:
            value = value and value[word]
        if theirs and value is not None:
            values['qemu'] = value * scale
        return figure(name, unit, goal, '', values)
    return [
        row('start of a kept machine to its first instruction', 'ms', '30',
            one, 'one', scale=1e3),
        row('making and starting one, to its first instruction', 'ms', '',
            fresh, 'fresh', scale=1e3),
        row('kept machines started a second', '1/s', 'from 20',
            many_a_second, 'many'),
        row('memory of the daemon', 'MiB', '20', kept['before'], 'memory',
            scale=1 / MIB),
        row('the same with 1000 machines kept', 'MiB', '20', kept['after'],
            'kept', 'after', scale=1 / MIB),
        row('its processor time, idle, 1000 kept', '% of one', '0',
            kept['idle'], 'kept', 'idle', scale=100),
        row('reading a machine, 1000 kept, median', 'ms', '', kept['p50'],
            'kept', 'p50', scale=1e3),
        row('the same, 99th percentile', 'ms', '1', kept['p99'], 'kept',
            'p99', scale=1e3),
        row('a page of 100, 99th percentile (libvirt: a list of all)', 'ms',
            '', kept['page'], 'kept', 'page', scale=1e3),
        row('requests a second, four clients (libvirt: one)', '1/s', '',
            kept['rate'], 'kept', 'rate'),
        row('making a machine', 'ms', '', kept['create'], 'kept', 'create',
            scale=1e3),
        row('memory of an idle default guest beyond its own', 'MiB', '15',
            idle['beyond'], 'guests', 'beyond', scale=1 / MIB),
        row('processor time of an idle default guest', '% of one', '1',
            idle['cpu'], 'guests', 'cpu', scale=100),
    ]


def many(build, kept, running):
    """200 machines kept, 50 default guests run: what it takes."""
    with Lodged(build) as lodged:
        for i in range(kept - running):
            lodged.make(f'kept{i}', memory=128 * MIB)
        idle = idle_guests(lodged, running)
        cpu = lodged.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        cpu = (lodged.cpu_seconds() - cpu) / IDLE_SECONDS
        one = reads(lodged, '/v1/vms/kept0', 500)
        states = [vm['state'] for vm in
                  lodged.ask('GET', '/v1/vms?limit=1000')['vms']]
        if states.count('running') != running or len(states) != kept:
            raise BenchError(f'{states.count("running")} of {len(states)} run')
        print(f'{kept} machines kept, {running} default guests of 128 MiB run')
        print(f'all told to start          {idle["started"]:8.2f} s')
        print(f'all at their prompts       {idle["booted"]:8.2f} s')
        print(f'each, beyond its guest     {idle["beyond"] / MIB:8.1f} MiB')
        print(f'each, processor            {idle["cpu"] * 100:8.2f} %')
        print(f'lodged, memory             {lodged.memory() / MIB:8.1f} MiB')
        print(f'lodged, processor          {cpu * 100:8.2f} %')
        print(f'a read, 99th percentile    '
              f'{percentile(one, 0.99) * 1e3:8.2f} ms')
        began = time.monotonic()
        lodged.cli('stop', '--all', '--force')
        print(f'all stopped                '
              f'{time.monotonic() - began:8.2f} s')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--build', default='build')
    parser.add_argument('--kept', type=int, default=200)
    parser.add_argument('--running', type=int, default=50)
    args = parser.parse_args()
    try:
        many(args.build, args.kept, args.running)
    except (BenchError, OSError) as error:
        print(f'many: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
