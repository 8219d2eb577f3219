#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes the uncompressed kernel (vmlinux, ELF) out of a bzImage.

The set-up header tells where the compressed kernel is: payload_offset and
payload_length, counted from the protected-mode code, which follows the boot
sector and setup_sects sectors (Linux documentation, x86/boot.rst, boot
protocol 2.08 and later). The compressor is known by its magic number; all but
gzip have the size of the result in four bytes behind them.

usage: extract_vmlinux.py BZIMAGE VMLINUX
"""
import bz2
import lzma
import struct
import subprocess
import sys
import zlib


class Refused(Exception):
    """The image cannot be taken apart; says why in one line."""


def payload(image):
    """The compressed kernel inside a bzImage."""
    if len(image) < 0x260 or image[0x202:0x206] != b'HdrS':
        raise Refused('not a Linux bzImage')
    version, = struct.unpack_from('<H', image, 0x206)
    if version < 0x208:
        raise Refused(f'boot protocol {version >> 8}.{version & 255:02} '
                      'is too old (2.08 is needed)')
    sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from('<II', image, 0x248)
    start = (sectors + 1) * 512 + offset
    if not length or start + length > len(image):
        raise Refused('cut short')
    return image[start:start + length]


def by_program(*command):
    def run(data):
        try:
            done = subprocess.run(command, input=data, check=False,
                                  capture_output=True)
        except FileNotFoundError:
            raise Refused(f'compressed with {command[0]}, which is not '
                          'installed') from None
        if done.returncode:
            words = done.stderr.decode(errors='replace').split('\n')[0]
            raise Refused(f'{command[0]}: {words}')
        return done.stdout
    return run


def xz(data):
    return lzma.LZMADecompressor().decompress(data)


def gzip(data):
    return zlib.decompressobj(31).decompress(data)


def bzip2(data):
    return bz2.BZ2Decompressor().decompress(data)


COMPRESSORS = [
    (b'\x1f\x8b', gzip),
    (b'\xfd7zXZ\0', xz),
    (b'\x28\xb5\x2f\xfd', by_program('zstd', '-dcq')),
    (b'\x02\x21\x4c\x18', by_program('lz4', '-dcq')),
    (b'BZh', bzip2),
    (b'\x5d\0\0', xz),
]


def extract(image):
    data = payload(image)
    for magic, unpack in COMPRESSORS:
        if data.startswith(magic):
            break
    else:
        if data.startswith(b'\x7fELF'):
            return data
        raise Refused('compressed with something unknown')
    size, = struct.unpack_from('<I', data, len(data) - 4)
    if unpack is not gzip:
        data = data[:-4]
    try:
        kernel = unpack(data)
    except (lzma.LZMAError, zlib.error, OSError) as error:
        raise Refused(f'damaged: {error}') from None
    if len(kernel) != size or not kernel.startswith(b'\x7fELF'):
        raise Refused('does not hold an ELF kernel of the size it tells')
    return kernel


def main():
    if len(sys.argv) != 3:
        sys.exit('usage: extract_vmlinux.py BZIMAGE VMLINUX')
    source, target = sys.argv[1:]
    try:
        with open(source, 'rb') as file:
            kernel = extract(file.read())
        with open(target, 'wb') as file:
            file.write(kernel)
    except Refused as why:
        sys.exit(f'{source}: {why}')
    except OSError as error:
        sys.exit(f'{error.filename or target}: {error.strerror}')


if __name__ == '__main__':
    main()
