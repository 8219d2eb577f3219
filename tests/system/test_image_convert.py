# SPDX-License-Identifier: Apache-2.0
"""lodge image import and export: there and back in each format, OVA files,
and what cannot be an image."""
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
from xml.etree import ElementTree

import pytest

import tiny
from conftest import ENGINE, run
from test_disk_tool import mbr

FORMATS = {"raw": "img", "qcow2": "qcow2", "vmdk": "vmdk", "vhdx": "vhdx",
           "vdi": "vdi"}


@pytest.fixture
def place(tmp_path):
    """A store of one's own, and a raw disk with something on it."""
    class Place:
        env = {"env": {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"),
                       "XDG_RUNTIME_DIR": str(tmp_path)}}
        images = tmp_path / "data" / "lodge" / "images"
        disk = tmp_path / "disk.img"

        def __call__(self, *args):
            return run("image", *args, **self.env)
    data = bytearray(8 << 20)
    noise = random.Random(5)
    for at in (0, 1 << 20, 5 << 20, (8 << 20) - 65536):
        data[at:at + 65536] = noise.randbytes(65536)
    Place.disk.write_bytes(data)
    return Place()


def refused(result, status, *words):
    assert result.returncode == status, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("kind", FORMATS)
def test_there_and_back(place, tmp_path, kind):
    if f"\n  {kind} " not in run("help", "disk").stdout:
        pytest.skip(f"no {kind} here")
    assert place("import", place.disk, "--name", "a").returncode == 0
    file = tmp_path / f"out.{FORMATS[kind]}"
    result = place("export", "a", file)
    assert result.returncode == 0, result.stderr
    # Another program reads the same.
    subprocess.run(["qemu-img", "convert", "-f", kind, "-O", "raw", file,
                    tmp_path / "theirs.img"], check=True)
    assert (tmp_path / "theirs.img").read_bytes() == place.disk.read_bytes()
    # And what another program makes comes in.
    theirs = tmp_path / f"theirs.{FORMATS[kind]}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind,
                    place.disk, theirs], check=True)
    result = place("import", theirs, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["name"] == "theirs"
    back = tmp_path / "back.img"
    assert place("export", "theirs", back).returncode == 0
    assert back.read_bytes() == place.disk.read_bytes()
    assert sorted(os.listdir(place.images)) == ["a", "theirs"]
    assert sorted(os.listdir(place.images / "theirs")) == [
        "disk.qcow2", "image.json"]


def archive(path, members):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def vmdk(place, tmp_path):
    path = tmp_path / "inside.vmdk"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o",
                    "subformat=streamOptimized", place.disk, path],
                   check=True)
    return path.read_bytes()


def test_an_ova(place, tmp_path, vmdk):
    ova = tmp_path / "box.ova"
    archive(ova, [("box.ovf", b"<Envelope/>"), ("box-disk1.vmdk", vmdk),
                  ("box.mf", b"SHA1(box.ovf)= 0")])
    result = place("import", ova)
    assert result.returncode == 0, result.stderr
    back = tmp_path / "back.img"
    assert place("export", "box", back).returncode == 0
    assert back.read_bytes() == place.disk.read_bytes()


def test_bad_ovas(place, tmp_path, vmdk):
    ova = tmp_path / "box.ova"
    ova.write_bytes(b"hello" * 1000)
    refused(place("import", ova), 1, "is no OVA file")
    ova.write_bytes(b"")
    refused(place("import", ova), 1, "is no OVA file")
    archive(ova, [("box.ovf", b"<Envelope/>")])
    refused(place("import", ova), 1, "has no VMDK disk")
    archive(ova, [("a.vmdk", vmdk), ("b.vmdk", vmdk)])
    refused(place("import", ova), 1, "several disks")
    archive(ova, [("a.vmdk", vmdk)])
    os.truncate(ova, len(vmdk) // 2)
    refused(place("import", ova), 1, "is no OVA file, or cut short")
    archive(ova, [("a.vmdk", b"no disk at all")])
    assert place("import", ova).returncode == 1
    assert os.listdir(place.images) == []


def test_bad_input(place, tmp_path):
    refused(place("import"), 2, "a file is missing")
    assert place("import", "/nosuch.qcow2").returncode == 1
    refused(place("import", place.disk, "--format", "floppy"), 2, "floppy")
    refused(place("import", tmp_path / ".img"), 2, "--name")
    wrong = tmp_path / "wrong.qcow2"
    wrong.write_bytes(b"x" * 100000)
    assert place("import", wrong).returncode == 1
    cut = tmp_path / "cut.img"
    cut.write_bytes(mbr(10 * 2048) + bytes((4 << 20) - 512))
    refused(place("import", cut), 1, str(cut), "has 4 MiB",
            "up to 10 MiB", "lodge disk resize")
    refused(place("import", tmp_path / "none.ova"), 1, "no such file")
    refused(place("export", "--machine", "none", tmp_path / "x.img"), 1,
            "no machine is kept as none")
    refused(place("export", "nosuch", tmp_path / "x.img"), 1,
            "no image nosuch")
    assert os.listdir(place.images) == []
    assert place("import", place.disk).returncode == 0
    refused(place("import", place.disk), 1, "--replace")
    assert place("import", place.disk, "--replace").returncode == 0
    (tmp_path / "there.qcow2").write_bytes(b"mine")
    assert place("export", "disk", tmp_path / "there.qcow2").returncode == 1
    assert (tmp_path / "there.qcow2").read_bytes() == b"mine"
    refused(place("export", "--machine", "../x", tmp_path / "x.img"), 2,
            "no machine's name")


def test_a_machines_disk(place, tmp_path):
    """What was written on top of the image comes along."""
    assert place("import", place.disk, "--name", "a").returncode == 0
    kernel = tmp_path / "kernel"
    kernel.write_bytes(tiny.kernel(tiny.power_off()))
    result = run("run", "a", "--name", "m", "--kernel", kernel, "--engine",
                 ENGINE, "--serial", "none", **place.env)
    assert result.returncode == 0, result.stderr
    image = place.images.parent / "machines" / "m" / "disk.qcow2"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 2M 4k", image],
                   check=True, capture_output=True)
    out = tmp_path / "out.img"
    result = place("export", "--machine", "m", out)
    assert result.returncode == 0, result.stderr
    whole = bytearray(place.disk.read_bytes())
    whole[2 << 20:(2 << 20) + 4096] = b"\7" * 4096
    assert out.read_bytes() == whole


# --- OVA files that we make ----------------------------------------------------

OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
RASD = ("{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
        "CIM_ResourceAllocationSettingData}")


def members(path):
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


def test_an_ova_of_ours(place, tmp_path):
    assert place("import", place.disk, "--name", "box", "--uefi").returncode == 0
    ova = tmp_path / "out.ova"
    result = place("export", "box", ova, "--cpus", "3", "--memory", "1536M",
                   "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"path": str(ova), "format": "ova",
                                         "size": 8 << 20}
    inside = members(ova)
    # The description comes first, and what it and the manifest name follows.
    assert list(inside) == ["box.ovf", "box.mf", "box-disk1.vmdk"]
    assert inside["box.mf"].decode() == "".join(
        f"SHA256({name})= {hashlib.sha256(inside[name]).hexdigest()}\n"
        for name in ("box.ovf", "box-disk1.vmdk"))
    (tmp_path / "box.ovf").write_bytes(inside["box.ovf"])
    if shutil.which("xmllint"):
        subprocess.run(["xmllint", "--noout", tmp_path / "box.ovf"],
                       check=True)
    root = ElementTree.fromstring(inside["box.ovf"])
    file = root.find(f"{OVF}References/{OVF}File")
    assert file.get(f"{OVF}href") == "box-disk1.vmdk"
    assert int(file.get(f"{OVF}size")) == len(inside["box-disk1.vmdk"])
    disk = root.find(f"{OVF}DiskSection/{OVF}Disk")
    assert disk.get(f"{OVF}capacity") == str(8 << 20)
    assert disk.get(f"{OVF}fileRef") == file.get(f"{OVF}id")
    assert disk.get(f"{OVF}format").endswith("#streamOptimized")
    items = {}
    for item in root.iter(f"{OVF}Item"):
        names = [e.tag for e in item]
        assert names == sorted(names)
        items[item.find(f"{RASD}ResourceType").text] = item
    quantity = f"{RASD}VirtualQuantity"
    assert items["3"].find(quantity).text == "3"
    assert items["4"].find(quantity).text == "1536"
    assert items["17"].find(f"{RASD}HostResource").text == (
        "ovf:/disk/" + disk.get(f"{OVF}diskId"))
    assert items["17"].find(f"{RASD}Parent").text == (
        items["6"].find(f"{RASD}InstanceID").text)
    assert b'vmw:value="efi"' in inside["box.ovf"]
    # Another program reads the disk, and ours comes back in.
    (tmp_path / "d.vmdk").write_bytes(inside["box-disk1.vmdk"])
    subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk",
                    place.disk, tmp_path / "d.vmdk"], check=True)
    assert place("import", ova, "--name", "back").returncode == 0
    assert place("export", "back", tmp_path / "b.img").returncode == 0
    assert (tmp_path / "b.img").read_bytes() == place.disk.read_bytes()
    assert not list(tmp_path.glob("out.ova.*"))


def test_ovas_that_are_not_made(place, tmp_path):
    assert place("import", place.disk, "--name", "box").returncode == 0
    there = tmp_path / "there.ova"
    there.write_bytes(b"mine")
    refused(place("export", "box", there), 1, "is there already")
    assert there.read_bytes() == b"mine"
    refused(place("export", "box", tmp_path / "none/a.ova"), 1, "none/a.ova")
    refused(place("export", "box", tmp_path / "a.ova", "--cpus", "0"), 2,
            "--cpus")
    refused(place("export", "box", tmp_path / "a.ova", "--memory", "9"), 2,
            "--memory")
    refused(place("export", "box", tmp_path / "a.vmdk", "--cpus", "2"), 2,
            "OVA")
    assert not list(tmp_path.glob("a.*"))
    left = tmp_path / "b.ova.disk"
    left.mkdir()
    (left / "box-disk1.vmdk").write_bytes(b"left by a kill")
    result = place("export", "box", tmp_path / "b", "--format", "ova")
    assert result.returncode == 0, result.stderr
    assert list(members(tmp_path / "b"))[0] == "box.ovf"
    result = place("export", "box", tmp_path / "b.ova")
    assert result.returncode == 0, result.stderr
    assert not left.exists()
