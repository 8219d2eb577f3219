# SPDX-License-Identifier: Apache-2.0
"""The programs at both ends of a network that is measured: the benchmark
program, and iperf3 of this computer. In a guest both heed the same words of the
kernel's command line (serve=PORT; bench=TESTS peer=ADDRESS:PORT), and print the
same lines.
"""
import pathlib
import re
import shutil
import socket

import initramfs
from guests import BenchError, Process

HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 60


class Server:
    """A program as the other end, on the host: its port."""

    def __init__(self, command, pattern):
        self.process = Process('server', command)
        self.pattern = pattern

    def __enter__(self):
        self.process.__enter__()
        self.process.wait_for(self.pattern, LIMIT)
        self.port = int(re.search(self.pattern, self.process.output)[1])
        return self

    def __exit__(self, *words):
        self.process.__exit__(*words)


class Own:
    """The benchmark program, process 1 of the guest."""
    first = True  # it tells when its card was answered first

    def __init__(self, program):
        self.program = program

    def words(self):
        return [f'--file={self.program}:/init']

    def server(self):
        return Server([self.program, '--serve'], rb'serving (\d+)\n')

    def on_host(self, tests, port):
        return [self.program, ','.join(tests), f'127.0.0.1:{port}']


def free_port():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


class Iperf:
    """iperf3, started by a script."""
    first = False
    script = HERE / 'iperf.sh'

    def __init__(self):
        self.program = shutil.which('iperf3')
        if not self.program:
            raise BenchError('iperf3 is missing; install the package iperf3')

    def words(self):
        return initramfs.with_tool(self.program, f'{self.script}:/iperf.sh',
                                f'{HERE / "iperf_init.sh"}:/init')

    def server(self):
        return Server([self.program, '--server', '--port', str(free_port()),
                       '--forceflush'], rb'listening on (\d+)')

    def on_host(self, tests, port):
        return ['sh', str(self.script), ','.join(tests), f'127.0.0.1:{port}']
