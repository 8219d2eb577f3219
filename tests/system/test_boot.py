# SPDX-License-Identifier: Apache-2.0
"""What a BIOS boots from: the order of media, and its menu."""
import re

import pytest

from conftest import ENGINE, run, shown, spawn, status_of
from test_cdrom import GRUB, needs_grub
from test_firmware import needs_bios

LIMIT = 180
KIB = 1 << 10
MIB = 1 << 20


def boot_sector(words):
    """Prints the words by INT 10h and stops."""
    code = (b"\x31\xC0\x8E\xD8\xBE\x18\x7C\xAC\x84\xC0\x74\x06\xB4\x0E"
            b"\xCD\x10\xEB\xF5\xF4\xEB\xFD").ljust(24, b"\0")
    return (code + words.encode() + b"\r\n\0").ljust(510, b"\0") + b"\x55\xAA"


@pytest.fixture
def media(tmp_path, runtime):
    """Images of each kind: what starts from them, or an empty one."""
    def make(name, size, words):
        path = tmp_path / name
        path.write_bytes((boot_sector(words) if words else b"")
                         .ljust(size, b"\0"))
        return path
    return make


def bios(*args):
    return spawn("run", "--firmware", "bios", "--engine", ENGINE, "--name",
                 "b", *args, timeout=LIMIT)


def stop(child):
    child.send("\x01x")
    assert status_of(child) == 0


def keys(*words):
    result = run("keys", "b", *words, timeout=LIMIT)
    assert result.returncode == 0, result.stderr


@needs_bios
@needs_grub
@pytest.mark.parametrize("floppy, cd, start", [
    ("from the floppy", True, "from the floppy"),
    (None, True, "GNU GRUB"),
    (None, False, "from the disk"),
])
@pytest.mark.parametrize("bus", ["ide", "ahci", "virtio"])
def test_order(media, bus, floppy, cd, start):
    """Floppy disk, CD, disk; what cannot be booted is passed over."""
    args = ["--disk", f"{media('d', 8 * MIB, 'from the disk')},bus={bus}",
            "--floppy", media("f", 1440 * KIB, floppy)]
    if cd:
        args += ["--cdrom", f"{GRUB},bus={'ide' if bus == 'ide' else 'ahci'}"]
    child = bios(*args)
    child.expect(shown("Booting from Floppy"))
    child.expect(shown(start))
    stop(child)


def menu(child):
    """What the menu says, by what it says it of."""
    child.expect(shown("for boot menu"))
    keys("esc")
    child.expect(shown("Select boot device:"))
    child.expect(shown("3. ") + "[^\r\n]*[\r\n]")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", child.before + child.after)
    found = re.findall(r"(\d)\. ([^\r\n]+)", text)
    return {name.split()[0]: number for number, name in found}


@needs_bios
@needs_grub
@pytest.mark.parametrize("pick, start", [
    ("Floppy", "from the floppy"),
    ("DVD/CD", "GNU GRUB"),
    ("ata0-0:", "from the disk"),
])
def test_menu(media, pick, start):
    """Each entry, chosen by a key, boots its medium."""
    child = bios("--boot-menu",
                 "--disk", f"{media('d', 8 * MIB, 'from the disk')},bus=ide",
                 "--floppy", media("f", 1440 * KIB, "from the floppy"),
                 "--cdrom", f"{GRUB},bus=ide")
    entries = menu(child)
    assert set(entries) == {"Floppy", "DVD/CD", "ata0-0:"}
    keys(entries[pick])
    child.expect(shown(start))
    stop(child)


@needs_bios
def test_menu_that_nobody_wants(media):
    """It waits for its key as long as it is told, then boots."""
    child = bios("--boot-menu", "--floppy",
                 media("f", 1440 * KIB, "from the floppy"))
    child.expect(shown("for boot menu"))
    child.expect(shown("from the floppy"))
    stop(child)
