# SPDX-License-Identifier: Apache-2.0
"""CDs and floppy disks that are changed while Linux runs: lodge insert and
eject, drives that begin empty, trays that the guest opens and locks."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import tiny
from conftest import BUILD, LODGE, SOURCE, machine_of, run
from test_attach import lodge, refused
from test_control import Client
from test_disk import small_folder, waits_for_room  # noqa: F401
from test_drivers import guest  # noqa: F401
from test_floppy import KIB
from test_linux import boot

pytestmark = pytest.mark.usefixtures("runtime")

BUSES = ["ahci", "ide"]
EXTRA = ("isofs", "floppy")
TOOL = pathlib.Path(__file__).with_name("media") / "tray.c"

# linux/cdrom.h
NO_DISC, TRAY_OPEN, DISC_OK = 1, 2, 4


@pytest.fixture(scope="module")
def linux_media(guest, tmp_path_factory):  # noqa: F811
    """Arguments of the guest with all drivers, and those for media."""
    folder = BUILD / "guest" / "drivers" / "modules"
    if not all((folder / f"{m}.ko").exists() for m in EXTRA):
        pytest.skip(f"no isofs or floppy in {folder}: make guest-drivers")
    if not shutil.which("gcc"):
        pytest.skip("gcc is missing")
    path = tmp_path_factory.mktemp("media") / "initrd"
    tool = path.with_name("tray")
    subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", tool,
                    TOOL], check=True)
    extra = path.with_suffix(".extra")
    subprocess.run([sys.executable, SOURCE / "guests" / "make_initrd.py",
                    extra, *[f"--file={folder / m}.ko:/media/{m}.ko"
                             for m in EXTRA],
                    f"--file={tool}:/media/tray"], check=True)
    at = guest.index("--initrd") + 1
    path.write_bytes(guest[at].read_bytes() + extra.read_bytes())
    return [*guest[:at], path, *guest[at + 1:]]


@pytest.fixture
def isos(tmp_path):
    """Two CDs, each with a file that says which one it is."""
    if not shutil.which("xorriso"):
        pytest.skip("package xorriso is missing")
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which").write_text(f"this is {name}\n")
        # Of different sizes.
        (tmp_path / name / "more").write_bytes(bytes(len(paths) * 700 * KIB))
        paths.append(tmp_path / f"{name}.iso")
        subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o",
                        paths[-1], tmp_path / name], check=True,
                       capture_output=True)
    return paths


@pytest.fixture
def idle(make_kernel):
    """Starts a machine whose guest does nothing; ends it after the test."""
    children = []

    def go(*args):
        children.append(subprocess.Popen(
            [LODGE, *map(str, make_kernel(tiny.SPIN)), "--serial", "none",
             "--name", "vm", *map(str, args)], stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True))
        while run("status", "vm").returncode:
            assert children[-1].poll() is None, children[-1].stderr.read()
    yield go
    for child in children:
        child.kill()
        child.communicate()


def drives():
    status = json.loads(lodge("status", "--json", "vm"))["drives"]
    assert json.loads(lodge("inspect", "--json", "vm"))["drives"] == status
    return status


def drive(index=0):
    return drives()[index]


def start(linux, *args):
    shell = boot(linux, "--name", "vm", *args)
    shell.run("/etc/drivers $(cat /lib/modules/order); insmod "
              "/media/isofs.ko; mkdir -p /tmp/cd")
    return shell


def start_cd(linux, *args):
    shell = start(linux, *args)
    shell.run("for i in $(seq 100); do [ -b /dev/sr0 ] && break; sleep 0.1; "
              "done; [ -b /dev/sr0 ]")
    return shell


def which(shell):
    """What the CD says of itself."""
    return shell.run("mount -t iso9660 -o ro /dev/sr0 /tmp/cd && "
                     "cat /tmp/cd/which && umount /tmp/cd")


def open_files(pid):
    folder = f"/proc/{pid}/fd"
    return [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]


def tray(shell, command):
    return int(shell.run(f"/media/tray {command} /dev/sr0"))


# --- CDs ----------------------------------------------------------------------

@pytest.mark.parametrize("bus", BUSES)
def test_change(linux_media, isos, bus):
    """Taken out, another in, and one in place of another: each is read."""
    shell = start_cd(linux_media, "--cdrom", f"{isos[0]},bus={bus}")
    assert drive() == {"drive": "cd1", "medium": "cd", "bus": bus,
                       "empty": False, "path": str(isos[0]), "readonly": True,
                       "open": False, "locked": False}
    assert which(shell) == "this is one"
    lodge("eject", "vm")
    assert drive()["empty"] and drive()["path"] is None and drive()["open"]
    shell.run("! mount -t iso9660 -o ro /dev/sr0 /tmp/cd 2>/dev/null")
    lodge("insert", "vm", isos[1])
    assert drive()["path"] == str(isos[1]) and not drive()["open"]
    assert which(shell) == "this is two"
    for turn in (0, 1, 0):
        lodge("insert", "vm", isos[turn], "cd1")
        assert which(shell) == f"this is {('one', 'two')[turn]}"
    assert int(shell.run("cat /sys/block/sr0/size")) * 512 == \
        isos[0].stat().st_size
    assert f"cd1        {isos[0]}\n" in run("status", "vm").stdout
    assert shell.power_off() == 0


@pytest.mark.parametrize("bus", BUSES)
def test_a_drive_that_begins_empty(linux_media, isos, bus):
    shell = start_cd(linux_media, "--cdrom", f"none,bus={bus}")
    assert drive()["empty"] and not drive()["open"]
    assert "cd1        empty\n" in run("status", "vm").stdout
    shell.run("! dd if=/dev/sr0 of=/dev/null bs=2k count=1 2>/dev/null")
    lodge("insert", "vm", isos[1])
    assert which(shell) == "this is two"
    assert shell.power_off() == 0


@pytest.mark.parametrize("bus", BUSES)
def test_a_guest_that_holds_it(linux_media, isos, bus):
    """Mounted, it stays; the guest may let go, or it is taken by force."""
    shell = start_cd(linux_media, "--cdrom", f"{isos[0]},bus={bus}")
    shell.run("mount -t iso9660 -o ro /dev/sr0 /tmp/cd")
    assert drive()["locked"]
    assert "held by the guest" in run("inspect", "vm").stdout
    refused(run("eject", "vm"), "cd1", "unmount", "--force")
    refused(run("insert", "vm", isos[1]), "cd1", "unmount", "--force")
    assert shell.run("cat /tmp/cd/which") == "this is one"
    shell.run("umount /tmp/cd")
    assert not drive()["locked"]
    lodge("insert", "vm", isos[1])
    assert which(shell) == "this is two"
    shell.run("mount -t iso9660 -o ro /dev/sr0 /tmp/cd")
    lodge("insert", "--force", "vm", isos[0])
    shell.run("umount /tmp/cd")
    assert which(shell) == "this is one"
    assert shell.power_off() == 0


@pytest.mark.parametrize("bus", BUSES)
def test_a_guest_that_ejects(linux_media, isos, bus):
    """Its tray opens and is seen to; it may shut it, and so may we."""
    shell = start_cd(linux_media, "--cdrom", f"{isos[0]},bus={bus}")
    assert tray(shell, "status") == DISC_OK
    tray(shell, "eject")
    assert drive()["open"] and not drive()["empty"]
    assert "tray open" in run("status", "vm").stdout
    assert tray(shell, "status") == TRAY_OPEN
    tray(shell, "shut")
    assert not drive()["open"]
    assert which(shell) == "this is one"
    tray(shell, "eject")
    lodge("insert", "vm", isos[1])
    assert tray(shell, "status") == DISC_OK
    assert which(shell) == "this is two"
    lodge("eject", "vm")
    assert tray(shell, "status") == TRAY_OPEN
    tray(shell, "shut")
    assert tray(shell, "status") == NO_DISC
    lodge("insert", "vm", isos[0])
    # It holds it without a file system, too.
    tray(shell, "lock")
    assert drive()["locked"]
    refused(run("eject", "vm"), "--force")
    tray(shell, "unlock")
    # Through a reset an open tray stays as it is.
    tray(shell, "eject")
    shell.child.sendline("reboot -f")
    shell.wait()
    assert drive()["open"]
    lodge("eject", "vm")
    assert drive()["empty"]
    assert shell.power_off() == 0


def test_what_is_taken_out_is_free(linux_media, isos):
    shell = start_cd(linux_media, "--cdrom", isos[0])
    assert which(shell) == "this is one"
    assert str(isos[0]) in open_files(machine_of(shell.child))
    lodge("eject", "vm")
    assert str(isos[0]) not in open_files(machine_of(shell.child))
    assert shell.power_off() == 0


# --- floppy disks -----------------------------------------------------------------

def test_floppy_disks(linux_media, tmp_path):
    """Linux sees by the change line that there is another one."""
    disks = [tmp_path / f"{n}.img" for n in range(3)]
    for n, size in enumerate((1440, 1440, 720)):
        disks[n].write_bytes(f"disk {n}\n".encode().ljust(size * KIB, b"."))
    shell = start(linux_media, "--floppy", disks[0], "--floppy", "none")
    shell.run("insmod /media/floppy.ko; for i in $(seq 100); do "
              "[ -b /dev/fd0 ] && break; sleep 0.1; done; [ -b /dev/fd0 ]")

    def read():
        return shell.run("head -n 1 /dev/fd0")
    assert read() == "disk 0"
    lodge("insert", "vm", disks[1], "floppy1")
    assert read() == "disk 1"
    shell.run("echo written > /tmp/w; dd if=/tmp/w of=/dev/fd0 conv=fsync "
              "2>/dev/null")
    lodge("eject", "vm", "floppy1")
    assert disks[1].read_bytes()[:8] == b"written\n"
    shell.run("! head -n 1 /dev/fd0 2>/dev/null")
    lodge("insert", "vm", f"{disks[2]},readonly", "floppy1")
    assert read() == "disk 2"
    shell.run("! dd if=/tmp/w of=/dev/fd0 conv=fsync 2>/dev/null")
    assert drive() == {"drive": "floppy1", "medium": "floppy", "bus": "floppy",
                       "empty": False, "path": str(disks[2]),
                       "readonly": True, "open": False, "locked": False}
    # The other drive began empty.
    lodge("insert", "vm", disks[0], "floppy2")
    assert shell.run("head -n 1 /dev/fd1") == "disk 0"
    assert shell.power_off() == 0


def test_a_full_host(linux_media, small_folder):  # noqa: F811
    """A floppy disk that was there, and one that was put in, wait for room."""
    disks = [small_folder / f"{n}.img" for n in range(2)]
    for path in disks:
        with open(path, "wb") as file:
            file.truncate(1440 * KIB)
    shell = start(linux_media, "--floppy", disks[0])
    shell.run("insmod /media/floppy.ko; for i in $(seq 100); do "
              "[ -b /dev/fd0 ] && break; sleep 0.1; done; [ -b /dev/fd0 ]")
    waits_for_room(shell, "vm", disks[0], "fd0", 600)
    lodge("insert", "vm", disks[1], "floppy1")
    waits_for_room(shell, "vm", disks[1], "fd0", 600)
    assert shell.power_off() == 0


# --- what cannot be ---------------------------------------------------------------

def test_refusals(idle, isos, tmp_path):
    floppy, other = tmp_path / "a.img", tmp_path / "b.img"
    floppy.write_bytes(bytes(1440 * KIB))
    other.write_bytes(bytes(360 * KIB))
    idle("--cdrom", "none", "--cdrom", isos[0], "--floppy", floppy)
    assert [d["drive"] for d in drives()] == ["cd1", "cd2", "floppy1"]
    refused(run("eject", "vm"), "several drives", "cd1, cd2, floppy1")
    refused(run("insert", "vm", isos[1]), "several drives")
    refused(run("eject", "vm", "cd3"), "cd3", "cd1, cd2, floppy1")
    refused(run("insert", "vm", tmp_path / "none", "cd1"), "no such file")
    refused(run("insert", "vm", floppy, "cd1"), "no ISO 9660 image")
    refused(run("insert", "vm", other, "floppy1"), "floppy1", "720K")
    refused(run("insert", "vm", isos[1], "floppy1"), "no floppy disk has")
    refused(run("insert", "vm", floppy, "floppy1"), "a.img", "use")
    refused(run("insert", "vm", "none", "cd1"), "lodge eject")
    refused(run("insert", "vm", f"{isos[0]},colour=red", "cd1"), "colour")
    refused(run("insert", "vm"), "missing")
    refused(run("eject"), "missing")
    refused(run("eject", "nobody"), "nobody")
    assert [d["empty"] for d in drives()] == [True, False, False]
    # The same image in both drives; from another folder.
    assert run("insert", "vm", isos[0].name, "cd1",
               cwd=tmp_path).returncode == 0
    assert drive(0)["path"] == drive(1)["path"] == str(isos[0])
    lodge("eject", "vm", "floppy1")
    lodge("insert", "vm", floppy, "floppy1")


def test_told_as_json(idle, isos, tmp_path):
    idle("--cdrom", "none", "--display", "std")

    def told(*args):
        return json.loads(lodge(args[0], "--json", *args[1:]))
    assert told("insert", "vm", isos[0]) == {"drive": "cd1"}
    assert told("eject", "vm") == {"drive": "cd1"}
    screen = tmp_path / "screen.png"
    assert told("screenshot", "vm", screen) == {"file": str(screen)}
    assert screen.read_bytes().startswith(b"\x89PNG")
    refused(run("screenshot", "--json", "vm", "-"), "without it")


def test_no_drive(idle, isos):
    idle()
    refused(run("insert", "vm", isos[0]), "no drive", "--cdrom none")
    refused(run("eject", "vm"), "no drive", "--cdrom none")
    assert drives() == []


def test_the_protocol(idle, isos, runtime):
    idle("--cdrom", "none")
    client = Client(runtime / "vm.sock")
    assert client.line()["hello"] == "lodge"

    def ask(**request):
        return client.ask(json.dumps(request).encode())
    assert ask(command="insert", path=str(isos[0]),
               drive="cd1")["result"] == {"drive": "cd1"}
    assert ask(command="eject")["result"] == {"drive": "cd1"}
    for code, request in (
            ("bad-request", {"command": "insert"}),
            ("bad-request", {"command": "insert", "path": "one.iso"}),
            ("bad-request", {"command": "eject", "drive": 1}),
            ("bad-request", {"command": "eject", "force": 1}),
            ("bad-request", {"command": "insert", "path": str(isos[0]),
                             "readonly": "yes"}),
            ("not-found", {"command": "eject", "drive": "cd2"}),
            ("failed", {"command": "insert", "path": "/nowhere"})):
        assert ask(**request)["error"]["code"] == code
    client.close()
