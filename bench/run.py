#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures lodge beside QEMU and the host itself, and prints the tables.

The same program (guest.c, work.c) runs natively, as the init of a guest on
lodge's software processor, and as the init of a guest on QEMU's (TCG); both
guests have the same kernel, initrd, command line, memory and processors. The
three take turns, the tables show medians. Beside the program's rates: time to
a shell prompt and to power-off, memory of the process beyond its guest's, and
what an idle guest costs. docs/performance.md tells how to read the tables.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import daemon  # noqa: E402
import debian  # noqa: E402
import disks  # noqa: E402
import fio  # noqa: E402
import gdb  # noqa: E402
import guests  # noqa: E402
import images  # noqa: E402
import initramfs  # noqa: E402
import neighbours  # noqa: E402
import net_tool  # noqa: E402
import nets  # noqa: E402
import pairs  # noqa: E402
import shares  # noqa: E402
import table  # noqa: E402
from guests import BenchError  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent
DOCS = TOP / 'docs' / 'performance.md'
DOCS_BEGIN = '<!-- written by bench/run.py --write-docs: begin -->'
DOCS_END = '<!-- written by bench/run.py --write-docs: end -->'

PROMPT = rb'lodge:\S*# '

# Seconds that one run may take: a boot, and a guest with all tests.
BOOT_LIMIT = 120
TESTS_LIMIT = 900
NATIVE_LIMIT = 120

# What --quick runs: some of each group.
QUICK = ['integer', 'calls', 'sort', 'loads', 'memcpy_16K', 'double',
         'avx2_copy', 'getpid', 'pagefault', 'fork']

ALL_TESTS = (table.TESTS + table.DISK_TESTS + table.FORMAT_TESTS +
             table.NET_TESTS + table.SHARE_TESTS)

# What --only chooses from.
PARTS = ['figures', 'debian', 'daemon', 'tests', 'disks', 'formats', 'images',
         'nets', 'pairs', 'shares', 'neighbours']

AT_PROMPT = 'memory beyond guest RAM, at the prompt'

IDLE_SECONDS = 5
SETTLE_SECONDS = 2
STARTS = 5  # to the first instruction
FIRMWARE_STARTS = 3
COMMANDS = 21


def default_append():
    """The command line with which lodge starts its default guest."""
    source = TOP / 'src' / 'cli' / 'run' / 'guest.c'
    found = re.search(r'guest_append\[\] =((?:\s*"[^"]*")+);',
                      source.read_text(encoding='utf-8'))
    if not found:
        raise BenchError(f'{source}: guest_append is not where it was')
    return ''.join(re.findall(r'"([^"]*)"', found[1]))


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- what is run -----------------------------------------------------------

def newer(target, sources):
    return target.exists() and all(
        target.stat().st_mtime > source.stat().st_mtime
        for source in sources)


def run_tool(command, what):
    try:
        done = subprocess.run(command, capture_output=True, text=True,
                              check=False)
    except OSError as error:
        raise BenchError(f'{what}: {command[0]}: {error.strerror}') from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().split('\n')
        raise BenchError(f'{what}: {words[-1]}')


def build_program(folder, compiler):
    program = folder / 'bench'
    sources = [HERE / name for name in ('guest.c', 'work.c', 'disk.c',
                                          'net.c', 'share.c', 'module.c')]
    headers = [HERE / name for name in ('work.h', 'disk.h', 'net.h',
                                        'share.h', 'module.h')]
    if not newer(program, sources + headers):
        run_tool([compiler, '-O2', '-static', '-o', str(program),
                  *map(str, sources), '-lm'],
                 'cannot compile the benchmark program')
    return program


def build_initrd(folder, program):
    initrd = folder / 'initrd'
    busybox = pathlib.Path('/bin/busybox')
    if not busybox.exists():
        raise BenchError('/bin/busybox is missing; install the package '
                         'busybox-static')
    if not newer(initrd, [program]):
        run_tool([sys.executable, str(TOP / 'guests' / 'make_initrd.py'),
                  str(initrd), f'--file={program}:/init',
                  f'--file={busybox}:/bin/busybox'],
                 'cannot make the initrd')
    return initrd


class Setup:
    """Programs, files and machines of a run; BenchError when one is missing."""

    def __init__(self, args):
        build = pathlib.Path(args.build)
        guest = build / 'guest' / 'default'
        lodge = build / 'lodge'
        if not lodge.exists():
            raise BenchError(f'{lodge}: no such program; type make first')
        self.kernel = str(args.kernel or guest / 'vmlinux')
        self.shell = str(args.initrd or guest / 'initrd')
        for path in (self.kernel, self.shell):
            if not os.path.exists(path):
                raise BenchError(f'{path}: no such file; type make guest')
        qemu = shutil.which('qemu-system-x86_64')
        if not qemu:
            raise BenchError('qemu-system-x86_64 is missing; install the '
                             'package qemu-system-x86')
        folder = build / 'bench'
        folder.mkdir(exist_ok=True)
        self.build = build
        self.guest = guest
        self.folder = str(folder)
        self.variables = folder / 'variables'
        self.program = str(build_program(folder, args.cc))
        self.initrd = str(build_initrd(folder, pathlib.Path(self.program)))
        self.report = str(folder / 'report.json')
        self.profile = str(folder / 'profile.json')
        self.lodge = guests.Lodge('lodge', str(lodge), args.cpus, args.memory)
        self.qemu = guests.Qemu('qemu', qemu, args.cpus, args.memory)
        self.version_file = guest / 'version'
        self.drivers = build / 'guest' / 'drivers'
        self.disk_initrd = str(folder / 'disk-initrd')
        self.append = default_append()


# --- the benchmark program --------------------------------------------------

def collect(rates, name, output):
    """Takes the program's lines; how many there were."""
    found = re.findall(rb'^bench (\S+) (\S+) (\S+)\r?$', output, re.M)
    for test, rate, unit in found:
        if test.decode() in ALL_TESTS:
            rates.add(name, test.decode(), float(rate), unit.decode())
    return len(found)


def before_last(tests):
    """The test before the last one, in the program's order."""
    order = re.findall(r'^\t{ "(\w+)", ', (HERE / 'guest.c').read_text(), re.M)
    return [t for t in order if t in tests][-2].encode()


def run_native(setup, tests, rates):
    with guests.Process('native', [setup.program, ','.join(tests)]) as process:
        process.finish(NATIVE_LIMIT)
        collect(rates, 'native', process.output)


def run_guest(setup, machine, tests, rates, memory):
    append = f'{setup.append} bench={",".join(tests)}'
    with machine.start(setup.kernel, setup.initrd, append) as process:
        # Before its end a process has all the memory that it ever takes.
        if len(tests) > 1:
            process.wait_for(rb'\nbench %s ' % before_last(tests),
                             TESTS_LIMIT)
            memory.setdefault(machine.name, []).append(
                process.memory_beyond(machine.memory_mib << 20))
        process.finish(TESTS_LIMIT)
        count = collect(rates, machine.name, process.output)
        if count < len(tests) + 1:
            say(f'bench: {machine.name}: {len(tests) + 1 - count} tests gave '
                f'no result; last said: {process.last_words()}')


def run_tests(setup, tests, rounds):
    """Rates, and bytes of memory by machine, of all rounds."""
    rates, memory = table.Rates(), {}
    turns = [
        ('native', lambda: run_native(setup, tests, rates)),
        ('qemu', lambda: run_guest(setup, setup.qemu, tests, rates, memory)),
        ('lodge', lambda: run_guest(setup, setup.lodge, tests, rates,
                                    memory)),
    ]
    for number in range(rounds):
        for name, run in turns:
            start = time.monotonic()
            run()
            say(f'bench: round {number + 1} of {rounds}: {name}, '
                f'{time.monotonic() - start:.0f} s')
    return rates, memory


# --- figures ------------------------------------------------------------------

def boot(setup, machine):
    """Seconds to the prompt of the default guest, and to its power-off."""
    with machine.start(setup.kernel, setup.shell, setup.append) as process:
        prompt = process.wait_for(PROMPT, BOOT_LIMIT)
        process.send('poweroff\n')
        return prompt, process.finish(BOOT_LIMIT)


def idle(setup, machine):
    """Bytes beyond the guest's memory and percent of a processor, of a guest
    that waits at its prompt."""
    with machine.start(setup.kernel, setup.shell, setup.append) as process:
        process.wait_for(PROMPT, BOOT_LIMIT)
        time.sleep(SETTLE_SECONDS)
        before, start = process.cpu_seconds(), process.elapsed()
        time.sleep(IDLE_SECONDS)
        used = process.cpu_seconds() - before
        percent = 100 * used / (process.elapsed() - start)
        memory = process.memory_beyond(machine.memory_mib << 20)
        process.send('poweroff\n')
        process.finish(BOOT_LIMIT)
    return memory, percent


def first_instruction(setup):
    """Seconds from the start of lodge to its guest's first instruction, with
    256 MiB."""
    command = setup.lodge.command(setup.kernel, setup.shell, setup.append, 256)
    with guests.Process('lodge', command + ['--report',
                                            setup.report]) as process:
        time.sleep(0.3)
        process.stop()
    with open(setup.report, encoding='utf-8') as file:
        return json.load(file)['seconds_to_first_instruction']


def translation(setup):
    """Nanoseconds to rewrite an instruction, and bytes of host code for one
    of the guest's, of a boot to power-off."""
    command = setup.lodge.command(setup.kernel, setup.initrd,
                                  f'{setup.append} bench=none')
    with guests.Process('lodge', command + ['--profile',
                                            setup.profile]) as process:
        process.finish(BOOT_LIMIT)
    with open(setup.profile, encoding='utf-8') as file:
        counts = json.load(file)['counts']
    return (counts['rewriting_nanoseconds'] / counts['rewritten_instructions'],
            counts['host_bytes'] / counts['rewritten_bytes'])


def step(setup):
    """Seconds of a debugger's step in the default guest's kernel."""
    return gdb.step_seconds(
        setup.lodge, setup.lodge.command(setup.kernel, setup.shell,
                                         setup.append, 256), setup.folder)


def command_seconds(setup):
    """Seconds of `lodge exec`, a command in a guest that waits at its prompt;
    the median of some behind the first."""
    name = f'bench-{os.getpid()}'
    command = setup.lodge.command(setup.kernel, setup.shell, setup.append, 256)
    words = [setup.lodge.program, 'exec', name, '--', 'true']
    seconds = []
    with guests.Process('lodge', command + ['--name', name]) as process:
        process.wait_for(PROMPT, BOOT_LIMIT)
        time.sleep(SETTLE_SECONDS)
        for _ in range(COMMANDS):
            start = time.monotonic()
            run_tool(words, 'a command in the guest')
            seconds.append(time.monotonic() - start)
        process.send('poweroff\n')
        process.finish(BOOT_LIMIT)
    return statistics.median(seconds[1:])


def busy_ratio(output):
    """What two processes get done beside each other, by what one does."""
    rates = [[float(rate) for rate in
              re.findall(rb'^bench busy_%d (\S+) ' % n, output, re.M)]
             for n in (1, 2)]
    if not rates[0] or len(rates[0]) != len(rates[1]):
        raise BenchError('the test of busy processors gave no result')
    return statistics.median(rates[1]) / statistics.median(rates[0])


def two_busy(setup):
    """busy_ratio() of the host, and of machines with two processors."""
    with guests.Process('native', [setup.program, 'busy']) as process:
        process.finish(NATIVE_LIMIT)
        ratios = {'native': busy_ratio(process.output)}
    for machine in (setup.qemu, setup.lodge):
        pair = type(machine)(machine.name, machine.program, 2,
                             machine.memory_mib)
        with pair.start(setup.kernel, setup.initrd,
                        f'{setup.append} bench=busy') as process:
            process.finish(TESTS_LIMIT)
            ratios[machine.name] = busy_ratio(process.output)
    return ratios


def firmware(setup, kind, words):
    """Seconds until firmware of both machines says that it has no medium."""
    seconds = {}
    for machine in (setup.qemu, setup.lodge):
        runs = []
        for _ in range(FIRMWARE_STARTS):
            if kind == 'uefi':
                shutil.copy(guests.UEFI_VARIABLES, setup.variables)
            command = machine.firmware_command(kind, setup.variables)
            with guests.Process(machine.name, command) as process:
                runs.append(process.wait_for(words, BOOT_LIMIT))
        seconds[machine.name] = statistics.median(runs)
    return seconds


def measure_figures(setup, rounds):
    machines = [setup.qemu, setup.lodge]
    boots = {m.name: [] for m in machines}
    for number in range(rounds):
        for machine in machines:
            boots[machine.name].append(boot(setup, machine))
        say(f'bench: boot {number + 1} of {rounds}')
    idles = {m.name: idle(setup, m) for m in machines}
    first = statistics.median(first_instruction(setup)
                              for _ in range(STARTS))
    median = statistics.median
    rewriting, growth = translation(setup)
    power_off = {m: median(b[1] for b in boots[m]) for m in boots}
    return [
        figure('start to shell prompt', 's', '', '',
               {m: median(b[0] for b in boots[m]) for m in boots}),
        figure('start to power-off', 's', '0.6 x QEMU', '0.3 x QEMU',
               power_off),
        figure('SeaBIOS to its end, no medium', 's', '0.67 x QEMU', '',
               firmware(setup, 'bios', rb'No bootable device')),
        figure('OVMF to its shell', 's', '0.67 x QEMU', '',
               firmware(setup, 'uefi', rb'any other key to continue')),
        figure('start to first instruction, 256 MiB', 'ms', '10', '',
               {'lodge': first * 1e3}),
        figure('rewriting, an instruction', 'µs', '1', '',
               {'lodge': rewriting / 1e3}),
        figure('host code by guest code', 'x', '5', '', {'lodge': growth}),
        figure('a debugger\'s step', 'ms', '1', '',
               {'lodge': step(setup) * 1e3}),
        figure('lodge exec of `true` in a running guest', 'ms', '20', '',
               {'lodge': command_seconds(setup) * 1e3}),
        figure('work of two busy processors', 'x one', 'from 1.8', '',
               two_busy(setup)),
        figure(AT_PROMPT, 'MiB', '64', '12',
               {m: i[0] / 2**20 for m, i in idles.items()}),
        figure('processor time of an idle guest', '% of one', '1', '',
               {m: i[1] for m, i in idles.items()}),
    ]


def measure_debian(setup):
    """A row for the figures."""
    seconds = debian.seconds_to_login(setup, setup.build, say)
    say('bench: Debian')
    return [figure('Debian to login', 's', '0.67 x QEMU', '', seconds)]


def measure_daemon(setup):
    """Rows for the figures; libvirt's are in QEMU's column."""
    return daemon.measure(setup.build, setup.folder, say, figure)


def figure(name, unit, goal, aim, values):
    return {'name': name, 'unit': unit, 'goal': goal, 'aim': aim,
            **{m: values.get(m) for m in ('native', 'qemu', 'lodge')}}


# --- words around the tables ----------------------------------------------------

def processor():
    try:
        with open('/proc/cpuinfo', encoding='ascii', errors='replace') as file:
            return re.search(r'model name\s*: (.*)', file.read())[1]
    except (OSError, TypeError):
        return 'unknown processor'


def distribution():
    try:
        with open('/etc/os-release', encoding='utf-8') as file:
            return re.search(r'PRETTY_NAME="?([^"\n]*)', file.read())[1]
    except (OSError, TypeError):
        return 'unknown system'


def describe(setup, args):
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    commit = guests.output_of(['git', '-C', str(TOP), 'rev-parse', '--short',
                               'HEAD'])
    kernel = 'of --kernel'
    if not args.kernel and setup.version_file.exists():
        kernel = setup.version_file.read_text(encoding='utf-8').strip()
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        'machine': f'{processor()}, {os.cpu_count()} processors, '
                   f'{memory / 2**30:.0f} GiB, {distribution()}, '
                   f'Linux {os.uname().release}',
        'date': now.strftime('%Y-%m-%d %H:%M UTC'),
        'lodge': f'{setup.lodge.version()}'
                 + (f', commit {commit}' if commit else ''),
        'qemu': setup.qemu.version(),
        'guest': f'{kernel}, {args.memory} MiB, {args.cpus} '
                 f'processor{"s" if args.cpus > 1 else ""}',
        'rounds': f'{args.rounds}; load average at the start '
                  f'{os.getloadavg()[0]:.1f}',
    }


def measure_disks(setup, tests, rounds):
    """Rows of the table of disks."""
    kernel = initramfs.build(setup.drivers, [f'--file={setup.program}:/init'],
                             setup.disk_initrd, run_tool)
    with disks.Images() as images:
        bench = disks.Bench([setup.qemu, setup.lodge], kernel,
                            setup.disk_initrd, setup.append, images)
        rates = table.Rates()
        for number in range(rounds):
            for name, output in bench.outputs(tests):
                collect(rates, name, output)
            say(f'bench: disks, round {number + 1} of {rounds}')
        exits = {test: bench.exits(setup.report, test) for test in tests
                 if '_4k_' in test}
    return table.disk_rows(rates, exits)


def measure_formats(setup, tests, rounds):
    """Rows of the table of virtio disks by format of the image."""
    rates = table.Rates()
    fio.Bench(setup, run_tool, say).measure(rates, tests, rounds)
    return table.format_rows(rates)


def tools_for(setup, tests):
    """Programs at both ends of a network, each with its tests."""
    own = [test for test in tests if test not in table.IPERF_TESTS]
    iperf = [test for test in tests if test in table.IPERF_TESTS]
    return ([(net_tool.Own(setup.program), own)] if own else []) + (
        [(net_tool.Iperf(), iperf)] if iperf else [])


def measure_nets(setup, tests, rounds):
    """Rows of the table of networks, and one for the figures."""
    rates, first = table.Rates(), {}
    for tool, some in tools_for(setup, tests):
        bench = nets.Bench(setup, tool, run_tool, say)
        bench.measure(some, rounds,
                      lambda name, output: collect(rates, name, output))
        first.update({m: statistics.median(v) for m, v in bench.first.items()})
    return (table.format_rows(rates, table.NET_TESTS),
            [figure('network card\'s driver to first answer', 'ms', '50', '',
                    first)] if first else [])


def measure_pairs(setup, tests, rounds):
    """Rows of the table of two guests."""
    rates = table.Rates()
    for tool, some in tools_for(setup, tests):
        pairs.Bench(setup, tool, run_tool, say).measure(
            some, rounds, lambda how, output: collect(rates, how, output))
    return table.pair_rows(rates)


def measure_shares(setup, tests, rounds):
    """Rows of the table of shared folders."""
    rates = table.Rates()
    shares.Bench(setup, run_tool, say).measure(
        tests, rounds, lambda name, output: collect(rates, name, output))
    return table.share_rows(rates)


def measure_images(setup, rounds):
    """Rows of the table of conversions, and of the small ones."""
    with images.Images(setup.lodge.program, setup.folder) as bench:
        conversions = bench.conversions(rounds)
        say(f'bench: {len(conversions)} conversions')
        return table.image_rows(conversions, bench.small(),
                                images.SMALL_GOALS)


def text_of(about, results):
    parts = ['\n'.join(f'- {key}: {value}' for key, value in about.items())]
    for head, lines in (
            (table.FIGURE_HEAD, table.figure_lines(results['figures'])),
            (table.DISK_HEAD, table.disk_lines(results['disks'])),
            (table.FORMAT_HEAD, table.format_lines(results['formats'])),
            (table.NET_HEAD, table.format_lines(results['nets'])),
            (table.PAIR_HEAD, table.pair_lines(results['pairs'])),
            (table.SHARE_HEAD, table.share_lines(results['shares'])),
            (table.NEIGHBOUR_HEAD,
             table.neighbour_lines(results['neighbours'])),
            table.convert_table(results['conversions']),
            (table.SMALL_HEAD, table.small_lines(results['images']))):
        lines = list(lines)
        if lines:
            parts.append(table.markdown(head, lines))
    rates = results['rates']
    if rates.values:
        parts.append(table.markdown(table.RATE_HEAD, table.rate_lines(rates)))
    return '\n\n'.join(parts) + '\n'


def write_docs(text):
    page = DOCS.read_text(encoding='utf-8')
    before, begin, rest = page.partition(DOCS_BEGIN)
    _, end, after = rest.partition(DOCS_END)
    if not begin or not end:
        raise BenchError(f'{DOCS}: the marks for the tables are missing')
    DOCS.write_text(f'{before}{begin}\n\n{text}\n{end}{after}',
                    encoding='utf-8')
    say(f'bench: tables written to {DOCS}')


def write_json(path, about, results):
    rows = [dict(row, group=group) for group, rows in
            results['rates'].groups() for row in rows]
    tables = {name: table for name, table in results.items()
              if name != 'rates'}
    with open(path, 'w', encoding='utf-8') as file:
        json.dump({'about': about, **tables, 'tests': rows}, file, indent=2)
        file.write('\n')


# --- the command ------------------------------------------------------------------

def tests_of(text):
    tests = [t for t in text.split(',') if t]
    for test in tests:
        if test not in ALL_TESTS:
            raise argparse.ArgumentTypeError(
                f'{test}: no such test; there are {" ".join(ALL_TESTS)}')
    return tests


def parts_of(text):
    parts = [p for p in text.split(',') if p]
    for part in parts:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(
                f'{part}: no such part; there are {" ".join(PARTS)}')
    return parts


def count_of(text):
    if not text.isdigit() or not 0 < int(text) < 1 << 20:
        raise argparse.ArgumentTypeError(f'{text}: give a number from 1 on')
    return int(text)


def parse():
    parser = argparse.ArgumentParser(
        description='Measures lodge beside QEMU and the host.')
    parser.add_argument('--build', default=os.environ.get('BUILD', 'build'),
                        help='folder with lodge and the default guest')
    parser.add_argument('--rounds', type=count_of, default=3, metavar='N',
                        help='how often each is run (3)')
    parser.add_argument('--tests', type=tests_of, metavar='A,B',
                        help='only these tests')
    parser.add_argument('--only', type=parts_of, metavar='A,B',
                        help=f'only these parts of {", ".join(PARTS)}')
    parser.add_argument('--quick', action='store_true',
                        help='one round of a few tests')
    parser.add_argument('--cpus', type=count_of, default=1, metavar='N',
                        help='processors of the guests (1)')
    parser.add_argument('--memory', type=count_of, default=512, metavar='MIB',
                        help='memory of the guests (512)')
    parser.add_argument('--kernel', metavar='FILE',
                        help='instead of the default guest\'s; ELF with PVH')
    parser.add_argument('--initrd', metavar='FILE',
                        help='instead of the default guest\'s')
    parser.add_argument('--cc', default='gcc', help='compiler (gcc)')
    parser.add_argument('--no-figures', action='store_true',
                        help='only the tests: no boots, no memory')
    parser.add_argument('--json', metavar='FILE',
                        help='write the results there as well')
    parser.add_argument('--write-docs', action='store_true',
                        help='put the tables into docs/performance.md')
    args = parser.parse_args()
    if args.quick:
        args.rounds = 1
    choose(args)
    return args


def choose(args):
    """Parts, and tests of them: those that are named, else all of them."""
    if args.only is None:
        args.only = ['figures', 'tests'] if args.quick else list(PARTS)
        if args.tests:
            args.only = ['figures', 'tests', 'disks', 'formats', 'nets',
                         'shares']
    if args.no_figures and 'figures' in args.only:
        args.only.remove('figures')
    if not args.tests:
        args.tests = [t for part, tests in (
            ('tests', QUICK if args.quick else table.TESTS),
            ('disks', table.DISK_TESTS),
            ('formats', table.FORMAT_TESTS),
            ('nets', table.NET_TESTS),
            ('pairs', table.NET_TESTS),
            ('shares', table.SHARE_TESTS)) if part in args.only
                      for t in tests]


def measure(setup, args, about):
    """All tables; to `about` what stands out in them."""
    def chosen(tests):
        return [t for t in args.tests if t in tests]

    tests, rounds = chosen(table.TESTS), args.rounds
    of_disks, of_formats = chosen(table.DISK_TESTS), chosen(table.FORMAT_TESTS)
    figures = measure_figures(setup, rounds) if 'figures' in args.only else []
    if 'debian' in args.only:
        figures += measure_debian(setup)
    if 'daemon' in args.only:
        figures += measure_daemon(setup)
    disk_rows = measure_disks(setup, of_disks, rounds) if of_disks else []
    formats = measure_formats(setup, of_formats, rounds) if of_formats else []
    of_nets = chosen(table.NET_TESTS)
    net_rows, first = (measure_nets(setup, of_nets, rounds)
                       if of_nets and 'nets' in args.only else ([], []))
    pair_rows = (measure_pairs(setup, of_nets, rounds)
                 if of_nets and 'pairs' in args.only else [])
    figures += first
    of_shares = chosen(table.SHARE_TESTS)
    share_rows = (measure_shares(setup, of_shares, rounds) if of_shares
                  else [])
    beside = (neighbours.measure(setup.build, setup.folder, say)
              if 'neighbours' in args.only else [])
    conversions, small = (measure_images(setup, rounds)
                          if 'images' in args.only else ([], []))
    rates, memory = run_tests(setup, tests, rounds if tests else 0)
    if memory and 'figures' in args.only:
        at = [f['name'] for f in figures].index(AT_PROMPT) + 1
        figures.insert(at, figure(
            'memory beyond guest RAM, after the tests', 'MiB', '64', '',
            {m: statistics.median(v) / 2**20 for m, v in memory.items()}))
    if rounds > 1 and tests:
        about['steadiness'] = (f'rounds of {len(rates.unsteady())} of '
                               f'{len(tests)} tests differ by more than 30 %')
    of_images = table.images_missed(conversions, small)
    rows = disk_rows + formats + net_rows
    missed = table.missed(rates) + table.disks_missed(rows) + of_images
    behind = table.behind(rates) + table.disks_missed(rows, 1) + of_images
    about['above the goal'] = ', '.join(missed) or 'nothing'
    about['slower than QEMU'] = ', '.join(behind) or 'nothing'
    return {'figures': figures, 'disks': disk_rows, 'formats': formats,
            'nets': net_rows, 'pairs': pair_rows, 'shares': share_rows,
            'neighbours': beside,
            'conversions': conversions, 'images': small, 'rates': rates}


def bench(args):
    setup = Setup(args)
    about = describe(setup, args)
    if os.getloadavg()[0] > 0.5:
        say('bench: the machine is busy with other things; figures will be '
            'worse than they should')
    results = measure(setup, args, about)
    text = text_of(about, results)
    print(text)
    if args.json:
        write_json(args.json, about, results)
    if args.write_docs:
        write_docs(text)


def main():
    args = parse()
    try:
        bench(args)
    except (BenchError, OSError) as error:
        say(f'bench: {error}')
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
