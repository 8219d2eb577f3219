# SPDX-License-Identifier: Apache-2.0
"""Tiny multiboot 1 kernels, put together from machine code.

Each is an ELF file for 32-bit protected mode, loaded at 1 MiB and entered at
its first instruction with paging off (Multiboot 0.6.96, 3.2).
"""
import struct

BASE = 0x100000
HEADERS = 0x1000  # offset of the segment in the file
CODE = 16  # after the multiboot header, padded

SERIAL = 0x3F8


def kernel(code, data=b""):
    """The ELF file for `code`, with `data` at BASE + 0x1000."""
    magic, flags = 0x1BADB002, 0
    checksum = -(magic + flags) & 0xFFFFFFFF
    segment = struct.pack("<IIII", magic, flags, checksum, 0) + code
    if data:
        segment = segment.ljust(0x1000, b"\0") + data
    elf = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIIIIIHHHHHH", 2, 3, 1, BASE + CODE, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    program = struct.pack("<IIIIIIII", 1, HEADERS, BASE, BASE, len(segment),
                          len(segment) + 0x4000, 7, 0x1000)
    return (elf + program).ljust(HEADERS, b"\0") + segment


# --- pieces of code --------------------------------------------------------

def out8(port, value):
    """mov al, value; mov dx, port; out dx, al"""
    return (bytes([0xB0, value]) + b"\x66\xBA" + struct.pack("<H", port) +
            b"\xEE")


def out32(port, value):
    """mov eax, value; mov dx, port; out dx, eax"""
    return (b"\xB8" + struct.pack("<I", value) + b"\x66\xBA" +
            struct.pack("<H", port) + b"\xEF")


def store32(address, value):
    """mov dword [address], value"""
    return b"\xC7\x05" + struct.pack("<II", address, value)


def load32(address):
    """mov eax, [address]"""
    return b"\xA1" + struct.pack("<I", address)


def text(words):
    """The characters to the serial port."""
    return b"".join(out8(SERIAL, c) for c in words.encode())


def debug_exit(value):
    """Needs --testdev."""
    return out32(0xF4, value) + HALT


def power_off():
    """ACPI S5: SLP_TYP 0, SLP_EN in the PM1 control block."""
    return (b"\x66\xB8" + struct.pack("<H", 1 << 13) + b"\x66\xBA" +
            struct.pack("<H", 0x604) + b"\x66\xEF" + HALT)


def heed_power_button():
    """Polls PM1's status for it (ACPI 6.5, 4.8.3.1.1), then S5:
    mov dx, 0x600; in ax, dx; test ah, 1; jz -"""
    return b"\x66\xBA\x00\x06\x66\xED\xF6\xC4\x01\x74\xF9" + power_off()


HALT = b"\xFA\xF4\xEB\xFC"  # cli; hlt; again
SPIN = b"\xEB\xFE"  # jmp $
CRASH = b"\x0F\x01\x1D" + b"\x00\x00\x00\x00" + b"\xCC"  # lidt [0]; int3
RESET = out8(0x64, 0xFE) + HALT  # i8042: pulse the reset line
# lidt of a table with limit 0 (at BASE + 0x1000), then int3
TRIPLE_FAULT = b"\x0F\x01\x1D" + struct.pack("<I", BASE + 0x1000) + b"\xCC"
NO_IDT = b"\0" * 16

# Sends 'x' for ever.
FLOOD = out8(SERIAL, ord("x")) + b"\xEB" + struct.pack(
    "<b", -(len(out8(SERIAL, 0)) + 2))

# Polls the line status and sends back what comes in, "q" powers off:
# mov dx, 0x3fd; in al, dx; test al, 1; jz -; mov dx, 0x3f8; in al, dx;
# cmp al, 'q'; je +; out dx, al; jmp -
ECHO = (b"\x66\xBA\xFD\x03\xEC\xA8\x01\x74\xF7\x66\xBA\xF8\x03\xEC"
        b"\x3C\x71\x74\x03\xEE\xEB\xEB") + power_off()
