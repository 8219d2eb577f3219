# SPDX-License-Identifier: Apache-2.0
"""From guest to guest: over lodge's switch, over taps on a bridge of the
kernel's, by lodge and by QEMU, and over a stream socket, by both.

A program (net_tool.py) is the server in one guest and the client in the other. The bridge is in a network namespace, so that takes root.
"""
import contextlib
import os
import pathlib
import subprocess
import tempfile

import initramfs
from guests import BenchError, Process

LIMIT = 120
PORT = 7000
NETWORK = 'bench'
NAMESPACE = f'lodge-bench-{os.getpid()}'
MAC = '52:54:00:00:00:0{}'
ADDRESS = '10.7.0.2{}'


def qemu_card(number):
    """QEMU's words for one."""
    return ['-device', f'virtio-net-pci,netdev=net,mac={MAC.format(number)}']


def run_ip(*words):
    subprocess.run(['ip', *words], check=True, capture_output=True)


@contextlib.contextmanager
def bridge():
    """br0 and two taps on it, in a namespace of their own."""
    inside = ['-n', NAMESPACE]
    run_ip('netns', 'add', NAMESPACE)
    try:
        run_ip(*inside, 'link', 'set', 'lo', 'up')
        run_ip(*inside, 'link', 'add', 'br0', 'up', 'type', 'bridge')
        for number in (1, 2):
            tap = f'tap{number}'
            run_ip(*inside, 'tuntap', 'add', tap, 'mode', 'tap')
            run_ip(*inside, 'link', 'set', tap, 'master', 'br0', 'up')
        yield
    finally:
        subprocess.run(['ip', 'netns', 'del', NAMESPACE], check=False)


class Bench:
    """Two guests at a time."""

    def __init__(self, setup, tool, run_tool, say):
        self.setup = setup
        self.say = say
        self.initrd = f'{setup.folder}/pair-initrd'
        self.kernel = initramfs.build(setup.guest, tool.words(), self.initrd,
                                      run_tool)

    def measure(self, tests, rounds, collect):
        """`collect` is given how they were joined, and what a guest said."""
        with tempfile.TemporaryDirectory(prefix='lodge-bench-') as home:
            env = ['env', f'XDG_DATA_HOME={home}', f'XDG_RUNTIME_DIR={home}']
            os.chmod(home, 0o700)
            subprocess.run([*env, self.setup.lodge.program, 'net', 'create',
                            NETWORK, '--kind', 'isolated', '--subnet',
                            '10.7.0.0/24', '--dhcp', 'off'], check=True,
                           capture_output=True)
            for number in range(rounds):
                for how, words, prefix in self.kinds(env, home):
                    if prefix == env:
                        self.pair(how, words, prefix, tests, collect)
                    elif not os.geteuid() and \
                            pathlib.Path('/dev/net/tun').exists():
                        with bridge():
                            self.pair(how, words, prefix, tests, collect)
                self.say(f'bench: pairs, round {number + 1} of {rounds}')

    def kinds(self, env, home):
        """How they are joined; words for a card; what comes before all."""
        inside = ['ip', 'netns', 'exec', NAMESPACE, *env]
        path = f'{home}/frames'
        ends = {1: (',listen', 'on'), 2: ('', 'off')}
        return (
            ('switch', lambda n: (self.setup.lodge, [
                '--net', f'network={NETWORK},mac={MAC.format(n)}']), env),
            ('lodge', lambda n: (self.setup.lodge, [
                '--net', f'tap=tap{n},mac={MAC.format(n)}']), inside),
            ('qemu', lambda n: (self.setup.qemu, [
                '-netdev', f'tap,id=net,ifname=tap{n},script=no,'
                'downscript=no', *qemu_card(n)]), inside),
            ('socket', lambda n: (self.setup.lodge, [
                '--net', f'socket={path}{ends[n][0]},mac={MAC.format(n)}']),
             env),
            ('qemu_socket', lambda n: (self.setup.qemu, [
                '-netdev', f'stream,id=net,server={ends[n][1]},'
                f'addr.type=unix,addr.path={path}', *qemu_card(n)]), env))

    def command(self, words, prefix, number, append):
        machine, card = words(number)
        return prefix + machine.command(
            self.kernel, self.initrd, f'{self.setup.append} '
            f'address={ADDRESS.format(number)} {append}') + card

    def pair(self, how, words, prefix, tests, collect):
        server = self.command(words, prefix, 1, f'serve={PORT}')
        client = self.command(words, prefix, 2, f'bench={",".join(tests)} '
                              f'peer={ADDRESS.format(1)}:{PORT}')
        with Process(f'{how}, server', server) as one:
            one.wait_for(rb'serving \d+', LIMIT)
            with Process(f'{how}, client', client) as two:
                two.finish(LIMIT)
                if not collect(how, two.output):
                    raise BenchError(f'{how}: no answer from the other guest: '
                                     f'{two.last_words()}')
