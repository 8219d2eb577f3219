#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks which way the #include lines under src/ point.

The table is the architecture: a room may include its own headers and those of
the rooms named beside it. Freestanding rooms may use no system header but the
compiler's own.

usage: check_includes.py [SRC]
"""
import pathlib
import re
import sys

# Room: the rooms below it that it may use. The longest matching name counts.
ROOMS = {
    'vm': [],
    'x86': ['vm'],
    'chip': ['vm', 'x86'],
    'virtio': ['vm', 'x86', 'chip'],
    'device': ['vm', 'x86', 'chip', 'virtio'],
    'board': ['vm', 'x86', 'chip', 'virtio', 'device'],
    'engine': ['vm', 'x86', 'chip'],
    'engine/soft': ['vm', 'x86', 'chip'],
    'engine/kvm': ['vm', 'x86', 'chip'],
    'host/linux': [],
    'host/metal': [],
    'disk': ['host/linux'],
    'image': ['disk', 'host/linux'],
    'net': ['host/linux'],
    'agent': [],
    'share': ['host/linux'],
    'vnc': [],
    'vmm': ['vm', 'x86', 'chip', 'virtio', 'device', 'board', 'disk',
            'engine', 'host/linux', 'net', 'share', 'vnc', 'agent'],
    'manage': ['image', 'disk', 'host/linux'],
    'firecracker': ['host/linux'],
    'cli': ['vmm', 'disk', 'image', 'net', 'agent'],
}

# Single headers that others may use as well: contracts and common words.
HEADERS = {
    'board': ['engine/engine.h'],
    'engine/soft': ['engine/engine.h', 'engine/profile.h'],
    # What KVM cannot execute, the software CPU does.
    'engine/kvm': ['engine/engine.h', 'engine/soft/native.h'],
    'host/linux': ['vm/host.h', 'vm/error.h'],
    'host/metal': ['vm/host.h', 'vm/error.h'],
    'disk': ['vm/block.h', 'vm/host.h', 'vm/span.h'],
    'net': ['vm/host.h', 'vm/nic.h', 'vm/nic_header.h', 'vm/span.h'],
    'share': ['vm/host.h', 'vm/share.h', 'vm/span.h'],
    'vnc': ['chip/key.h', 'device/frame.h', 'vm/host.h'],
    # Names and sockets that it shares with the machines' processes.
    'manage': ['net/address.h', 'net/fabric.h', 'vm/host.h', 'vmm/error.h', 'vmm/listener.h',
               'vmm/nearest.h',
               'vmm/runtime.h',
               'vmm/unix_socket.h'],
    'firecracker': ['vm/host.h', 'vmm/error.h', 'vmm/runtime.h',
                    'vmm/unix_socket.h'],
    'cli': ['engine/engine.h', 'host/linux/confine.h', 'host/linux/data.h', 'host/linux/extension.h', 'host/linux/jail.h', 'host/linux/log.h',
            'host/linux/process_use.h', 'host/linux/program.h', 'host/linux/signals.h', 'host/linux/terminal.h', 'host/linux/thread.h', 'vm/host.h',
            'vm/memory.h', 'vm/vm.h'],
}

FREESTANDING = ['vm', 'x86', 'chip', 'virtio', 'device', 'board']
COMPILER_HEADERS = {
    'float.h', 'iso646.h', 'limits.h', 'stdalign.h', 'stdarg.h',
    'stdatomic.h', 'stdbool.h', 'stddef.h', 'stdint.h', 'stdnoreturn.h',
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def room_of(path):
    """The room that a path under src/ belongs to, or None."""
    fits = [r for r in ROOMS if path.startswith(r + '/')]
    return max(fits, key=len) if fits else None


def faults(name, text, exists):
    room = room_of(name)
    if room is None:
        yield 'in no room that scripts/check_includes.py knows'
        return
    for number, (kind, header) in enumerate(INCLUDE.findall(text)):
        if kind == '<':
            if room in FREESTANDING and header not in COMPILER_HEADERS:
                yield f'<{header}>: {room} is freestanding'
            continue
        if '/' not in header:
            yield f'"{header}": name it from src/, as "room/{header}"'
            continue
        if not exists(header):
            yield f'"{header}": no such file'
        target = room_of(header)
        if target == room or target in ROOMS[room]:
            pass
        elif header not in HEADERS.get(room, []):
            yield f'"{header}": {room} must not use {target}'
        own = name[:-2] + '.h'
        if name.endswith('.c') and header == own and number != 0:
            yield f'"{header}": its own header comes first'


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    src = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / 'src'
    bad = checked = 0
    for path in sorted(src.rglob('*.[chS]')):
        name = path.relative_to(src).as_posix()
        checked += 1
        for fault in faults(name, path.read_text(errors='replace'),
                            lambda h: (src / h).exists()):
            print(f'src/{name}: {fault}')
            bad += 1
    print(f'{checked} files, {bad} faults')
    return 1 if bad or not checked else 0


if __name__ == '__main__':
    sys.exit(main())
