# SPDX-License-Identifier: Apache-2.0
"""What a machine has left beside one that burns what it can get.

Both are default guests that lodged keeps, on the same processor of the host.
The neighbour does a fixed piece of work: alone, beside a burner, and beside a
burner with a limit. A burner has four virtual processors and as many loops.
"""
import contextlib
import pathlib
import socket
import statistics
import subprocess
import threading
import time

from daemon import LIMIT, MIB, Lodged, wait_prompts
from guests import BenchError

MEMORY = 192 * MIB
DISK = 64 * MIB
TIMES = 5

# What each has: work of the neighbour that gives `amount` units, the loops of
# the burner, and its limits.
RESOURCES = {
    'processor': {
        'unit': 'M/s', 'amount': 0.2,
        'work': 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done',
        'burn': 'while :; do :; done', 'limit': {'cpu_limit': 25}},
    'memory': {
        'unit': 'MiB/s', 'amount': 1024,
        'work': 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do '
                'cat /tmp/kept >/dev/null; done',
        'burn': 'mkdir -p /m; mount -t tmpfs -o size=150m none /m; '
                'while :; do dd if=/dev/zero of=/m/$$ bs=1M; done',
        'limit': {'cpu_limit': 25}},
    'disk': {
        'unit': 'MiB/s', 'amount': 64,
        'work': 'dd if=/dev/vda of=/dev/null bs=64k iflag=direct',
        'burn': 'while :; do dd if=/dev/vda of=/dev/null bs=64k '
                'iflag=direct; done', 'limit': {'disk_bps': 16 * MIB}},
    'network': {
        'unit': 'MiB/s', 'amount': 32,
        'work': 'dd if=/dev/zero bs=64k count=512 | nc 10.0.2.2 {port}',
        'burn': 'while :; do dd if=/dev/zero bs=64k | '
                'nc 10.0.2.2 {port}; done',
        'limit': {'networks': [{'mode': 'user', 'bps-out': 4 * MIB}]}},
}


class Sink(threading.Thread):
    """A server of the host that takes everything."""

    def __init__(self):
        super().__init__(daemon=True)
        self.server = socket.create_server(('127.0.0.1', 0))
        self.port = self.server.getsockname()[1]

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.take, daemon=True,
                                 args=self.server.accept()[:1]).start()

    @staticmethod
    def take(sock):
        with sock, contextlib.suppress(OSError):
            while sock.recv(1 << 18):
                pass


class Pair:
    """The neighbour, and burners that come and go."""

    def __init__(self, lodged, folder, port):
        self.lodged = lodged
        self.folder = pathlib.Path(folder).resolve()
        self.port = port
        self.start('neighbour')
        self.run('neighbour', 'dd if=/dev/zero of=/tmp/kept bs=1M count=64; '
                 'until ip route | grep -q default; do sleep 0.1; done')

    def start(self, name, **config):
        disk = self.folder / f'{name}.raw'
        with disk.open('wb') as file:
            for _ in range(DISK // MIB):
                file.write(b'lodge...' * (MIB // 8))
        self.lodged.make(name, **{
            # Equal parts, and many beside what else the host does.
            'cpu_shares': 10000, 'cpu_set': '0',
            'memory': MEMORY, 'cpus': 4, 'engine': 'soft',
            'disks': [{'path': str(disk)}], **config})
        self.lodged.cli('start', name)
        wait_prompts(self.lodged, [name])

    def run(self, name, command):
        done = subprocess.run(
            [self.lodged.build / 'lodge', 'exec', name, '--', 'sh', '-c',
             command], env=self.lodged.env, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=False, timeout=LIMIT)
        if done.returncode:
            raise BenchError(f'{name}: {done.stderr.strip()}')

    def rate(self, what):
        took = []
        for _ in range(TIMES):
            began = time.monotonic()
            self.run('neighbour', what['work'].format(port=self.port))
            took.append(time.monotonic() - began)
        return what['amount'] / statistics.median(took)

    def beside(self, what, limits):
        self.start('burner', **limits)
        burn = what['burn'].format(port=self.port)
        self.run('burner', 'until ip route | grep -q default; do sleep 0.1; '
                 f'done; for i in 1 2 3 4; do ({burn}) </dev/null '
                 '>/dev/null 2>&1 & done')
        time.sleep(1)
        rate = self.rate(what)
        self.lodged.cli('rm', '--force', 'burner')
        return rate


def measure(build, folder, say):
    """A row for each resource."""
    sink = Sink()
    sink.start()
    rows = []
    with Lodged(build) as lodged:
        pair = Pair(lodged, folder, sink.port)
        for name, what in RESOURCES.items():
            rows.append({'name': name, 'unit': what['unit'],
                         'alone': pair.rate(what),
                         'beside': pair.beside(what, {}),
                         'limited': pair.beside(what, what['limit'])})
            say(f'bench: neighbours, {name}')
    sink.server.close()
    return rows
