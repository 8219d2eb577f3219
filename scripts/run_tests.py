#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs all tests of a build and sums them up.

A Meson test is a program that holds many: cmocka programs, pytest and the
test guests' runner tell how many passed, and those are counted; any other
program counts as one. What fails at first is run once more, by its runner or,
a program of unit tests, from here, alone: that counts, and is named. Ends with
"N passed, N failed" and, when something failed, status 1.

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


def meson_test(build, log, *arguments):
    """Runs tests; (Meson's status, its log's lines)."""
    path = build / 'meson-logs' / f'{log}.json'
    path.unlink(missing_ok=True)
    # A limit is for what hangs, also on a machine with other work.
    done = subprocess.run(['meson', 'test', '-C', build, '--print-errorlogs',
                           '--timeout-multiplier', '4', '--logbase', log,
                           *arguments], check=False)
    try:
        with open(path, encoding='utf-8') as lines:
            return done.returncode, [json.loads(line) for line in lines]
    except FileNotFoundError:
        print(f'run_tests: meson left no {path}', file=sys.stderr)
        return done.returncode, []


def once_more(build, tests):
    """Runs unit tests that failed again, with nothing beside them; the names
    of those that pass then, which take the place of the failed ones. Many at
    once are no accident."""
    failed = [test['name'].partition(' / ')[2] for test in tests
              if test['result'] in FAILED and ':unit / ' in test['name']]
    if not failed or len(failed) > 3:
        return []
    print('\nonce more, alone:', ', '.join(failed), flush=True)
    _, second = meson_test(build, 'testlog-again', '--no-rebuild',
                           '--num-processes', '1', *failed)
    good = {test['name']: test for test in second
            if test['result'] not in FAILED}
    tests[:] = [good.get(test['name'], test) for test in tests]
    return sorted(good)


def main():
    if len(sys.argv) < 2:
        sys.exit('usage: run_tests.py BUILD [arguments for meson test]')
    build = pathlib.Path(sys.argv[1])
    # One more at once than there are processors: guests wait much, for
    # firmware and disks.
    status, tests = meson_test(build, 'testlog', '--num-processes',
                               str(len(os.sched_getaffinity(0)) + 1),
                               *sys.argv[2:])
    mended = once_more(build, tests)
    names = [test['name'] for test in tests if test['result'] in FAILED]
    again = [f'{test["name"]}: {name}' for test in tests
              for name in AGAIN.findall(output(test))]
    passed, failed, skipped = (sum(counts) for counts in
                               zip((0, 0, 0), *map(count, tests)))
    if status and not failed and not mended:
        failed = 1
    print()
    if names:
        print('failed:', ', '.join(names))
    for name in mended + again:
        print(f'(run twice: {name})')
    if skipped:
        print(f'({skipped} skipped)')
    print(f'{passed} passed, {failed} failed', flush=True)
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
