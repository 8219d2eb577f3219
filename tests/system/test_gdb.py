# SPDX-License-Identifier: Apache-2.0
"""A debugger on the machine: our own small client, and stock gdb."""
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
from xml.etree import ElementTree

import pytest

import tiny
from conftest import ENGINE, run
from gdb_client import RAX, RBX, RIP, Client, Debugged
from test_linux import boot


pytestmark = pytest.mark.skipif(
    ENGINE == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK),
    reason="no /dev/kvm")

START = tiny.BASE + tiny.CODE
DATA = tiny.BASE + 0x1000
# CR4.OSFXSR and OSXSAVE; XCR0: x87, SSE, AVX
ENABLE_AVX = (b"\x0F\x20\xE0\x0D\x00\x02\x04\x00\x0F\x22\xE0"
              b"\x31\xC9\x31\xD2\xB8\x07\0\0\0\x0F\x01\xD1")
# inc eax; mov [DATA], eax; jmp back: 1, 5 and 2 bytes
COUNT = b"\x31\xC0" + b"\x40\xA3" + struct.pack("<I", DATA) + b"\xEB\xF8"
LOOP = START + 2


@pytest.fixture
def debug(make_kernel):
    """Starts a tiny kernel under the debugger."""
    started = []

    def start(code, data=b"\0" * 16, *options, **kwargs):
        it = Debugged([*make_kernel(code, data), *options], **kwargs)
        started.append(it)
        return it
    yield start
    for it in started:
        it.__exit__()


def set_point(client, kind, address, size=1):
    answer = client.ask(f"Z{kind},{address:x},{size:x}")
    if ENGINE == "kvm" and kind >= 2 and answer == "E16":
        pytest.skip("this host's KVM has no watchpoints")
    assert answer == "OK"


def remove_point(client, kind, address, size=1):
    assert client.ask(f"z{kind},{address:x},{size:x}") == "OK"


# --- stopping and going on ------------------------------------------------------

def test_waits_and_runs_to_the_end(debug):
    it = debug(tiny.text("hello\n") + tiny.power_off())
    client = it.connect()
    assert client.ask("?").startswith("T05thread:1;")
    assert client.register(RIP) == START
    assert client.ask("c") == "W00"
    out, err, status = it.end()
    assert out == "hello\n" and status == 0, err


def test_attaches_to_a_running_guest(debug):
    it = debug(COUNT, wait=False)
    client = it.connect()
    client.no_ack()
    assert START <= client.register(RIP) < START + len(COUNT)
    before = client.register(RAX)
    for _ in range(1000):
        client.send("vCont;c")
        assert client.interrupt().startswith("T02")
    assert client.register(RAX) != before
    assert client.ask("D") == "OK"
    client = it.connect()
    assert client.ask("?").startswith("T05")


def test_goes_on_when_the_debugger_leaves(debug):
    it = debug(tiny.text("x") + tiny.power_off())
    client = it.connect()
    set_point(client, 0, START)
    client.close()
    assert it.end()[2] == 0


def test_kill_stops_the_machine(debug):
    it = debug(COUNT)
    client = it.connect()
    client.send("k")
    assert it.end()[2] == 0


def test_crash_is_told(debug):
    it = debug(tiny.TRIPLE_FAULT, tiny.NO_IDT)
    assert it.connect().ask("c") == "X06"
    assert it.end()[2] == 3


def test_monitor_reset_stops_at_the_start(debug):
    it = debug(COUNT)
    client = it.connect()
    for _ in range(5):
        assert client.ask("s").startswith("T05")
    assert client.register(RIP) != START
    client.monitor("reset")
    assert client.register(RIP) == START
    client.ask("s")
    assert client.register(RIP) == START + 2


# --- stepping, breakpoints and watchpoints ----------------------------------------

def test_steps(debug):
    client = debug(COUNT).connect()
    for rip in START + 2, START + 3, START + 8, START + 2, START + 3:
        assert client.ask("vCont;s:1").startswith("T05thread:1;")
        assert client.register(RIP) == rip
    assert client.register(RAX) == 2
    assert client.memory(DATA, 4) == struct.pack("<I", 1)


@pytest.mark.parametrize("kind", [0, 1])
def test_breakpoint(debug, kind):
    """In code that has long been hot, and again each time round."""
    it = debug(COUNT, wait=False)
    client = it.connect()
    assert client.ask("qSupported:swbreak+;hwbreak+").find("swbreak+") >= 0
    set_point(client, kind, LOOP + 1)
    word = ["swbreak", "hwbreak"][kind]
    assert client.ask("c") == f"T05thread:1;{word}:;"
    before = client.register(RAX)
    assert client.register(RIP) == LOOP + 1
    assert client.memory(LOOP, 2) == b"\x40\xA3"
    for n in range(1, 4):
        assert client.ask("s").startswith("T05")
        assert client.ask("c").startswith("T05")
        assert client.register(RAX) == before + n
    remove_point(client, kind, LOOP + 1)
    client.send("c")
    assert client.interrupt().startswith("T02")


def test_breakpoint_leaves_no_trace(debug):
    """The guest adds up its own code, with a breakpoint in it."""
    code = (b"\xBE" + struct.pack("<I", START) +  # mov esi, START
            b"\xB9\x40\0\0\0\x31\xC0"  # mov ecx, 64; xor eax, eax
            b"\x0F\xB6\x16\x01\xD0\x46\xE2\xF8" +  # movzx, add, inc, loop
            b"\x90" + tiny.power_off())
    code = code.ljust(64, b"\x90")
    client = debug(code).connect()
    # KVM marks the code of those in software
    set_point(client, int(ENGINE == "kvm"),
              START + code.index(b"\xE2\xF8") + 2)
    set_point(client, 1, START + 1)
    assert client.ask("c").startswith("T05")
    assert client.register(RAX) == sum(code)


@pytest.mark.skipif(ENGINE != "kvm", reason="four are a limit of KVM's")
def test_debug_registers_run_out(debug):
    """The fifth is refused, with the reason, and changes nothing."""
    it = debug(COUNT)
    client = it.connect()
    for i in range(4):
        set_point(client, 1, DATA + i)
    assert client.ask(f"Z1,{LOOP:x},1") == "E16"
    remove_point(client, 1, DATA + 3)
    set_point(client, 1, LOOP)
    assert client.ask("c").startswith("T05")
    assert client.register(RIP) == LOOP
    client.send("k")
    assert "gdb: hardware breakpoints" in it.end()[1]


@pytest.mark.parametrize("kind, hits", [(2, 1), (3, 2), (4, 2)])
def test_watchpoint(debug, kind, hits):
    """A loop that runs hot before it touches the watched word."""
    loop = (b"\xB9\x00\x00\x01\x00"  # mov ecx, 65536
            b"\xA3" + struct.pack("<I", DATA + 8) + b"\xE2\xF9")
    write = b"\xB8\x78\x56\x34\x12\xA3" + struct.pack("<I", DATA)
    read = b"\x8B\x1D" + struct.pack("<I", DATA)
    code = loop + write + b"\x90" + read + b"\x90" + tiny.power_off()
    client = debug(code).connect()
    set_point(client, kind, DATA, 4)
    word = {2: "watch", 3: "rwatch", 4: "awatch"}[kind]
    kind = 4 if ENGINE == "kvm" and kind == 3 else kind  # as processors do
    behind = {1: START + len(loop + write),
              2: START + len(loop + write) + 1 + len(read)}
    first = 1 if kind != 3 else 2
    for hit in range(first, hits + 1):
        assert client.ask("c") == f"T05thread:1;{word}:{DATA:x};"
        assert client.register(RIP) == behind[hit]
    assert client.register(RBX) == (0x12345678 if hits == 2 else
                                    client.register(RBX))
    assert client.ask("c") == "W00"


def test_debug_registers_are_the_guests(debug):
    """What the guest reads from DR0, DR6 and DR7 has no breakpoint in it."""
    code = (b"\x0F\x21\xC0\x0F\x21\xF3\x0F\x21\xF9" +  # dr0, dr6, dr7
            b"\x90" + tiny.power_off())
    client = debug(code).connect()
    set_point(client, 1, START + 9)
    set_point(client, 2, DATA, 4)
    assert client.ask("c").startswith("T05")
    assert client.register(RAX) == 0
    assert client.register(RBX) == 0xFFFF0FF0
    assert client.register(2) == 0x400


# --- registers and memory ---------------------------------------------------------

def test_registers(debug):
    client = debug(COUNT).connect()
    whole = client.ask("g")
    assert client.ask("G" + whole) == "OK"
    assert client.ask("g") == whole
    assert client.ask("P0=8877665544332211") == "OK"
    assert client.register(RAX) == 0x1122334455667788
    assert client.ask("g")[:16] == "8877665544332211"
    registers = target(client)
    assert list(registers).index("efer") == 16 + 8 + 16 + 17 + 2 + 6 - 1
    assert len(whole) == 2 * sum(registers.values())
    assert client.ask(f"p{len(registers):x}") == "E16"
    # xmm3 keeps its 16 bytes
    assert client.ask("P2b=" + "5a" * 16) == "OK"
    assert client.ask("p2b") == "5a" * 16


def target(client):
    """Sizes of registers by their names, in their order."""
    xml, more = "", "m"
    while more == "m":
        answer = client.ask(
            f"qXfer:features:read:target.xml:{len(xml):x},fff")
        more, xml = answer[0], xml + answer[1:]
    return {reg.get("name"): int(reg.get("bitsize")) // 8
            for reg in ElementTree.fromstring(
                re.sub("<!DOCTYPE[^>]*>", "", xml)).iter("reg")}


def host_has(*flags):
    words = pathlib.Path("/proc/cpuinfo").read_text().split()
    return all(flag in words for flag in flags)


@pytest.mark.skipif(not host_has("avx"), reason="the host has no AVX")
def test_avx_registers(debug):
    """The guest has what is written, halves in their places."""
    client = debug(ENABLE_AVX + b"\x90" +
                   b"\xC5\xFC\x11\x05" + struct.pack("<I", DATA) +  # vmovups
                   b"\xC5\xFC\x10\x0D" + struct.pack("<I", DATA) +  # to ymm1
                   b"\xEB\xFE", b"\0" * 64).connect()
    names = list(target(client))
    number = names.index
    while client.register(RIP) != START + len(ENABLE_AVX):
        client.ask("s")
    low, high = "11" * 16, "22" * 8 + "33" * 8
    assert client.ask(f"P{number('xmm0'):x}={low}") == "OK"
    assert client.ask(f"P{number('ymm0h'):x}={high}") == "OK"
    for _ in range(3):
        client.ask("s")
    assert client.memory(DATA, 32).hex() == low + high
    assert client.ask(f"p{number('ymm1h'):x}") == high
    assert client.ask(f"p{number('ymm15h'):x}") == "00" * 16


@pytest.mark.skipif(not host_has("avx512f", "avx512bw", "avx512vl"),
                    reason="the host has no AVX-512")
@pytest.mark.skipif(ENGINE != "soft", reason="the host's KVM may lack it")
def test_avx512_registers(debug):
    client = debug(COUNT).connect()
    registers = target(client)
    names = [name for name in registers
             if name == "pkru" or re.fullmatch(
                 r"k\d|[yz]mm\d+h|xmm(1[6-9]|[23]\d)", name)]
    assert len(names) == 16 + 8 + 16 + 16 + 16 + 16 + 1
    for n, name in enumerate(names):
        value = bytes([n + 1]).hex() * registers[name]
        number = list(registers).index(name)
        assert client.ask(f"P{number:x}={value}") == "OK"
    whole = client.ask("g")
    assert client.ask("G" + whole) == "OK"
    for n, name in enumerate(names):
        number = list(registers).index(name)
        assert client.ask(f"p{number:x}") == \
            bytes([n + 1]).hex() * registers[name]


def test_memory(debug):
    client = debug(COUNT).connect()
    assert client.memory(START, len(COUNT)) == COUNT
    assert client.ask(f"M{DATA:x},4:01020304") == "OK"
    assert client.memory(DATA, 4) == b"\1\2\3\4"
    assert client.ask("m10000000,4") == "E0e"
    assert client.ask("M10000000,1:00") == "E0e"
    # code that is written to runs as written: xor eax, eax -> mov al, 7
    assert client.ask(f"M{START:x},2:b007") == "OK"
    client.ask("s")
    assert client.register(RAX) & 0xFF == 7


def test_monitor(debug):
    client = debug(COUNT).connect()
    assert "cr0" in client.monitor("info registers").lower()
    assert "ram" in client.monitor("info mem")
    assert f"{START:016x} -> {START:016x}" in client.monitor(
        f"info tlb {START:x}")
    assert "physical" in client.monitor("phys on")
    assert client.memory(START, 2) == COUNT[:2]
    assert "linear" in client.monitor("phys off")
    assert "help" in client.monitor("help")
    assert "no such command" in client.monitor("frobnicate")


def test_threads(debug):
    client = debug(COUNT, b"\0" * 16, "--cpus", "3").connect()
    assert client.ask("qfThreadInfo") == "m1,2,3"
    assert client.ask("qsThreadInfo") == "l"
    assert "not started" in bytes.fromhex(
        client.ask("qThreadExtraInfo,2")).decode()
    assert client.ask("Hg2") == "OK"
    assert client.register(RIP) != START
    assert client.ask("Hg1") == "OK"
    assert client.register(RIP) == START
    assert client.ask("T3") == "OK" and client.ask("T4") == "E16"
    assert client.ask("vCont;s:1;c").startswith("T05thread:1;")


# --- bad input ----------------------------------------------------------------------

def test_bad_packets(debug):
    it = debug(COUNT)
    client = it.connect()
    client.raw(b"$g#00")
    assert client.byte() == b"-"
    for text in ("m", "m1", "m,", "mffffffffffffffff,ffffffff", "Z0", "Z9,1,1",
                 "Z2,0,0", "Z2,ffffffffffffffff,10", "P", "P0=", "G00", "Hx1",
                 "Hg99", "vCont", "vCont;", "vCont;s:99", "vCont;x", "qRcmd,1",
                 "qXfer:features:read:target.xml:ffffffff,10", "T", "p",
                 "M0,10:00", "M0,ffffffffffffffff:", "", "\x7f", "vNothing"):
        answer = client.ask(text)
        assert answer == "" or answer[0] == "E", (text, answer)
    client.raw(b"$" + b"m" * 100000 + b"#00")
    assert client.byte() == b"-"
    assert client.ask("?").startswith("T05")


def test_second_debugger_is_turned_away(debug):
    it = debug(COUNT)
    first = it.connect()
    assert first.ask("?").startswith("T05")
    second = it.connect()
    with pytest.raises((EOFError, ConnectionError)):
        second.ask("?")
    assert first.ask("?").startswith("T05")


def test_port_in_use(make_kernel):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(*make_kernel(COUNT), "--gdb", port)
    assert result.returncode == 1
    assert result.stderr == (f"lodge: gdb port {port}: in use; give another "
                             "one, or 0 for any\n")


@pytest.mark.parametrize("where", ["x", "70000", "host:1", "1.2.3.4:", ""])
def test_bad_address(make_kernel, where):
    result = run(*make_kernel(COUNT), "--gdb", where)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "ADDRESS:PORT" in result.stderr


def test_wait_needs_gdb(make_kernel):
    result = run(*make_kernel(COUNT), "--gdb-wait")
    assert result.returncode == 2 and "--gdb" in result.stderr


def test_unix_socket(debug, tmp_path):
    path = tmp_path / "gdb"
    it = debug(COUNT, where=f"unix:{path}")
    client = Client(str(path))
    assert client.ask("?").startswith("T05")
    client.send("k")
    assert it.end()[2] == 0
    assert not path.exists()


# --- stock gdb on Linux --------------------------------------------------------------

def runs_linux():
    """Whether lodge thinks well of this host's KVM."""
    return re.search("^engine kvm +usable$", run("host").stdout, re.M)


def symbol_file(folder, symbols):
    """A file with these names for gdb: code that takes no room."""
    start = min(symbols.values())
    source, made = folder / "symbols.s", folder / "symbols"
    source.write_text(
        '.section .code, "ax", @nobits\n.skip 0x4000000\n' + "".join(
            f".globl {name}\n.type {name}, @function\n"
            f".set {name}, .code + {at - start:#x}\n"
            for name, at in symbols.items()))
    subprocess.run(["as", "-o", f"{made}.o", source], check=True)
    subprocess.run(["ld", f"--section-start=.code={start:#x}", "-e", "0", "-o",
                    made, f"{made}.o"], check=True)
    return made


def gdb(place, *commands, timeout=120):
    words = ["gdb", "-nx", "-q", "-batch", "-ex", "set confirm off",
             "-ex", f"target remote {place}"]
    for command in commands:
        words += ["-ex", command]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.skipif(not shutil.which("gdb") or not host_has("avx"),
                    reason="gdb or AVX is missing")
def test_stock_gdb_knows_avx(debug):
    it = debug(COUNT)
    commands = ["set $ymm3.v4_int64[3] = 0x1234", "p $ymm3.v4_int64",
                "p/x $xmm3.uint128"]
    expected = ["= {0, 0, 0, 4660}", "= 0x0"]
    if host_has("avx512f", "avx512bw", "avx512vl"):
        commands += ["set $k3 = 0x5678", "info registers k3",
                     "set $zmm20.v8_int64[7] = 77", "p $zmm20.v8_int64",
                     "set $xmm20.v4_int32[1] = 5", "p $ymm20.v8_int32"]
        expected += ["0x5678", "= {0, 0, 0, 0, 0, 0, 0, 77}",
                     "= {0, 5, 0, 0, 0, 0, 0, 0}"]
    output, _ = gdb(it.place, *commands, "info registers fs_base pkru",
                    "kill").communicate(timeout=60)
    for text in [*expected, "fs_base "]:
        assert text in output, output


@pytest.mark.skipif(ENGINE == "kvm" and not runs_linux(),
                    reason="KVM does not run kernels in hardware here")
@pytest.mark.skipif(not shutil.which("gdb") or not shutil.which("as"),
                    reason="gdb or as is not installed")
@pytest.mark.parametrize("cpus", [1, 2])
def test_linux(linux, tmp_path, cpus):
    """Stops at a kernel symbol, looks around, steps, watches a word of the
    kernel, and lets it go on to its end."""
    place = tmp_path / "gdb"
    shell = boot(linux, "--cpus", cpus, "--gdb", f"unix:{place}")
    names = "__x64_sys_sethostname|do_syscall_64|jiffies_64|linux_banner"
    symbols = {name: int(at, 16) for at, _, name in (
        line.split()[:3] for line in shell.run(
            f"grep -E ' ({names})$' /proc/kallsyms").splitlines())}
    debugger = gdb(
        place, f"symbol-file {symbol_file(tmp_path, symbols)}",
        "break *&__x64_sys_sethostname", "continue",
        "printf \"stop %lx\\n\", $pc",
        "backtrace 2", "stepi", "stepi", "printf \"stop %lx\\n\", $pc",
        "info threads", "x/s &linux_banner", "delete",
        "watch *(unsigned long long *)&jiffies_64", "continue", "delete",
        "monitor info registers", "detach")
    # Then the guest has been stopped.
    while not debugger.stdout.readline().startswith("Breakpoint 1 at"):
        assert debugger.poll() is None
    shell.child.sendline("hostname debugged")
    output, _ = debugger.communicate(timeout=120)
    shell.wait()
    at = symbols["__x64_sys_sethostname"]
    assert f"stop {at:x}\n" in output, output
    first, second = [int(line.split()[1], 16) for line in output.splitlines()
                     if line.startswith("stop ")]
    assert first < second < first + 30, output
    assert "in __x64_sys_sethostname" in output, output
    assert "in do_syscall_64" in output, output
    assert "Linux version" in output, output
    assert output.count("(processor ") == cpus, output
    assert "Old value = " in output and "New value = " in output, output
    assert "efer" in output.lower()
    assert shell.run("hostname") == "debugged"
    assert shell.power_off() == 0
