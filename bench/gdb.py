# SPDX-License-Identifier: Apache-2.0
"""How long a debugger waits for a step, by the GDB remote serial protocol: a
client that asks for single steps of the guest's kernel, one after the other.
"""
import os
import socket
import statistics
import time

from guests import BenchError, Process

STEPS = 500
LIMIT = 20


class Client:
    """One connection to a socket; every packet has an answer."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT)
        self.socket.connect(path)
        self.ask(b'QStartNoAckMode')
        self.socket.sendall(b'+')

    def ask(self, words):
        self.socket.sendall(b'$%s#%02x' % (words, sum(words) & 255))
        answer = b''
        while answer[-3:-2] != b'#':
            data = self.socket.recv(4096)
            if not data:
                raise BenchError('lodge closed the debugger\'s connection')
            answer += data
        return answer.lstrip(b'+')


def connect(path):
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            return Client(path)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if time.monotonic() > deadline:
                raise BenchError(f'{path}: {error.strerror}') from error
            time.sleep(0.01)


def step_seconds(machine, command, folder):
    """The median step of a machine that waits for its debugger."""
    path = os.path.join(folder, 'gdb')
    if os.path.exists(path):
        os.unlink(path)
    with Process(machine.name, command + ['--gdb', f'unix:{path}',
                                          '--gdb-wait']):
        client = connect(path)
        took = []
        for _ in range(STEPS):
            start = time.monotonic()
            if not client.ask(b'vCont;s:1').startswith(b'$T05'):
                raise BenchError('a step did not end as it should')
            took.append(time.monotonic() - start)
    return statistics.median(took)
