#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs all tests of a build and sums them up.

A Meson test is a program that holds many: cmocka programs, pytest and the
test guests' runner tell how many passed, and those are counted; any other
program counts as one. Some run once more what failed at first: that counts,
and is named. Ends with "N passed, N failed" and, when something
failed, status 1.

usage: run_tests.py BUILD [arguments for meson test]
"""
import json
import os
import pathlib
import re
import subprocess
import sys

CMOCKA = re.compile(r'^\[  (PASSED|FAILED)  \] (\d+) test', re.M)
AGAIN = re.compile(r'^-* ?once more(?:, alone)?: (\S+)', re.M)
SUMMARY = re.compile(r'\b(\d+) (passed|failed|errors?|skipped)\b')
FAILED = {'FAIL', 'ERROR', 'TIMEOUT', 'INTERRUPT', 'UNEXPECTEDPASS'}


def told(text):
    """What a runner says about itself: a word -> how many."""
    words = {}
    for word, number in CMOCKA.findall(text):
        words[word.lower()] = words.get(word.lower(), 0) + int(number)
    if words:
        return words
    lines = [line for line in text.splitlines() if SUMMARY.search(line)]
    for number, word in SUMMARY.findall(lines[-1] if lines else ''):
        words['failed' if word.startswith('error') else word] = int(number)
    return words


def output(test):
    return (test.get('stdout') or '') + (test.get('stderr') or '')


def count(test):
    """(passed, failed, skipped) of one line of Meson's log."""
    if test['result'] == 'SKIP':
        return 0, 0, 1
    words = told(output(test))
    passed = words.get('passed', 0)
    failed = words.get('failed', 0)
    skipped = words.get('skipped', 0)
    if test['result'] in FAILED:
        return passed, max(failed, 1), skipped
    if not passed and not skipped:
        passed = 1
    return passed, 0, skipped


def main():
    if len(sys.argv) < 2:
        sys.exit('usage: run_tests.py BUILD [arguments for meson test]')
    build = pathlib.Path(sys.argv[1])
    log = build / 'meson-logs' / 'testlog.json'
    log.unlink(missing_ok=True)
    # A limit is for what hangs, also on a machine with other work. One more at
    # once than there are processors: guests wait much, for firmware and disks.
    done = subprocess.run(['meson', 'test', '-C', build, '--print-errorlogs',
                           '--timeout-multiplier', '4', '--num-processes',
                           str(len(os.sched_getaffinity(0)) + 1),
                           *sys.argv[2:]], check=False)
    total = [0, 0, 0]
    names = []
    again = []
    try:
        with open(log, encoding='utf-8') as lines:
            for line in lines:
                test = json.loads(line)
                counts = count(test)
                total = [a + b for a, b in zip(total, counts)]
                if counts[1]:
                    names.append(test['name'])
                again += [f'{test["name"]}: {name}'
                          for name in AGAIN.findall(output(test))]
    except FileNotFoundError:
        print(f'run_tests: meson left no {log}', file=sys.stderr)
    if done.returncode and not total[1]:
        total[1] = 1
    print()
    if names:
        print('failed:', ', '.join(names))
    for name in again:
        print(f'(run twice: {name})')
    if total[2]:
        print(f'({total[2]} skipped)')
    print(f'{total[0]} passed, {total[1]} failed', flush=True)
    return 1 if total[1] or not total[0] else 0


if __name__ == '__main__':
    sys.exit(main())
