# SPDX-License-Identifier: Apache-2.0
"""Systems that know nothing of lodge, as Debian packages them."""
import gzip
import pathlib

import pytest

from conftest import BUILD, ENGINE, spawn, status_of

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
