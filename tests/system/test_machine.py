# SPDX-License-Identifier: Apache-2.0
"""How a machine ends, its report, and guests that mean harm."""
import subprocess
import time

import pytest

import tiny
from conftest import ENGINE, LODGE, rests, run


# --- exit status ---------------------------------------------------------------

def test_power_off(make_kernel):
    assert run(*make_kernel(tiny.power_off())).returncode == 0


@pytest.mark.parametrize("value", [0, 1, 5, 42])
def test_debug_exit(make_kernel, value):
    result = run(*make_kernel(tiny.debug_exit(value)), "--testdev")
    assert result.returncode == (value << 1 | 1) & 0xFF


def test_no_debug_exit_without_testdev(make_kernel):
    code = tiny.out32(0xF4, 5) + tiny.power_off()
    assert run(*make_kernel(code)).returncode == 0


def test_power_off_with_testdev(make_kernel):
    assert run(*make_kernel(tiny.power_off()), "--testdev").returncode == 0


def test_triple_fault_prints_state(make_kernel, report):
    result = run(*make_kernel(tiny.TRIPLE_FAULT, tiny.NO_IDT), "--name", "bad",
                 "--report", report.path)
    assert result.returncode == 3
    assert "processor 0" in result.stderr
    assert "rip" in result.stderr.lower() and "cr0" in result.stderr.lower()
    assert result.stderr.splitlines()[-1].startswith(
        "lodge: bad crashed: triple fault")
    assert report.read()["exit_reason"] == "crash"


def test_reset_with_no_reboot(make_kernel, report):
    result = run(*make_kernel(tiny.RESET), "--no-reboot", "--report",
                 report.path)
    assert result.returncode == 0
    assert report.read()["exit_reason"] == "reset"


def test_reset_starts_anew(make_kernel, tmp_path):
    """Six resets, counted in the CMOS memory, which survives them."""
    address = b"\xB0\x60\xE6\x70"  # mov al, 0x60; out 0x70, al
    code = (tiny.text("boot\n") + address +
            b"\xE4\x71\xFE\xC0\x88\xC3" +  # in al, 0x71; inc al; mov bl, al
            address + b"\x88\xD8\xE6\x71" +  # mov al, bl; out 0x71, al
            b"\x80\xFB\x06" +  # cmp bl, 6
            b"\x72" + bytes([len(tiny.power_off())]) +  # jb reset
            tiny.power_off() + tiny.RESET)
    log = tmp_path / "log"
    result = run(*make_kernel(code), "--serial", f"file:{log}")
    assert result.returncode == 0, result.stderr
    assert log.read_text() == "boot\n" * 6


def test_modules_are_loaded(make_kernel, tmp_path):
    """The multiboot information gives the second module's first byte."""
    (tmp_path / "one").write_bytes(b"A")
    (tmp_path / "two").write_bytes(b"B")
    # mov eax, [ebx+24] (mods_addr); mov ecx, [eax+16] (second's start);
    # mov eax, 0; mov al, [ecx]; out 0xf4, eax
    code = (b"\x8B\x43\x18\x8B\x48\x10\xB8\0\0\0\0\x8A\x01"
            b"\x66\xBA\xF4\x00\xEF") + tiny.HALT
    result = run(*make_kernel(code), "--testdev", "--module",
                 tmp_path / "one", "--module", tmp_path / "two")
    assert result.returncode == (ord("B") << 1 | 1) & 0xFF, result.stderr


def test_module_arguments(make_kernel, tmp_path):
    """The string of the first module is its path and its arguments."""
    module = tmp_path / "one"
    module.write_bytes(b"A")
    # mov eax, [ebx+24] (mods_addr); mov ecx, [eax+8] (string);
    # mov eax, 0; mov al, [ecx + its last byte]; out 0xf4, eax
    last = len(f"{module} x=y")
    code = (b"\x8B\x43\x18\x8B\x48\x08\xB8\0\0\0\0\x8A\x81"
            + (last - 1).to_bytes(4, "little")
            + b"\x66\xBA\xF4\x00\xEF") + tiny.HALT
    result = run(*make_kernel(code), "--testdev", "--module", f"{module} x=y")
    assert result.returncode == (ord("y") << 1 | 1) & 0xFF, result.stderr


@pytest.mark.parametrize("signal", [subprocess.signal.SIGTERM,
                                    subprocess.signal.SIGINT,
                                    subprocess.signal.SIGHUP])
def test_signals_stop_it(make_kernel, report, signal):
    child = subprocess.Popen([LODGE, *map(str, make_kernel(tiny.HALT)),
                              "--report", report.path],
                             stdin=subprocess.DEVNULL)
    time.sleep(0.5)
    child.send_signal(signal)
    assert child.wait(10) == 0
    assert report.read()["exit_reason"] == "stopped"


# --- report ---------------------------------------------------------------------

KEYS = {
    "engine": str, "engine_reason": str,
    "seconds_to_first_instruction": float, "seconds": float,
    "exit_reason": str, "exits": dict, "instructions": (int, type(None)),
    "host_memory_peak_bytes": int, "guest_memory_touched_bytes": int,
}


def test_report_keys(make_kernel, report):
    result = run(*make_kernel(tiny.text("x") * 10 + tiny.power_off()),
                 "--serial", "none", "--report", report.path)
    assert result.returncode == 0
    content = report.read()
    assert set(content) == set(KEYS)
    for key, kind in KEYS.items():
        assert isinstance(content[key], kind), key
    assert content["engine"] == ENGINE
    assert content["engine_reason"]
    assert content["exit_reason"] == "power-off"
    assert set(content["exits"]) == {"pio", "mmio", "halt", "interrupt",
                                     "fault", "emulated", "kick"}
    assert content["exits"]["pio"] >= 11
    assert 0 < content["seconds_to_first_instruction"] < content["seconds"]
    assert content["guest_memory_touched_bytes"] > 0
    assert content["host_memory_peak_bytes"] > 1 << 20


def test_report_replaces_an_old_one(make_kernel, report):
    report.path.write_text("old " * 10000)
    run(*make_kernel(tiny.power_off()), "--report", report.path)
    assert report.read()["exit_reason"] == "power-off"
    assert len(list(report.path.parent.glob("report*"))) == 1


def test_report_to_a_pipe(make_kernel):
    result = run(*make_kernel(tiny.power_off()), "--serial", "none",
                 "--report", "/dev/stdout")
    assert '"exit_reason": "power-off"' in result.stdout


# --- hostile guests --------------------------------------------------------------

def guard(code):
    """What must be survived, then a debug exit that proves it was."""
    return code + tiny.debug_exit(21)


def idt_with_gates(handler):
    """lidt; the table at BASE + 0x1010 has 256 gates to `handler`."""
    table = tiny.BASE + 0x1010
    gate = (bytes([handler & 0xFF, handler >> 8 & 0xFF, 0x10, 0, 0, 0x8E]) +
            (handler >> 16).to_bytes(2, "little"))
    return (b"\xFF\x07" + table.to_bytes(4, "little")).ljust(16, b"\0") + (
        gate * 256)


STACK = b"\xBC\0\0\x09\0"  # mov esp, 0x90000
LIDT = b"\x0F\x01\x1D" + (tiny.BASE + 0x1000).to_bytes(4, "little")

SURVIVED = {
    "writes to ROM": tiny.store32(0xF0000, 0x12345678) +
                     tiny.store32(0xFFFF0, 1),
    "reads absent MMIO": tiny.load32(0xD0000000) + tiny.load32(0xFFFFFFF0),
    "writes absent MMIO": tiny.store32(0xD0000000, 1) +
                          tiny.store32(0xFEC10000, 2),
    "memory beyond its end": tiny.store32(0x40000000, 1) +
                             tiny.load32(0xBFFFFFFC),
    "every port written": b"\x66\xBA\x00\x10" + b"\xEE\x66\x42" +
                          b"\x66\x83\xFA\xFF\x75\xF7",
    "garbage into the LAPIC":
        b"".join(tiny.store32(0xFEE00000 + offset, 0xFFFFFFFF)
                 for offset in range(0x80, 0x400, 0x10)
                 if offset not in (0x300, 0x310)),
    "unaligned LAPIC accesses":
        b"".join(tiny.store32(0xFEE00000 + offset, 0xA5A5A5A5) +
                 tiny.load32(0xFEE00000 + offset)
                 for offset in range(1, 0x400, 0x33)
                 if offset & ~15 not in (0x300, 0x310)),
    "garbage into the IOAPIC":
        b"".join(tiny.store32(0xFEC00000, index) +
                 tiny.store32(0xFEC00010, 0xFFFFFFFF)
                 for index in list(range(0x50)) + [0xFF]),
    "an IPI storm to nobody":
        (tiny.store32(0xFEE00310, 0x7F000000) +
         tiny.store32(0xFEE00300, 0x000040FF)) * 20,
}


@pytest.mark.parametrize("name", SURVIVED)
def test_survived(make_kernel, name):
    result = run(*make_kernel(guard(SURVIVED[name])), "--testdev", "--serial",
                 "none", timeout=60)
    assert result.returncode == 43, result.stderr


CRASHED = {
    "jumps into nothing": b"\xE9" + (0xD0000000 - tiny.BASE - tiny.CODE -
                                     5).to_bytes(4, "little"),
    "pushes with no stack": b"\xBC\0\0\0\xD0" + b"\x60" * 4,
    "no paging structures": b"\xB8\x00\x00\x00\xD0\x0F\x22\xD8"
                            b"\x0F\x20\xC0\x0D\x00\x00\x00\x80\x0F\x22\xC0",
}


@pytest.mark.parametrize("name", CRASHED)
def test_crashed_or_stays(make_kernel, name):
    """Ends as a crash, or loops until it is stopped; nothing worse."""
    try:
        result = run(*make_kernel(CRASHED[name] + tiny.TRIPLE_FAULT,
                                  tiny.NO_IDT), "--serial", "none", timeout=5)
    except subprocess.TimeoutExpired:
        return
    assert result.returncode == 3, result.stderr


LOOPS = {
    "faults for ever": (LIDT + STACK + b"\x0F\x0B",
                        idt_with_gates(tiny.BASE + tiny.CODE + len(LIDT))),
    "spins": (tiny.SPIN, b""),
    "halts with interrupts off": (tiny.HALT, b""),
    "floods the console": (tiny.FLOOD, b""),
}


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_looping_guest_can_be_stopped(make_kernel, name, cpus):
    code, data = LOOPS[name]
    child = subprocess.Popen([LODGE, *map(str, make_kernel(code, data)),
                              "--cpus", str(cpus)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL)
    time.sleep(0.7)
    assert child.poll() is None
    child.terminate()
    assert child.wait(10) == 0


def test_a_halted_guest_uses_no_processor_time(make_kernel):
    child = subprocess.Popen([LODGE, *map(str, make_kernel(tiny.HALT)),
                              "--cpus", "4"], stdin=subprocess.DEVNULL)
    try:
        assert rests(child.pid, 0.01)
    finally:
        child.terminate()
        child.wait(10)
