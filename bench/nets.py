# SPDX-License-Identifier: Apache-2.0
"""A guest's network on lodge beside QEMU's, and the host's loopback.

A program (net_tool.py) is the client in the guest and the server on the host.
Both machines have a virtio card with the network "user": the same library plays
the router in the machine's process.
"""
import re

import initramfs
from guests import BenchError, Process

ROUTER = '10.0.2.2'  # of the guest; leads to the host's loopback
LIMIT = 120
FIRST = 'net_first'


class Bench:
    """Machines beside each other, and the host."""

    def __init__(self, setup, tool, run_tool, say):
        self.setup = setup
        self.tool = tool
        self.say = say
        self.initrd = f'{setup.folder}/net-initrd'
        self.kernel = initramfs.build(setup.guest, tool.words(), self.initrd,
                                      run_tool)
        self.first = {}

    def measure(self, tests, rounds, collect):
        """`collect` is given a machine's name and what its guest said."""
        with self.tool.server() as server:
            for number in range(rounds):
                self.on_host(tests, server.port, collect)
                for machine in (self.setup.qemu, self.setup.lodge):
                    self.in_guest(machine, tests, server.port, collect)
                self.say(f'bench: networks, round {number + 1} of {rounds}')

    def on_host(self, tests, port, collect):
        with Process('native', self.tool.on_host(tests, port)) as process:
            process.finish(LIMIT)
            collect('native', process.output)

    def in_guest(self, machine, tests, port, collect):
        command = machine.command(
            self.kernel, self.initrd,
            f'{self.setup.append} bench={",".join(tests)} '
            f'peer={ROUTER}:{port}') + machine.net_words()
        with Process(machine.name, command) as process:
            process.finish(LIMIT)
            if not collect(machine.name, process.output):
                raise BenchError(f'{machine.name}: no answer from the host: '
                                 f'{process.last_words()}')
            if self.tool.first:
                self.note_first(machine, process)

    def note_first(self, machine, process):
        found = re.search(rb'^bench net_first (\S+) ms', process.output, re.M)
        if found:
            self.first.setdefault(machine.name, []).append(float(found[1]))
