#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes an initramfs (cpio "newc", uncompressed) without being root.

The same input gives the same bytes: owner root, time 0, names in order. The
format is described in Linux, driver-api/early-userspace/buffer-format.rst.

usage: make_initrd.py OUTPUT [--busybox FILE] [--tree DIR]
                      [--program FILE] [--file FILE:/NAME]
                      [--link TARGET:/NAME] ...

--busybox puts the program into /bin with a link for each of its applets;
--tree copies a folder's content to the root, --program a program of this
computer with the libraries that it wants, under their own names, --file a
single file, --link makes a symbolic link. A later name replaces an earlier
one.
"""
import argparse
import os
import re
import stat
import subprocess
import sys


class Archive:
    """Names to (mode, content, device) in a root file system."""

    def __init__(self):
        self.entries = {}
        for name in ('bin', 'dev', 'etc', 'proc', 'root', 'run', 'sbin',
                     'sys', 'tmp', 'usr', 'var'):
            self.folder(name)
        self.device('dev/console', 0o600, 5, 1)
        self.device('dev/null', 0o666, 1, 3)

    def folder(self, name):
        parent = os.path.dirname(name)
        if parent:
            self.folder(parent)
        mode = 0o1777 if name == 'tmp' else 0o755
        self.entries.setdefault(name, (stat.S_IFDIR | mode, b'', 0))

    def put(self, name, mode, content, device=0):
        name = name.strip('/')
        self.folder(os.path.dirname(name) or 'root')
        self.entries[name] = (mode, content, device)

    def device(self, name, mode, major, minor):
        self.put(name, stat.S_IFCHR | mode, b'', major << 8 | minor)

    def link(self, target, name):
        self.put(name, stat.S_IFLNK | 0o777, target.encode())

    def file(self, source, name):
        with open(source, 'rb') as file:
            mode = os.fstat(file.fileno()).st_mode
            bits = 0o755 if mode & 0o100 else 0o644
            self.put(name, stat.S_IFREG | bits, file.read())

    def tree(self, top):
        if not os.path.isdir(top):
            raise FileNotFoundError(2, 'No such folder', top)
        for folder, folders, files in os.walk(top):
            at = os.path.relpath(folder, top)
            for name in folders:
                self.folder(os.path.normpath(os.path.join(at, name)))
            for name in files:
                path = os.path.join(folder, name)
                inside = os.path.normpath(os.path.join(at, name))
                if os.path.islink(path):
                    self.link(os.readlink(path), inside)
                else:
                    self.file(path, inside)

    def program(self, path):
        """ldd's lines are "NAME => PATH (ADDRESS)", the loader's has no
        name, the kernel's own library no path."""
        self.file(path, path)
        listed = subprocess.run(['ldd', path], check=True, text=True,
                                capture_output=True).stdout
        for line in listed.splitlines():
            found = re.search(r'(/\S+) \(0x', line)
            if found:
                self.file(found[1], found[1])

    def busybox(self, program):
        self.file(program, 'bin/busybox')
        applets = subprocess.run([program, '--list'], check=True, text=True,
                                 capture_output=True).stdout.split()
        for applet in applets:
            if applet != 'busybox':
                self.link('busybox', f'bin/{applet}')
        self.link('../bin/busybox', 'sbin/init')
        self.link('sbin/init', 'init')

    def write(self, out):
        names = sorted(self.entries)
        for number, name in enumerate(names, 1):
            write_entry(out, number, name, *self.entries[name])
        write_entry(out, 0, 'TRAILER!!!', 0, b'', 0)


def pad(out):
    out.write(b'\0' * (-out.tell() % 4))


def write_entry(out, number, name, mode, content, device):
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(content), 0, 0,
              device >> 8, device & 0xff, len(name.encode()) + 1, 0)
    out.write(b'070701' + b''.join(b'%08x' % f for f in fields))
    out.write(name.encode() + b'\0')
    pad(out)
    out.write(content)
    pad(out)


def pair(text):
    source, colon, name = text.rpartition(':')
    if not colon or not source or not name.strip('/'):
        raise argparse.ArgumentTypeError(f'{text}: not SOURCE:/NAME')
    return source, name


def main():
    parser = argparse.ArgumentParser(description='make an initramfs')
    parser.add_argument('output')
    parser.add_argument('--busybox')
    parser.add_argument('--tree', action='append', default=[])
    parser.add_argument('--program', action='append', default=[])
    parser.add_argument('--file', action='append', default=[], type=pair)
    parser.add_argument('--link', action='append', default=[], type=pair)
    options = parser.parse_args()
    archive = Archive()
    try:
        if options.busybox:
            archive.busybox(options.busybox)
        for top in options.tree:
            archive.tree(top)
        for program in options.program:
            archive.program(program)
        for source, name in options.file:
            archive.file(source, name)
        for target, name in options.link:
            archive.link(target, name)
        with open(options.output, 'wb') as out:
            archive.write(out)
    except OSError as error:
        sys.exit(f'{error.filename or options.output}: {error.strerror}')
    except subprocess.CalledProcessError as error:
        sys.exit(f'{" ".join(error.cmd)}: {error.stderr.strip()}')


if __name__ == '__main__':
    main()
