# SPDX-License-Identifier: Apache-2.0
"""Systems that know nothing of lodge, as Debian packages them."""
import gzip
import shutil
import subprocess
import time

import pytest

from conftest import BUILD, ENGINE, run, spawn, status_of
from picture import read_png

PACKAGES = BUILD / "guest" / "packages"
LIMIT = 180


def packaged(name, pattern):
    """The one file of an unpacked package that fits the pattern."""
    found = sorted((PACKAGES / name).glob(pattern))
    if not found:
        pytest.skip(f"no {pattern} in {PACKAGES / name}: make check gets it")
    return found[-1]


def stop(child):
    child.send("\x01x")
    assert status_of(child) == 0


def screen():
    """What the machine's display shows as text; nothing while it is graphics."""
    return run("screenshot", "foreign", "-").stdout


def shows(*words):
    """Waits until the display shows all of them."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        text = screen()
        if all(word in text for word in words):
            return text
        time.sleep(0.3)
    return pytest.fail(f"no {words} in:\n{screen()}")


def press(*keys):
    assert run("keys", "foreign", *keys).returncode == 0


@pytest.fixture
def machine():
    """Starts a machine with BIOS and display under the name "foreign"."""
    children = []

    def start(*args):
        children.append(spawn("run", "--engine", ENGINE, "--name", "foreign",
                              "--firmware", "bios", *args, timeout=LIMIT))
        children[-1].expect("SeaBIOS")
    yield start
    for child in children:
        stop(child)


@pytest.fixture(scope="session")
def xen(tmp_path_factory):
    kernel = tmp_path_factory.mktemp("xen") / "xen"
    kernel.write_bytes(gzip.decompress(
        packaged("xen", "boot/xen-*-amd64.gz").read_bytes()))
    return kernel


def test_xen_and_its_first_domain(xen, linux):
    """By multiboot; Xen goes back to real mode to ask a BIOS, and runs the
    default guest's kernel, to its init, in ring 3 on two processors. (That
    kernel has no driver for Xen's console: what it says goes by earlyprintk.)
    """
    files = dict(zip(linux[1::2], linux[2::2]))
    child = spawn("run", "--engine", ENGINE, "--cpus", "2", "--memory", "1G",
                  "--kernel", xen, "--append",
                  "com1=115200,8n1 console=com1 loglvl=all",
                  "--module", f"{files['--kernel']} earlyprintk=xen",
                  "--module", files["--initrd"], timeout=LIMIT)
    for words in [r"\(XEN\) Xen version 4", r"\(XEN\) Brought up 2 CPUs",
                  "Building a PV Dom0", "Hypervisor detected: Xen PV",
                  "Brought up 1 node, 2 CPUs", "Run /init as init process"]:
        child.expect(words)
    stop(child)


def test_ipxe_from_a_cd():
    child = spawn("run", "--engine", ENGINE, "--firmware", "bios", "--cdrom",
                  packaged("ipxe", "usr/lib/ipxe/ipxe.iso"), timeout=LIMIT)
    child.expect("iPXE initialising devices...ok")
    child.expect("Press Ctrl-B")
    child.send("\x02")
    child.expect("iPXE> ")
    child.send("show version\r")  # a BIOS keeps fifteen keys
    child.expect(r"builtin/version:string = 1\.")
    stop(child)


def test_memtest_passes(machine):
    """One loop over 64 MiB with two processors, without an error; but for the
    test that lets memory fade, three minutes of waiting."""
    machine("--cpus", "2", "--memory", "64M", "--cdrom",
            packaged("memtest", "usr/lib/memtest86+/memtest86+x64.iso"))
    shows("Press <F1>")
    press("f1")
    shows("Test selection")
    press("f1")
    shows("Remove one test")
    press("f2")
    shows("Enter test")
    press("10", "enter", "f10", "f10")
    shows("Memtest86+", "CPU: 2 Cores", "Testing:")
    assert "Errors: 0" in shows("Pass:  1")


# --- Debian's installer ------------------------------------------------------

MENU = """set timeout=-1
insmod all_video
menuentry text {
  set gfxpayload=text
  linux /linux vga=normal nomodeset fb=false
  initrd /text.gz
}
menuentry graphics {
  linux /linux vga=788
  initrd /graphics.gz
}
"""


@pytest.fixture(scope="session")
def installer(tmp_path_factory):
    """A CD of the installer for networks, with a menu for text or graphics."""
    if not shutil.which("grub-mkrescue"):
        pytest.skip("package grub-common is missing")
    images = "usr/lib/debian-installer/images/*/amd64/"
    folder = tmp_path_factory.mktemp("installer") / "cd"
    (folder / "boot" / "grub").mkdir(parents=True)
    (folder / "boot" / "grub" / "grub.cfg").write_text(MENU)
    for name, pattern in [("linux", "text/debian-installer/amd64/linux"),
                          ("text.gz", "text/debian-installer/amd64/initrd.gz"),
                          ("graphics.gz",
                           "gtk/debian-installer/amd64/initrd.gz")]:
        shutil.copy(packaged("installer", images + pattern), folder / name)
    cd = folder.parent / "installer.iso"
    subprocess.run(["grub-mkrescue", "-o", cd, folder], check=True,
                   capture_output=True)
    return cd


def test_debian_installer_in_text(installer, machine):
    machine("--memory", "1G", "--cdrom", installer)
    shows("GNU GRUB")
    press("enter")
    shows("Select a language", "Choose the language to be used", "English")


BAR = (41, 134, 127)  # marks the language chosen, about


def marked(tmp_path):
    """The first row of the installer's bar in the picture; None without."""
    path = tmp_path / "screen.png"
    assert run("screenshot", "foreign", path).returncode == 0
    picture = read_png(path)
    if picture.width < 800:
        return None
    rows = [y for y in range(picture.height)
            if all(abs(a - b) < 6 for x in (600, 700, 750)
                   for a, b in zip(picture.at(x, y), BAR))]
    return rows[0] if rows else None


def test_debian_installer_in_graphics(installer, machine, tmp_path):
    """The list of languages is there, and its bar follows the keys."""
    machine("--memory", "1G", "--cdrom", installer)
    shows("GNU GRUB")
    press("down", "enter")
    end = time.monotonic() + LIMIT
    first = second = None
    while first is None:
        assert time.monotonic() < end, "no list of languages"
        time.sleep(1)
        first = marked(tmp_path)
    press("down")
    while second in (None, first):
        assert time.monotonic() < end, "the bar does not move"
        time.sleep(0.3)
        second = marked(tmp_path)
    assert 10 < second - first < 60
