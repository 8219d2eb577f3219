# SPDX-License-Identifier: Apache-2.0
"""The KVM engine on a real KVM: kvm_amd in a machine of QEMU's TCG.

The machine's initramfs holds lodge, the default guest's kernel, initramfs and
KVM modules, test guests and the engine's unit tests. Its init (the file of
that name here) runs them one after the other, in one boot; each test here
looks at its part of what the machine said. Two emulations of time lie between
a guest and the clock: guests that fail are given a second machine.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from conftest import BUILD, SOURCE

sys.path.insert(0, str(SOURCE / "tests" / "guest"))
import run_guests  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
QEMU = shutil.which("qemu-system-x86_64")
GUEST = BUILD / "guest" / "default"
PROGRAMS = ["test-engine-kvm", "test-engine-kvm_debug", "test-engine-kvm_state"]
LIMIT = 360  # seconds; some 50 on a quiet machine
TRIES = 3  # QEMU's SVM has hung a processor now and then

# Guests whose checks QEMU's TCG (7.2) and KVM pass as the manuals say. Many
# others run, too, but miss some exception check, error code or debug trap; and
# vga_move has hundreds of thousands of exits, which take too long in there.
GUESTS = """
acpi_madt apic_deadline apic_init apic_ipi apic_lowest apic_nmi apic_oneshot
apic_periodic apic_prio apic_regs dbg_step dma_regs ex32_errors ex32_frame
ex32_ts ex_br ex_de ex_frame ex_ist ex_nm ex_of ex_triple hpet_count hpet_irq
in_bcd in_enter in_flags in_loop in_pusha ioapic_edge ioapic_level ioapic_regs
kbd_port mb_info mem_holes mode_far16 mode_long_back mode_pg32 mode_prot16
mode_real mode_vm86 mode_vm86_iopl pci_config pg_ad pg_demand pg_global pg_pat
pg_sizes pg_smep pg_us pg_wp pit_modes pm_events prv_iomap prv_iopl
prv_iret prv_retf rst_cf9 rst_kbd rst_port92 rtc_alarm rtc_time rw_checked
rw_compat rw_cross rw_debug rw_global rw_keys rw_large rw_remap rw_return
rw_share rw_smc rw_smp seg_callgate seg_callgate64 seg_df_task seg_lar seg_task
smc_cross smp_clock smp_locks smp_split smp_tlb smp_wake str_df str_intr str_io
str_pages sys_hlt sys_msr sys_nmi sys_shadow sys_sysenter sys_sysret sys_tsc
uart_fifo uart_irq uart_loop vga_lock vga_regs vga_smp xpage_data xpage_insn
""".split()


def guests():
    return [guest for guest in run_guests.load_table()
            if guest.name in GUESTS]


def libraries(programs):
    """Shared libraries that they need, by ldd."""
    found = set()
    for program in programs:
        text = subprocess.run(["ldd", program], check=True, text=True,
                              capture_output=True).stdout
        found.update(re.findall(r"(/\S+)", text))
    return sorted(found)


def make_initramfs(path, table):
    busybox = shutil.which("busybox", path="/bin:/usr/bin")
    programs = [BUILD / "tests" / "unit" / "engine" / name
                for name in PROGRAMS]
    names = {HERE / "init": "/init", HERE / "memory.awk": "/memory.awk",
             BUILD / "lodge": "/bin/lodge",
             GUEST / "vmlinux": "/guest/vmlinux",
             GUEST / "initrd": "/guest/initrd"}
    for name in ["irqbypass", "kvm", "kvm-amd"]:
        names[GUEST / "modules" / f"{name}.ko"] = f"/modules/{name}.ko"
    for program in programs:
        names[program] = f"/tests/{program.name}"
    for guest in table:
        image = BUILD / "tests" / "guest" / f"{guest.name}.bin"
        names[image] = f"/guests/{image.name}"
    listing = path.with_name("list")
    listing.write_text("".join(
        f"{g.name} {g.cpus} {g.memory} {g.display or 'none'}\n"
        for g in table))
    names[listing] = "/guests/list"
    for library in libraries([BUILD / "lodge", *programs]):
        names[library] = library
    subprocess.run([sys.executable, SOURCE / "guests" / "make_initrd.py",
                    path, "--busybox", busybox]
                   + [f"--file={source}:{name}"
                      for source, name in names.items()], check=True)


class Machine:
    """What the machine said, by the names of its parts."""

    def __init__(self, text):
        self.text = text.replace("\r", "")
        self.part, self.status = {}, {}
        start = 0
        for match in re.finditer(r"^@@ (\S+) (\d+)$", self.text, re.M):
            self.part[match[1]] = self.text[start:match.start()]
            self.status[match[1]] = int(match[2])
            start = match.end()

    def get(self, name):
        assert name in self.part, \
            f"no word of {name}:\n{self.text[-2000:]}"
        return self.part[name], self.status[name]

    def passes(self, guest):
        if guest.name not in self.part:
            return False
        verdict, _ = run_guests.judge(guest, "kvm", self.status[guest.name],
                                      self.part[guest.name])
        return verdict != "fail"

    def replace(self, other, table):
        """Takes what another machine said of the guests of `table`."""
        for guest in table:
            if guest.name in other.part:
                self.part[guest.name] = other.part[guest.name]
                self.status[guest.name] = other.status[guest.name]

    def report(self, name):
        text, status = self.get(name)
        assert status == 0, text
        return json.JSONDecoder().raw_decode(text, text.rindex("\n{") + 1)[0]


def boot(folder, table):
    """A machine that runs the guests of `table`, and all the rest."""
    make_initramfs(folder / "initramfs", table)
    command = [QEMU, "-accel", "tcg", "-machine", "q35", "-cpu", "EPYC",
               "-smp", "1", "-m", "2048", "-kernel", GUEST / "vmlinux",
               "-initrd", folder / "initramfs", "-append",
               "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable",
               "-display", "none", "-monitor", "none", "-serial", "stdio",
               "-nodefaults", "-no-reboot"]
    for attempt in range(TRIES):
        console = folder / f"console{attempt}"
        with open(console, "wb") as out:
            try:
                subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out,
                               stderr=subprocess.DEVNULL, timeout=LIMIT,
                               check=False)
            except subprocess.TimeoutExpired:
                pass
        text = console.read_bytes()
        if b"\n@@ end 0" in text:
            break
    (folder / "initramfs").unlink(missing_ok=True)
    return Machine(text.decode(errors="replace"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if not QEMU:
        pytest.skip("qemu-system-x86_64 is missing (qemu-system-x86)")
    if not (GUEST / "modules" / "kvm-amd.ko").exists():
        pytest.skip(f"no default guest with KVM modules in {GUEST}")
    if b"__asan_init" in (BUILD / "lodge").read_bytes():
        pytest.skip("built with sanitizers: far too slow in there")
    folder = tmp_path_factory.mktemp("kvm")
    first = boot(folder, guests())
    odd = [guest for guest in guests() if not first.passes(guest)]
    if odd:
        first.replace(boot(folder, odd), odd)
    return first


def test_host_offers_kvm(machine):
    text, status = machine.get("host")
    assert status == 0
    assert re.search(r"^engine kvm +usable$", text, re.M), text
    assert re.search(r"^engine auto +kvm: ", text, re.M), text


@pytest.mark.parametrize("name, cpus, mib", [("one", 1, 256),
                                             ("two", 2, 4096)])
def test_linux(machine, name, cpus, mib):
    """To the shell (one: again after a reboot) and to power-off."""
    report = machine.report(name)
    assert report["engine"] == "kvm"
    assert report["exit_reason"] == "power-off"
    assert report["exits"]["pio"] > 100
    seen, kib = re.search(r"^CPUS (\d+) (\d+)$", machine.get(name)[0],
                          re.M).groups()
    assert int(seen) == cpus
    assert 0.8 * mib < int(kib) / 1024 < mib


@pytest.mark.parametrize("name", ["one", "two"])
def test_disk(machine, name):
    """A virtio and an NVMe disk: messages by KVM, and what was written is
    there."""
    text, _ = machine.get(name)
    disk = re.search(r"^DISK (\w{32})", text, re.M)
    assert disk and disk[1] == re.search(r"^IMAGE (\w{32})", text, re.M)[1]


def test_linux_says_nothing_odd(machine):
    for name in ["one", "two"]:
        text, _ = machine.get(name)
        assert not re.search(r"WARNING|BUG|Oops|panic|inconsistent", text)


def test_auto_chose_kvm(machine):
    reason = machine.report("one")["engine_reason"]
    assert reason == "kvm is the best this host offers"


@pytest.mark.parametrize("name", ["one", "two"])
def test_memory_beyond_the_guest(machine, name):
    text, _ = machine.get(name)
    assert int(re.search(r"^BEYOND (\d+)$", text, re.M)[1]) <= 5 * 1024


@pytest.mark.parametrize("name", PROGRAMS)
def test_engine(machine, name):
    text, status = machine.get(name)
    assert status == 0 and "[  PASSED  ]" in text, text


@pytest.mark.parametrize("guest", guests(), ids=lambda guest: guest.name)
def test_guest(machine, guest):
    text, status = machine.get(guest.name)
    verdict, detail = run_guests.judge(guest, "kvm", status, text)
    if verdict == "skip":
        pytest.skip(detail)
    assert verdict == "pass", detail
