# SPDX-License-Identifier: Apache-2.0
"""System tests of Linux guests on a real KVM: the same tests as on the
software processor, run by pytest in a machine of QEMU's TCG that has kvm_amd.

The machine's root file system is made of this one: Python with pytest, lodge
and its guests, and the tests. Each test here looks at one line of what pytest
said in there. Tests that fail are given other machines, four in all (see test_kvm.py).
"""
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import time

import pytest

from conftest import BUILD, SOURCE
from test_kvm import GUEST, QEMU, libraries

HERE = pathlib.Path(__file__).resolve().parent
MKE2FS = pathlib.Path("/sbin/mke2fs")
LIMIT = 1200  # seconds; some 200 on a quiet machine
SILENT = 120  # seconds without a beat: QEMU's SVM has hung the processor
TRIES = 4
MODULES = ["pytest", "_pytest", "pexpect", "ptyprocess", "pluggy", "iniconfig",
           "packaging", "attr", "attrs", "py", "exceptiongroup", "tomli"]
NOT_PYTHON = ["test", "idlelib", "ensurepip", "lib2to3", "tkinter",
              "turtledemo", "pydoc_data", "config-*", "site-packages",
              "dist-packages"]

# Of each kind of device what it is for; what looks for bad input, for time or
# for the host's side does not depend on the engine.
TESTS = """
test_linux.py::test_power_button
test_disk.py::test_reads_and_writes[1]
test_disk.py::test_reads_and_writes[2]
test_nvme.py::test_reads_and_writes[1-]
test_attach.py::test_disks_come_and_go[1]
test_attach.py::test_nvme
test_balloon.py::test_balloon
test_vsock.py::test_guest_connects
test_ports.py::test_keys_on_hvc0
test_drivers.py::test_all_disks[1]
""".split()


def copy(root, path, name=None):
    """A file or a folder of this machine, to the same place or to `name`."""
    to = root / str(name or path).lstrip("/")
    to.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, to, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(*NOT_PYTHON))
    else:
        shutil.copy(path, to)


def add_python(root):
    python = pathlib.Path(sys.executable).resolve()
    stdlib = pathlib.Path(sysconfig.get_paths()["stdlib"]).resolve()
    copy(root, python)
    copy(root, stdlib)
    for name in MODULES:
        spec = importlib.util.find_spec(name)
        if not spec or not spec.origin:
            continue
        path = pathlib.Path(spec.origin)
        path = path.parent if spec.submodule_search_locations else path
        copy(root, path, f"lodge/python/{path.name}")
    (root / "lodge" / "python" / "program").write_text(str(python))
    return [python, *stdlib.glob("lib-dynload/*.so")]


def make_root(root):
    """A tree for the machine's disk."""
    for name in ["proc", "sys", "dev", "tmp", "run", "bin", "sbin"]:
        (root / name).mkdir(parents=True)
    busybox = shutil.which("busybox", path="/bin:/usr/bin")
    shutil.copy(busybox, root / "bin" / "busybox")
    for applet in subprocess.run([busybox, "--list"], check=True, text=True,
                                 capture_output=True).stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    programs = [MKE2FS, BUILD / "lodge", *add_python(root)]
    copy(root, MKE2FS)
    copy(root, BUILD / "lodge", "lodge/build/lodge")
    for guest in ["default", "drivers"]:
        for name in ["vmlinux", "initrd"]:
            path = BUILD / "guest" / guest / name
            if path.exists():
                copy(root, path, f"lodge/build/guest/{guest}/{name}")
    copy(root, SOURCE / "guests" / "make_initrd.py",
         "lodge/guests/make_initrd.py")
    copy(root, SOURCE / "tests" / "system", "lodge/tests/system")
    if shutil.which("gcc"):
        source = root / "lodge" / "tests" / "system" / "vsock" / "tool.c"
        subprocess.run(["gcc", "-static", "-O1", "-o",
                        source.with_suffix(""), source], check=True)
    for library in libraries(programs):
        copy(root, pathlib.Path(library))


def make_disk(folder):
    make_root(folder / "root")
    subprocess.run([MKE2FS, "-q", "-F", "-t", "ext2", "-d", folder / "root",
                    folder / "disk", "512M"], check=True)
    shutil.rmtree(folder / "root")
    command = [sys.executable, SOURCE / "guests" / "make_initrd.py",
               folder / "initramfs", "--busybox",
               shutil.which("busybox", path="/bin:/usr/bin"),
               f"--file={HERE / 'init_tests'}:/init"]
    for name in ["irqbypass", "kvm", "kvm-amd"]:
        path = GUEST / "modules" / f"{name}.ko"
        command.append(f"--file={path}:/modules/{name}.ko")
    subprocess.run(command, check=True)


def boot(folder, tests):
    """What pytest says of these tests in a machine."""
    words = ",".join(f"tests/system/{test}" for test in tests)
    command = [QEMU, "-accel", "tcg", "-machine", "q35", "-cpu", "EPYC",
               "-smp", "1", "-m", "3072", "-kernel", GUEST / "vmlinux",
               "-initrd", folder / "initramfs", "-append",
               "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable "
               f"tests={words}", "-drive",
               f"if=none,id=disk,file={folder / 'disk'},format=raw,readonly=on",
               "-device", "nvme,drive=disk,serial=1", "-display", "none",
               "-monitor", "none", "-serial", "stdio", "-serial",
               f"file:{folder / 'beats'}", "-nodefaults", "-no-reboot"]
    console, beats = folder / "console", folder / "beats"
    beats.write_bytes(b"")
    with open(console, "wb") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.DEVNULL)
    begun = time.monotonic()
    while child.poll() is None and time.monotonic() < begun + LIMIT and \
            time.time() < beats.stat().st_mtime + SILENT:
        time.sleep(0.5)
    child.kill()
    child.wait()
    return console.read_bytes().decode(errors="replace").replace("\r", "")


def verdicts(text):
    """PASSED, FAILED, SKIPPED or ERROR by test."""
    return dict(re.findall(r"^tests/system/(\S+) ([A-Z]+)", text, re.M))


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Verdicts and text."""
    if not QEMU or not MKE2FS.exists():
        pytest.skip("qemu-system-x86_64 or mke2fs is missing")
    if not (GUEST / "modules" / "kvm-amd.ko").exists():
        pytest.skip(f"no default guest with KVM modules in {GUEST}")
    if b"__asan_init" in (BUILD / "lodge").read_bytes():
        pytest.skip("built with sanitizers: far too slow in there")
    folder = tmp_path_factory.mktemp("linux_kvm")
    make_disk(folder)
    found, text, odd = {}, "", TESTS
    for _ in range(TRIES):
        text += boot(folder, odd)
        found.update(verdicts(text))
        odd = [test for test in TESTS
               if found.get(test) not in ("PASSED", "SKIPPED")]
        if not odd:
            break
    (folder / "disk").unlink()
    return found, text


@pytest.mark.parametrize("test", TESTS)
def test_linux(machine, test):
    found, text = machine
    if found.get(test) == "SKIPPED":
        pytest.skip("skipped in there")
    assert found.get(test) == "PASSED", text[-6000:]
