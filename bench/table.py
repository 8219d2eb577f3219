# SPDX-License-Identifier: Apache-2.0
"""Turns results into tables: groups of tests, medians, ratios, means."""
import math
import statistics

import fio

# Every test of guest.c in one group; the means are by group.
GROUPS = {
    'integer programs': ['bytecode', 'sort', 'sha256', 'gzip'],
    'integer loops': ['integer', 'muldiv', 'calls', 'indirect'],
    'memory': ['loads', 'stores', 'chase_16K', 'random_64M'],
    'floating point': ['double', 'libm', 'avx2_fma', 'x87'],
    'vectors': ['sse_copy', 'sse_copy_alias', 'avx2_copy', 'avx2_copy_alias',
                'strlen'],
    'copies': ['memcpy_16K', 'memcpy_alias', 'memcpy_16M', 'repmovsb_64K',
               'repmovsb_alias'],
    'operating system': ['getpid', 'read_1B', 'gettime', 'pagefault',
                         'mprotect', 'pipe', 'signal', 'fork', 'exec'],
    'changing code': ['patch_code', 'fresh_code'],
}
TESTS = [test for group in GROUPS.values() for test in group]

# Slow-downs that lodge is to stay below, and those that it aims at: of a test,
# or of a group's mean.
GOALS = {
    'integer programs': (2.2, 1.6),
    'calls': (2.2, 1.3),
    'indirect': (2.5, 1.5),
    'loads': (3, 2), 'stores': (3, 2), 'chase_16K': (3, 2),
    'double': (1.6, 1.1), 'libm': (1.6, 1.1), 'avx2_fma': (1.6, 1.1),
    'sse_copy': (3.5, 2), 'sse_copy_alias': (3.5, 2),
    'avx2_copy': (3.5, 2), 'avx2_copy_alias': (3.5, 2), 'strlen': (3.5, 2),
    'memcpy_16K': (4, 1.5), 'memcpy_alias': (4, 1.5), 'memcpy_16M': (4, 1.5),
    'repmovsb_64K': (4, 1.5), 'repmovsb_alias': (4, 1.5),
    'getpid': (2.5, 1.5), 'read_1B': (2.5, 1.5),
    'pagefault': (4, 2), 'mprotect': (4, 2),
    'pipe': (5, 2.5), 'signal': (5, 2.5),
    'fork': (4, 2.5), 'exec': (4, 2.5),
    'patch_code': (20, 5), 'fresh_code': (300, 100),
}

# Disks on a RAM-backed image: at random and in order, by controller.
DISK_TESTS = [f'{bus}_{test}' for bus in ('virtio', 'ahci', 'nvme')
              for test in ('4k_1', '4k_32', 'read', 'write')]

# Virtio disks with images in files, by fio: at random and in order, by format
# and cache mode.
FORMAT_TESTS = fio.TESTS

# The network "user": TCP both ways, datagrams, requests, connections.
IPERF_TESTS = ['iperf_get', 'iperf_put', 'iperf_udp']
NET_TESTS = ['net_get', 'net_put', 'net_udp', 'net_rr', 'net_conn',
             *IPERF_TESTS]

# A shared folder: 1 MiB at a time past the guest's cache, and small files.
SHARE_TESTS = ['share_read', 'share_write', 'share_stat', 'share_open',
               'share_create', 'share_list']

# What lodge's rate is to be by QEMU's.
DISK_GOALS = {'virtio_4k_1': 1.5, 'virtio_4k_32': 1.5,
              **{test: 1.5 for test in FORMAT_TESTS},
              **{test: 2 for test in NET_TESTS}}

DISK_HEAD = ['disk', 'unit', 'QEMU', 'lodge', 'lodge/QEMU', 'goal',
             'exits', 'interrupts']
FORMAT_HEAD = ['image', 'unit', 'host', 'QEMU', 'lodge', 'lodge/QEMU',
               'goal']
NET_HEAD = ['network', 'unit', 'host', 'QEMU', 'lodge', 'lodge/QEMU', 'goal']
PAIR_HEAD = ['guest to guest', 'unit', 'QEMU, taps', 'lodge, taps',
             'lodge, switch', 'lodge/QEMU', 'switch/taps', 'QEMU, socket',
             'lodge, socket', 'lodge/QEMU']
SHARE_HEAD = ['shared folder', 'unit', 'host', 'QEMU', 'lodge', 'lodge/QEMU',
              'host/lodge']
NEIGHBOUR_HEAD = ['what is burned', 'unit', 'alone', 'beside a burner',
                  'part', 'beside a limited one', 'part']
SMALL_HEAD = ['image', 'unit', 'QEMU', 'lodge', 'QEMU/lodge', 'goal']
RATE_HEAD = ['test', 'unit', 'native', 'QEMU', 'lodge', 'lodge/QEMU',
             'QEMU slow-down', 'lodge slow-down', 'goal', 'aim']
FIGURE_HEAD = ['figure', 'unit', 'native', 'QEMU', 'lodge', 'lodge/QEMU',
               'goal', 'aim']


def number(value, digits=3):
    """A value with `digits` significant digits, without an exponent."""
    if value is None:
        return '-'
    if value == 0:
        return '0'
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f'{value:.{min(places, 4)}f}'


def ratio(a, b):
    return a / b if a is not None and b else None


def mean(values):
    """Geometric mean of those there are."""
    values = [v for v in values if v]
    if not values:
        return None
    return math.exp(sum(map(math.log, values)) / len(values))


class Rates:
    """Rates of the tests: by machine and test, one of each round."""

    def __init__(self):
        self.values = {}
        self.units = {}

    def add(self, machine, test, rate, unit):
        self.values.setdefault((machine, test), []).append(rate)
        self.units[test] = unit

    def median(self, machine, test):
        values = self.values.get((machine, test))
        return statistics.median(values) if values else None

    def unsteady(self, limit=1.3):
        """Tests whose rounds differ by more than `limit` on one machine."""
        return {test for (_, test), values in self.values.items()
                if max(values) > limit * min(values)}

    def row(self, test):
        native, qemu, lodge = (self.median(m, test)
                               for m in ('native', 'qemu', 'lodge'))
        return {'test': test, 'unit': self.units[test], 'native': native,
                'qemu': qemu, 'lodge': lodge,
                'lodge_to_qemu': ratio(lodge, qemu),
                'qemu_slowdown': ratio(native, qemu),
                'lodge_slowdown': ratio(native, lodge)}

    def groups(self):
        """Group: its rows, as far as tests were run."""
        for group, tests in GROUPS.items():
            rows = [self.row(t) for t in tests if t in self.units]
            if rows:
                yield group, rows


def goal_cells(name):
    """The goal and the aim, as text."""
    goal, aim = GOALS.get(name, (None, None))
    return ['' if goal is None else f'{goal:g}',
            '' if aim is None else f'{aim:g}']


def rate_lines(rates):
    """Rows of text for each test and each group's mean."""
    keys = ('lodge_to_qemu', 'qemu_slowdown', 'lodge_slowdown')
    everything = []
    for group, rows in rates.groups():
        everything += rows
        for row in rows:
            yield [row['test'], row['unit'], number(row['native']),
                   number(row['qemu']), number(row['lodge'])] + [
                       number(row[key]) for key in keys] + goal_cells(
                           row['test'])
        if len(rows) > 1:
            yield [f'**{group}**', '', '', '', ''] + [
                number(mean(row[key] for row in rows))
                for key in keys] + goal_cells(group)
    yield ['**all**', '', '', '', ''] + [
        number(mean(row[key] for row in everything)) for key in keys] + [
            '', '']


def missed(rates):
    """Tests and groups whose slow-down is above the goal."""
    names = []
    for group, rows in rates.groups():
        slow = {row['test']: row['lodge_slowdown'] for row in rows}
        if len(rows) == len(GROUPS[group]):
            slow[group] = mean(slow.values())
        names += [name for name, value in slow.items()
                  if value and name in GOALS and value > GOALS[name][0]]
    return names


def behind(rates):
    """Tests that QEMU is faster in."""
    return [row['test'] for _, rows in rates.groups() for row in rows
            if row['lodge_to_qemu'] and row['lodge_to_qemu'] < 1]


def figure_lines(figures):
    for figure in figures:
        qemu, lodge = figure['qemu'], figure['lodge']
        yield [figure['name'], figure['unit'], number(figure['native']),
               number(qemu), number(lodge), number(ratio(lodge, qemu)),
               figure['goal'], figure['aim']]


def disk_rows(rates, exits):
    """A row a test: rates, and lodge's exits and interrupts an access."""
    return [dict(rates.row(test), goal=DISK_GOALS.get(test),
                 exits=exits.get(test, (None, None))[0],
                 interrupts=exits.get(test, (None, None))[1])
            for test in DISK_TESTS if test in rates.units]


def disks_missed(rows, limit=None):
    """Tests of disks below their goal, or below a limit."""
    return [row['test'] for row in rows if row['lodge_to_qemu'] and
            row['lodge_to_qemu'] < (limit or row['goal'] or 0)]


def disk_lines(rows):
    for row in rows:
        goal = row['goal']
        yield [row['test'], row['unit']] + [
            number(row[key]) for key in ('qemu', 'lodge', 'lodge_to_qemu')] + [
                '' if goal is None else f'{goal:g}'] + [
                    '' if row[key] is None else number(row[key], 2)
                    for key in ('exits', 'interrupts')]


def format_rows(rates, tests=None):
    """A row a test: rates, and how far it is from the goal."""
    return [dict(rates.row(test), goal=DISK_GOALS[test])
            for test in tests or FORMAT_TESTS if test in rates.units]


def format_lines(rows):
    for row in rows:
        yield [row['test'], row['unit']] + [
            number(row[key]) for key in ('native', 'qemu', 'lodge',
                                         'lodge_to_qemu', 'goal')]


def pair_rows(rates):
    return [{**rates.row(test), **{how: rates.median(how, test) for how in (
        'switch', 'socket', 'qemu_socket')}}
            for test in NET_TESTS if test in rates.units]


def pair_lines(rows):
    for row in rows:
        yield [row['test'], row['unit']] + [
            number(row[key]) for key in ('qemu', 'lodge', 'switch',
                                             'lodge_to_qemu')] + [
            number(ratio(row['switch'], row['lodge']))] + [
            number(row[key]) for key in ('qemu_socket', 'socket')] + [
            number(ratio(row['socket'], row['qemu_socket']))]


def neighbour_lines(rows):
    for row in rows:
        yield [row['name'], row['unit'], number(row['alone'])] + [
            text for key in ('beside', 'limited') for text in
            (number(row[key]), number(ratio(row[key], row['alone'])))]


def share_rows(rates):
    return [dict(rates.row(test)) for test in SHARE_TESTS
            if test in rates.units]


def share_lines(rows):
    for row in rows:
        yield [row['test'], row['unit']] + [
            number(row[key]) for key in ('native', 'qemu', 'lodge',
                                         'lodge_to_qemu')] + [
            number(ratio(row['native'], row['lodge']))]


def image_rows(conversions, small, goals):
    """What was done, milliseconds of both, and lodge's speed by QEMU's."""
    rows = [{'from': source, 'to': target, 'qemu': qemu, 'lodge': lodge,
             'speed': qemu / lodge}
            for (source, target), (qemu, lodge) in conversions.items()]
    return rows, [{'image': name, 'qemu': qemu, 'lodge': lodge,
                   'speed': qemu / lodge, 'goal': goals[name]}
                  for name, (qemu, lodge) in small.items()]


def images_missed(conversions, small):
    """What qemu-img is faster in, or takes longer than its goal."""
    return [f'{row["from"]} to {row["to"]}' for row in conversions
            if row['speed'] < 1] + [
                row['image'] for row in small
                if (row['lodge'] > row['goal'] if row['goal']
                    else row['speed'] < 1)]


def convert_table(rows):
    """The head and the lines: sources down, targets across; a cell has lodge's
    speed by QEMU's, and its milliseconds."""
    cells = {(row['from'], row['to']):
             f'{number(row["speed"])} ({row["lodge"]:.0f} ms)' for row in rows}
    sources = list(dict.fromkeys(row['from'] for row in rows))
    targets = list(dict.fromkeys(row['to'] for row in rows))
    return ['from \\ to'] + targets, [
        [source] + [cells.get((source, target), '') for target in targets]
        for source in sources]


def small_lines(rows):
    for row in rows:
        goal = row['goal']
        yield [row['image'], 'ms', number(row['qemu']), number(row['lodge']),
               number(row['speed']), 'QEMU' if goal is None else f'{goal:g}']


def markdown(head, lines):
    """A table that reads well as text and as Markdown."""
    lines = [head] + list(lines)
    left = min(2, len(head) - 1)  # columns of words; the others hold numbers
    width = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def text(line):
        cells = [cell.ljust(width[i]) if i < left else cell.rjust(width[i])
                 for i, cell in enumerate(line)]
        return '| ' + ' | '.join(cells) + ' |'

    rule = ['-' * width[i] if i < left else '-' * (width[i] - 1) + ':'
            for i in range(len(head))]
    return '\n'.join([text(lines[0]), text(rule)] + [text(line)
                                                     for line in lines[1:]])
