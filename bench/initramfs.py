# SPDX-License-Identifier: Apache-2.0
"""Initramfs images of guests that are measured: Debian's ordinary kernel, its
drivers in order, and what is to run."""
import pathlib
import sys

from guests import BenchError

TOP = pathlib.Path(__file__).resolve().parent.parent
BUSYBOX = '/bin/busybox'


def build(drivers, words, path, run_tool):
    """Of `words` of guests/make_initrd.py and the drivers; the path of the
    kernel."""
    order = drivers / 'modules' / 'order'
    if not order.exists():
        raise BenchError(f'{order}: no such file; type make guest-drivers')
    words = [*words, f'--file={order}:/lib/modules/order']
    for name in order.read_text(encoding='utf-8').split():
        module = order.parent / f'{name}.ko'
        if module.exists():
            words.append(f'--file={module}:/lib/modules/{name}.ko')
    run_tool([sys.executable, str(TOP / 'guests' / 'make_initrd.py'), path,
              *words], f'cannot make {path}')
    return str(drivers / 'vmlinux')


def with_tool(program, *files):
    """Words for a program of this computer, and a shell."""
    return ['--busybox', BUSYBOX, '--program', program,
            *(f'--file={file}' for file in files)]
