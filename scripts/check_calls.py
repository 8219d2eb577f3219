#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the table of a machine's system calls against what is made of them.

Each call that src/host/linux/jail_filter.c allows a role was seen to be made by
it (tests/system/calls.txt, by scripts/record_calls.py), or its row says in a
comment behind it why it is there all the same. And each that a role was seen to
make is allowed it.

usage: check_calls.py [SOURCE]
"""
import pathlib
import re
import sys

from record_calls import read_record

ROLES = {'CPU': 'cpu', 'DEV': 'devices', 'DISK': 'disk', 'NET': 'net'}


def rows(text):
    """Calls of the table: name, roles, what the comment says."""
    table = text.split('calls[] = {')[1].split('\n};')[0]
    for name, how, who, why in re.findall(
            r'\{ SYS_(\w+), (\w+), ([\w |]+) \},(?: /\* (.*?) \*/)?', table):
        if how == 'KILL':
            continue
        words = {word.strip() for word in who.split('|')}
        roles = set(ROLES.values()) if 'ALL' in words else {
            ROLES[word] for word in words if word in ROLES}
        yield name, roles, why


def check(source):
    """Lines that say what is wrong."""
    text = (source / 'src/host/linux/jail_filter.c').read_text('utf-8')
    seen = read_record()
    called = {call for _, call in seen}
    allowed = set()
    for name, roles, why in rows(text):
        allowed |= {(role, name) for role in roles}
        if why:
            continue
        if name not in called:
            yield f'{name}: nobody was seen to call it'
        else:
            for role in sorted(roles):
                if (role, name) not in seen:
                    yield f'{name}: {role} was not seen to call it'
    for role, name in sorted(seen):
        # A thread's own filter comes by seccomp(2), and refuses the next one.
        if (role in ROLES.values() and ':' not in name and
                name != 'seccomp' and (role, name) not in allowed):
            yield f'{name}: {role} calls it, and may not'


def main():
    """The command."""
    source = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                          pathlib.Path(__file__).resolve().parents[1])
    wrong = list(check(source))
    for line in wrong:
        print(f'jail_filter.c: {line}; see scripts/check_calls.py')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
