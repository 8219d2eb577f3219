#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which system calls machines make in their sandbox, by what they are seen to.

Runs system tests with a lodge that records them (tests/system/recorder.c) and
adds what it saw to tests/system/calls.txt; scripts/check_calls.py holds the
filter's table against that. Calls that are no longer made leave the file when it
is made anew.

usage: record_calls.py [--anew] [--folder FOLDER] BUILD [TEST...]
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[1]
RECORD = SOURCE / 'tests' / 'system' / 'calls.txt'
UNISTD = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'
HEAD = """\
# System calls of machines in their sandbox, by the threads that made them, as
# `make calls` saw them in the system tests. See scripts/record_calls.py.
"""
REQUESTS = ('ioctl', 'prctl')


def numbers():
    """Number: name, of the kernel's headers."""
    text = pathlib.Path(UNISTD).read_text(encoding='utf-8')
    return {int(number): name for name, number in
            re.findall(r'#define __NR_(\w+) (\d+)', text)}


def read_record():
    """The pairs of role and call (a call with its request: "ioctl:0x...")."""
    pairs = set()
    if RECORD.exists():
        for line in RECORD.read_text(encoding='utf-8').splitlines():
            if line and not line.startswith('#'):
                role, *calls = line.split()
                pairs |= {(role.rstrip(':'), call) for call in calls}
    return pairs


def write_record(pairs):
    """In the order of roles and names, eighty columns wide."""
    lines = [HEAD]
    for role in sorted({role for role, _ in pairs}):
        line = f'{role}:'
        for call in sorted(call for one, call in pairs if one == role):
            if len(line) + len(call) >= 80:
                lines.append(line + '\n')
                line = f'{role}:'
            line += f' {call}'
        lines.append(line + '\n')
    RECORD.write_text(''.join(lines), encoding='utf-8')


def read_seen(folder):
    """What the recorders wrote down."""
    names = numbers()
    pairs = set()
    for file in folder.iterdir():
        for line in file.read_text(encoding='utf-8').splitlines():
            role, number, request = line.split()
            name = names[int(number)]
            pairs.add((role, name))
            if name in REQUESTS:
                pairs.add((role, f'{name}:{request}'))
    return pairs


def mirror(build, folder):
    """The build with the recorders in place of lodge and lodge-vm."""
    for path in build.iterdir():
        if path.name.startswith('lodge') and path.is_file():
            recorder = build / 'tests' / 'system' / f'recorder-{path.name}'
            source = recorder if path.name in ('lodge', 'lodge-vm') else path
            shutil.copy2(source, folder / path.name)
        else:
            (folder / path.name).symlink_to(path)


def run(build, tests):
    """The system tests, one file after the other."""
    for test in tests:
        subprocess.run(
            ['/usr/bin/python3', '-m', 'pytest', '-q', '-p',
             'no:cacheprovider', '--tb=line', test],
            env={**os.environ, 'LODGE_BUILD': str(build),
                 'PYTHONDONTWRITEBYTECODE': '1'}, check=False)


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--anew', action='store_true',
                        help='forget what was seen before')
    parser.add_argument('--folder', type=pathlib.Path,
                        help='keep what is seen there, or take what is there')
    parser.add_argument('build', type=pathlib.Path)
    parser.add_argument('tests', nargs='*', type=pathlib.Path)
    args = parser.parse_args()
    build = args.build.resolve()
    subprocess.run(['ninja', '-C', build, '--quiet',
                    'tests/system/recorder-lodge',
                    'tests/system/recorder-lodge-vm'], check=True)
    with tempfile.TemporaryDirectory() as place:
        seen = args.folder or pathlib.Path(place) / 'seen'
        seen.mkdir(exist_ok=True)
        seen.chmod(0o777)
        os.environ['RECORDER'] = str(seen.resolve())
        programs = pathlib.Path(place) / 'build'
        programs.mkdir()
        mirror(build, programs)
        pathlib.Path(place).chmod(0o755)
        run(programs, args.tests or
            sorted((SOURCE / 'tests' / 'system').glob('test_*.py')))
        pairs = read_seen(seen)
    write_record(pairs if args.anew else pairs | read_record())
    return 0


if __name__ == '__main__':
    sys.exit(main())
