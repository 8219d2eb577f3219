# SPDX-License-Identifier: Apache-2.0
"""Firmware of the distribution, unmodified, up to its own shell."""
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import ENGINE, kill, run, shown, spawn, status_of

BIOS = pathlib.Path("/usr/share/seabios/bios-256k.bin")
UEFI = pathlib.Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
SHADOW = pathlib.Path(__file__).with_name("dos") / "shadow.asm"
PAM = pathlib.Path(__file__).with_name("firmware") / "pam.asm"
HELLO = pathlib.Path(__file__).with_name("firmware") / "hello.asm"
LIMIT = 180

needs_bios = pytest.mark.skipif(not BIOS.exists(),
                                reason="package seabios is missing")
needs_nasm = pytest.mark.skipif(not shutil.which("nasm"),
                                reason="package nasm is missing")
needs_uefi = pytest.mark.skipif(not UEFI.exists(),
                                reason="package ovmf is missing")


def stop(child):
    child.send("\x01x")
    assert status_of(child) == 0


@needs_bios
@pytest.mark.parametrize("cpus, memory", [(1, "64M"), (4, "3G")])
def test_bios_without_a_medium(cpus, memory):
    child = spawn("run", "--firmware", "bios", "--engine", ENGINE, "--cpus",
                  cpus, "--memory", memory, timeout=LIMIT)
    child.expect(r"SeaBIOS \(version")
    child.expect("No bootable device")
    stop(child)


@needs_bios
def test_bios_from_a_path():
    child = spawn("run", "--firmware", BIOS, "--engine", ENGINE,
                  timeout=LIMIT)
    child.expect(r"SeaBIOS \(version")
    stop(child)


@needs_bios
@needs_nasm
@pytest.mark.parametrize("cpus", [1, 2])
def test_bios_is_protected(tmp_path, cpus):
    """Its memory is not the guest's to write, unless the chipset says so."""
    path = tmp_path / "disk.img"
    code = subprocess.run(["nasm", "-f", "bin", "-o", "/dev/stdout", SHADOW],
                          capture_output=True, check=True).stdout
    path.write_bytes(code.ljust(1440 << 10, b"\0"))
    child = spawn("run", "--firmware", "bios", "--engine", ENGINE, "--floppy",
                  path, "--cpus", cpus, timeout=LIMIT)
    for step in ("protected", "opened", "protected again", "option rom"):
        assert child.expect([shown(f"{step} ok"), shown(" wrong")]) == 0, step
    child.expect(shown("over"))
    stop(child)


@needs_nasm
@pytest.mark.parametrize("cpus", [1, 2])
def test_what_pam_registers_show(tmp_path, cpus):
    """ROM or memory, read and written; code that is suddenly the other's."""
    path = tmp_path / "pam.bin"
    subprocess.run(["nasm", "-f", "bin", "-o", path, PAM], check=True)
    child = spawn("run", "--firmware", path, "--engine", ENGINE, "--cpus",
                  cpus, timeout=LIMIT)
    for step in ("mirror", "none", "write only", "read only", "both", "copy",
                 "code", "reset", "over"):
        assert child.expect([f"{step} ok", " wrong"]) == 0, step
    stop(child)


def boot_shell(*args):
    child = spawn("run", "--firmware", "uefi", "--engine", ENGINE, *args,
                  timeout=LIMIT)
    child.expect("any other key to continue")
    child.send("\x1b")
    child.expect("Shell> ")
    return child


@needs_uefi
def test_uefi_shell_and_its_variables(tmp_path):
    """A variable that is set is there after power-off, and after a kill."""
    name = tmp_path / "vars.fd"
    child = boot_shell("--uefi-vars", name)
    child.send("set lodge kept\r")
    child.expect("Shell> ")
    second = run("run", "--firmware", "uefi", "--uefi-vars", name,
                 "--engine", ENGINE)
    assert second.returncode == 1
    assert "another machine uses them" in second.stderr
    child.send("reset -s\r")
    assert status_of(child, timeout=LIMIT) == 0
    child = boot_shell("--uefi-vars", name, "--cpus", 2)
    child.send("set lodge\r")
    child.expect(r"lodge [^\r]*kept")
    child.expect("Shell> ")
    child.send("set other too\r")
    child.expect("Shell> ")
    kill(child)
    child = boot_shell("--uefi-vars", name)
    child.send("set other\r")
    child.expect(r"other [^\r]*too")
    stop(child)
    assert os.listdir(tmp_path) == ["vars.fd"]


@needs_uefi
@pytest.mark.skipif(not shutil.which("mformat"),
                    reason="package mtools is missing")
def test_uefi_variables_survive_kills(tmp_path):
    """In the midst of writes without end, when the store is tidied up too."""
    disk, script = tmp_path / "disk.img", tmp_path / "startup.nsh"
    name = tmp_path / "vars.fd"
    script.write_text("@echo -off\r\nfor %i run (1 100000)\r\n"
                      f"  set kept %i-{'x' * 400}-end\r\n"
                      "  echo at %i.\r\nendfor\r\n")
    subprocess.run(["mformat", "-C", "-f", "2880", "-i", disk, "::"],
                   check=True)
    subprocess.run(["mcopy", "-i", disk, script, "::"], check=True)
    for count in (30, 120, 140, 60):  # 256 KiB take some 280
        child = spawn("run", "--firmware", "uefi", "--engine", ENGINE,
                      "--uefi-vars", name, "--disk", disk, timeout=LIMIT)
        child.expect("any other key to continue")
        child.send("\r")
        child.expect(f"at {count}\\.")
        kill(child)
    child = boot_shell("--uefi-vars", name)
    child.send("set kept\r")
    child.expect(r"kept [^\r]*\d+-[x\s]{400,}-end")
    stop(child)


@pytest.fixture
def uefi_disk(tmp_path):
    """A file system with a program that UEFI starts from any medium."""
    if not (shutil.which("mformat") and shutil.which("xorriso")):
        pytest.skip("package mtools or xorriso is missing")
    path, program = tmp_path / "disk.img", tmp_path / "hello.efi"
    subprocess.run(["nasm", "-f", "bin", "-DWORDS=\"from the medium\"", "-o",
                    program, HELLO], check=True)
    for command in (["mformat", "-C", "-f", "2880", "-i", path, "::"],
                    ["mmd", "-i", path, "::/EFI", "::/EFI/BOOT"],
                    ["mcopy", "-i", path, program,
                     "::/EFI/BOOT/BOOTX64.EFI"]):
        subprocess.run([str(word) for word in command], check=True,
                       capture_output=True)
    return path


@needs_uefi
@needs_nasm
@pytest.mark.parametrize("bus", ["virtio", "ahci", "nvme", "ide"])
def test_uefi_boots_from_a_disk(uefi_disk, bus):
    child = spawn("run", "--firmware", "uefi", "--engine", ENGINE, "--disk",
                  f"{uefi_disk},format=raw,bus={bus}", timeout=LIMIT)
    child.expect("from the medium")
    stop(child)


@pytest.fixture
def uefi_linux(linux, tmp_path):
    """A disk of the default guest that UEFI starts, which it then resets by."""
    if not shutil.which("mformat"):
        pytest.skip("package mtools is missing")
    path, script = tmp_path / "disk.img", tmp_path / "startup.nsh"
    folder = pathlib.Path(linux[linux.index("--kernel") + 1]).parent
    append = linux[linux.index("--append") + 1]
    script.write_text("@echo -off\r\nfs0:\\vmlinuz initrd=\\initrd "
                      f"{append} reboot=efi\r\n")
    for command in (["mformat", "-C", "-T", "65536", "-h", "64", "-s", "32",
                     "-i", path, "::"],
                    ["mcopy", "-i", path, folder / "vmlinuz",
                     folder / "initrd", script, "::"]):
        subprocess.run([str(word) for word in command], check=True,
                       capture_output=True)
    return path


@needs_uefi
def test_linux_by_uefi_resets_and_powers_off(uefi_linux):
    """It has firmware's ACPI tables: all processors, and a way to power off;
    and UEFI's own reset works once the system runs."""
    child = spawn("run", "--firmware", "uefi", "--engine", ENGINE, "--disk",
                  f"{uefi_linux},format=raw", "--cpus", 2, timeout=LIMIT)
    for end in ("reboot", "poweroff"):
        child.expect("any other key to continue")
        child.send("\r")
        child.expect("lodge:/root# ")
        child.sendline("echo cpus $(nproc), $(cat /proc/acpi/wakeup "
                       "/sys/firmware/acpi/tables/FACP | wc -c) bytes")
        child.expect(r"cpus 2, \d{3,} bytes")
        child.sendline(end)
    assert status_of(child, timeout=LIMIT) == 0


@needs_uefi
@needs_nasm
@pytest.mark.parametrize("bus", ["ahci", "ide"])
def test_uefi_boots_from_a_cd(uefi_disk, tmp_path, bus):
    """By El Torito's entry for UEFI."""
    cd, folder = tmp_path / "cd.iso", tmp_path / "cd"
    folder.mkdir()
    shutil.copy(uefi_disk, folder / "efi.img")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-e", "efi.img",
                    "-no-emul-boot", "-o", cd, folder], check=True,
                   capture_output=True)
    child = spawn("run", "--firmware", "uefi", "--engine", ENGINE, "--cdrom",
                  f"{cd},bus={bus}", timeout=LIMIT)
    child.expect("from the medium")
    stop(child)


@pytest.mark.parametrize("args, words", [
    (["--firmware", "coreboot"], "give none, bios, uefi or the path"),
    (["--firmware", "bios", "--kernel", "vmlinuz"], "is for --firmware none"),
    (["--uefi-vars", "x"], "--firmware uefi"),
    (["--firmware", "bios", "--uefi-vars", "x"], "--firmware uefi"),
    (["--boot-menu"], "--firmware"),
])
def test_wrong_usage(args, words):
    result = run("run", *args)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_image_that_is_none(tmp_path):
    path = tmp_path / "rom"
    path.write_bytes(b"no firmware")
    result = run("run", "--firmware", path, "--engine", ENGINE)
    assert result.returncode == 1
    assert "11 bytes are no firmware image" in result.stderr
    result = run("run", "--firmware", tmp_path / "none", "--engine", ENGINE)
    assert result.returncode == 1
    assert "no such file" in result.stderr


@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
def test_an_image_without_code(tmp_path, byte):
    """As one of variables has none."""
    path = tmp_path / "rom"
    path.write_bytes(b"_FVH" + byte * (0x20000 - 4))
    result = run("run", "--firmware", path, "--engine", ENGINE)
    assert result.returncode == 1
    assert "no code where a processor starts" in result.stderr
    assert result.stderr.count("\n") == 1


@needs_uefi
def test_variables_that_are_none(tmp_path):
    path = tmp_path / "vars"
    path.write_bytes(bytes(UEFI.with_name("OVMF_VARS_4M.fd").stat().st_size))
    result = run("run", "--firmware", "uefi", "--uefi-vars", path,
                 "--engine", ENGINE)
    assert result.returncode == 1
    assert "there are none in it; move the file away" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not any(path.read_bytes())


@needs_uefi
def test_variables_of_another_size(tmp_path):
    path = tmp_path / "vars"
    path.write_bytes(b"x" * 4096)
    result = run("run", "--firmware", "uefi", "--uefi-vars", path,
                 "--engine", ENGINE)
    assert result.returncode == 1
    assert "move the file away" in result.stderr
