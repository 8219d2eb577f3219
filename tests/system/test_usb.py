# SPDX-License-Identifier: Apache-2.0
"""USB keyboard and tablet: drivers of Linux and of firmware behind them, what is
typed and pointed at from outside, and not a word of complaint."""
import pathlib
import re
import struct
import subprocess
import time

import pytest

import rfb
from conftest import ENGINE, run, spawn
from test_drivers import complaints, guest  # noqa: F401 (a fixture)
from test_firmware import needs_bios, needs_nasm, needs_uefi, stop
from test_linux import boot

pytestmark = pytest.mark.usefixtures("runtime")

EVENT = struct.Struct("<qqHHi")
EV_SYN, EV_KEY, EV_REL, EV_ABS = 0, 1, 2, 3
BTN_LEFT, BTN_RIGHT, BTN_MIDDLE = 0x110, 0x111, 0x112
ABS_X, ABS_Y, REL_WHEEL = 0, 1, 8
KEYS = pathlib.Path(__file__).with_name("dos") / "keys.asm"
LIMIT = 180
PLACE = "0000:00:03.0"


def start(arguments, *more):
    shell = boot(arguments, *more)
    shell.run("/etc/drivers $(cat /lib/modules/order)")
    return shell


def find_inputs(shell):
    """Event devices by name, when both are there."""
    for _ in range(100):
        text = shell.run("cat /proc/bus/input/devices")
        found = {name: event for name, event in re.findall(
            r'N: Name="([^"]*)".*?H: Handlers=[^\n]*?(event\d+)', text, re.S)}
        if "lodge keyboard" in found and "lodge tablet" in found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"no keyboard and tablet:\n{text}")


class Record:
    """What comes from an input device, from now on."""

    def __init__(self, shell, event):
        self.shell, self.file = shell, f"/tmp/{event}"
        shell.run(f"(exec 3< /dev/input/{event}; echo > {self.file}.open; "
                  f"exec cat <&3 > {self.file}) & while [ ! -e "
                  f"{self.file}.open ]; do :; done")

    def read(self, done):
        """Events until `done` says that these are all."""
        for _ in range(100):
            text = self.shell.run(
                f"hexdump -v -e '24/1 \"%02x\" \"\\n\"' {self.file}")
            events = [EVENT.unpack(bytes.fromhex(line))[2:]
                      for line in text.split() if len(line) == 48]
            events = [e for e in events if e[0] in (EV_KEY, EV_REL, EV_ABS)]
            if done(events):
                return events
            time.sleep(0.1)
        raise AssertionError(f"not all came: {events}")


@pytest.mark.parametrize("cpus", [1, 2])
def test_keys(guest, cpus):  # noqa: F811
    shell = start(guest, "--cpus", cpus, "--display", "std", "--usb")
    inputs = find_inputs(shell)
    usb = Record(shell, inputs["lodge keyboard"])
    ps2 = Record(shell, inputs["AT Translated Set 2 keyboard"]
                 if "AT Translated Set 2 keyboard" in inputs
                 else inputs["AT Raw Set 2 keyboard"])
    assert run("keys", "lodge", "Ab").returncode == 0
    # shift, a, b: as Linux numbers them
    wanted = [(EV_KEY, code, value) for code, value in (
        (42, 1), (30, 1), (30, 0), (42, 0), (48, 1), (48, 0))]
    assert usb.read(lambda events: len(events) >= 6) == wanted
    # The driver gone, the other keyboard has them; and back again.
    shell.run(f"echo {PLACE} > /sys/bus/pci/drivers/xhci_hcd/unbind")
    assert run("keys", "lodge", "c").returncode == 0
    assert (EV_KEY, 46, 1) in ps2.read(lambda events: len(events) >= 2)
    shell.run(f"echo {PLACE} > /sys/bus/pci/drivers/xhci_hcd/bind")
    again = Record(shell, find_inputs(shell)["lodge keyboard"])
    assert run("keys", "lodge", "d").returncode == 0
    assert again.read(lambda events: len(events) >= 2) == [
        (EV_KEY, 32, 1), (EV_KEY, 32, 0)]
    assert not complaints(shell)
    assert shell.power_off() == 0


def wait_for_leds(value):
    for _ in range(100):
        out = run("inspect", "lodge").stdout
        if re.search(rf"\bleds\W+{value}\b", out.partition("usb-keyboard")[2]):
            return
        time.sleep(0.1)
    raise AssertionError(out)


def test_lights_and_a_key_that_wakes(guest):  # noqa: F811
    shell = start(guest, "--display", "std", "--usb")
    inputs = find_inputs(shell)
    usb = Record(shell, inputs["lodge keyboard"])
    device = shell.run(f"readlink -f /sys/bus/pci/devices/{PLACE}/usb1/1-2")
    for on in (1, 0):
        shell.run("for l in /sys/class/leds/*::capslock; do "
                  f"echo {on} > $l/brightness; done")
        wait_for_leds(2 * on)
    # Suspended on its own; a key resumes it, and is not lost.
    shell.run(f"echo enabled > {device}/power/wakeup; "
              f"echo auto > {device}/power/control")
    for _ in range(100):
        if shell.run(f"cat {device}/power/runtime_status") == "suspended":
            break
        time.sleep(0.1)
    else:
        pytest.fail("it is not suspended")
    assert run("keys", "lodge", "a").returncode == 0
    assert usb.read(lambda events: len(events) >= 2) == [
        (EV_KEY, 30, 1), (EV_KEY, 30, 0)]
    assert not complaints(shell)
    assert shell.power_off() == 0


def test_a_system_that_sleeps(guest):  # noqa: F811
    """The driver halts the controller, saves it and takes it up again; the
    kernel's own test of that, which wakes up by itself."""
    shell = start(guest, "--display", "std", "--usb")
    usb = Record(shell, find_inputs(shell)["lodge keyboard"])
    shell.run("echo 1 > /sys/module/suspend/parameters/pm_test_delay; "
              "echo devices > /sys/power/pm_test; "
              "echo freeze > /sys/power/state", timeout=120)
    assert run("keys", "lodge", "a").returncode == 0
    assert usb.read(lambda events: len(events) >= 2) == [
        (EV_KEY, 30, 1), (EV_KEY, 30, 0)]
    assert not complaints(shell)
    assert shell.power_off() == 0


def turns(events):
    return sum(value for kind, code, value in events
               if (kind, code) == (EV_REL, REL_WHEEL))


def test_pointing(guest, tmp_path):  # noqa: F811
    shell = start(guest, "--display", f"vnc=unix:{tmp_path}/vnc")
    inputs = find_inputs(shell)
    record = Record(shell, inputs["lodge tablet"])
    eye = rfb.Viewer(rfb.connect(f"unix:{tmp_path}/vnc"))
    for _ in range(100):
        eye.refresh()
        if eye.absolute:
            break
    assert eye.absolute and eye.cursor[:2] == (0, 0)
    width, height = eye.width, eye.height
    places = [(1, 1), (width - 1, height - 1), (width // 2, height // 4)]
    for x, y in places:
        for buttons in (1, 0):  # none is replaced by the next
            eye.pointer(x, y, buttons)
    # The wheel down, twice with a button held.
    for buttons in (4, 0, 2, 0, 16, 0, 1, 17, 1, 17):
        eye.pointer(*places[-1], buttons)
    events = record.read(lambda events: turns(events) == -3)
    for axis, size in ((ABS_X, width), (ABS_Y, height)):
        seen = [value for kind, code, value in events
                if (kind, code) == (EV_ABS, axis)]
        assert seen == [place[axis] * 32767 // (size - 1)
                        for place in places]
    assert [(code, value) for kind, code, value in events
            if kind == EV_KEY] == [(BTN_LEFT, 1), (BTN_LEFT, 0)] * 3 + [
                (BTN_RIGHT, 1), (BTN_RIGHT, 0),
                (BTN_MIDDLE, 1), (BTN_MIDDLE, 0), (BTN_LEFT, 1)]
    # The driver gone: viewers hear of it.
    shell.run(f"echo {PLACE} > /sys/bus/pci/drivers/xhci_hcd/unbind")
    for _ in range(100):
        eye.refresh()
        if not eye.absolute:
            break
    assert not eye.absolute and eye.cursor[:2] == (8, 12)
    assert not complaints(shell)
    assert shell.power_off() == 0


def test_none(guest, tmp_path):  # noqa: F811
    shell = boot(guest, "--display", f"vnc=unix:{tmp_path}/vnc", "--no-usb")
    shell.run(f"[ ! -e /sys/bus/pci/devices/{PLACE} ]")
    assert shell.power_off() == 0


# --- firmware -----------------------------------------------------------------------

def usb_keyboard():
    """Its state, as words of `lodge inspect`."""
    out = run("inspect", "lodge").stdout
    return out.partition("usb-keyboard")[2].partition("xhci")[0]


def wait_until_polled():
    for _ in range(LIMIT * 10):
        if "hid.polled=yes" in usb_keyboard():
            return
        time.sleep(0.1)
    raise AssertionError(usb_keyboard())


@needs_uefi
def test_uefi_shell():
    child = spawn("run", "--firmware", "uefi", "--engine", ENGINE,
                  "--display", "std", "--usb", timeout=LIMIT)
    child.expect("any other key to continue")
    wait_until_polled()
    assert run("keys", "lodge", "esc").returncode == 0
    child.expect("Shell> ")
    assert run("keys", "lodge", "echo Lodge-_!", "enter").returncode == 0
    child.expect("\nLodge-_!\r")
    assert "hid.since=0" not in usb_keyboard()
    stop(child)


@needs_bios
def test_bios_boot_menu():
    child = spawn("run", "--firmware", "bios", "--engine", ENGINE,
                  "--boot-menu", "--display", "std", "--usb", timeout=LIMIT)
    child.expect("Press ESC for boot menu")
    wait_until_polled()
    assert run("keys", "lodge", "esc").returncode == 0
    child.expect("Select boot device")
    assert "hid.since=0" not in usb_keyboard()
    stop(child)


@needs_bios
@needs_nasm
def test_a_system_that_knows_no_usb(tmp_path):
    """What the BIOS drives it types by; then the other keyboard is its own."""
    path = tmp_path / "disk.img"
    code = subprocess.run(["nasm", "-f", "bin", "-o", "/dev/stdout", KEYS],
                          capture_output=True, check=True).stdout
    path.write_bytes(code.ljust(1440 << 10, b"\0"))
    child = spawn("run", "--firmware", "bios", "--engine", ENGINE,
                  "--display", "std", "--usb", "--floppy", path,
                  timeout=LIMIT)
    child.expect("ready")
    for key in "aq":
        assert run("keys", "lodge", key).returncode == 0
        child.expect(f"bios {key}")
    assert "hid.since=0" not in usb_keyboard()
    child.expect("alone")
    time.sleep(1)  # until it is known that the BIOS does not come back
    assert run("keys", "lodge", "xy").returncode == 0
    for scan_code in ("2d", "ad", "15", "95"):
        child.expect(f"code {scan_code}")
    stop(child)
