# SPDX-License-Identifier: Apache-2.0
"""A guest's network on lodge beside QEMU's, and the host's loopback.

The benchmark program is the client in the guest and the server on the host.
Both machines have a virtio card with the network "user": the same library plays
the router in the machine's process.
"""
import re

from disks import build_initrd
from guests import BenchError, Process

ROUTER = '10.0.2.2'  # of the guest; leads to the host's loopback
LIMIT = 120
FIRST = 'net_first'


class Server:
    """The program as the other end."""

    def __init__(self, program):
        self.process = Process('server', [program, '--serve'])

    def __enter__(self):
        self.process.__enter__()
        self.process.wait_for(rb'serving \d+\n', LIMIT)
        self.port = int(re.search(rb'serving (\d+)', self.process.output)[1])
        return self

    def __exit__(self, *words):
        self.process.__exit__(*words)


class Bench:
    """Machines beside each other, and the host."""

    def __init__(self, setup, run_tool, say):
        self.setup = setup
        self.say = say
        self.initrd = f'{setup.folder}/net-initrd'
        self.kernel = build_initrd(setup.guest, setup.program, self.initrd,
                                   run_tool)
        self.first = {}

    def measure(self, tests, rounds, collect):
        """`collect` is given a machine's name and what its guest said."""
        with Server(self.setup.program) as server:
            for number in range(rounds):
                self.on_host(tests, server.port, collect)
                for machine in (self.setup.qemu, self.setup.lodge):
                    self.in_guest(machine, tests, server.port, collect)
                self.say(f'bench: networks, round {number + 1} of {rounds}')

    def on_host(self, tests, port, collect):
        with Process('native', [self.setup.program, ','.join(tests),
                                f'127.0.0.1:{port}']) as process:
            process.finish(LIMIT)
            collect('native', process.output)

    def in_guest(self, machine, tests, port, collect):
        command = machine.command(
            self.kernel, self.initrd,
            f'{self.setup.append} bench={",".join(tests)} '
            f'peer={ROUTER}:{port}') + machine.net_words()
        with Process(machine.name, command) as process:
            process.finish(LIMIT)
            collect(machine.name, process.output)
            found = re.search(rb'^bench net_first (\S+) ms', process.output,
                              re.M)
            if not found:
                raise BenchError(f'{machine.name}: no answer from the host: '
                                 f'{process.last_words()}')
            self.first.setdefault(machine.name, []).append(float(found[1]))
