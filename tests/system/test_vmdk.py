# SPDX-License-Identifier: Apache-2.0
"""VMDK beside qemu-img: packed images, several files, parents, descriptors that
lie."""
import json
import os
import shutil

import pytest

from test_formats import (LODGE, MIB, SIZE, TOOL, Kind, make_model, refused,
                          run, same)

pytestmark = pytest.mark.skipif(not shutil.which("qemu-img"),
                                reason="qemu-img is missing")


def make_content(tmp_path, size=SIZE):
    """A raw image with zeros, patterns and chance in it."""
    model = make_model(tmp_path, size)
    run("qemu-io", "-f", "raw", "-c", "write -P 3 1M 3M", "-c",
        f"write -P 4 {size - 70000} 70000", model)
    with open(model, "r+b") as file:
        file.seek(9 * MIB + 512)
        file.write(os.urandom(2 * MIB))
    return model


def test_vmdk_stream_is_theirs(tmp_path):
    model, image = make_content(tmp_path), tmp_path / "disk.vmdk"
    run(TOOL, "create", "vmdk", image, SIZE, "subformat=streamOptimized")
    run(TOOL, "copy", "raw", model, "vmdk", image)
    assert image.stat().st_size < 4 * MIB
    run("qemu-img", "compare", "-q", "-f", "vmdk", "-F", "raw", image, model)
    run(TOOL, "compare", "vmdk", image, "raw", model)
    run(TOOL, "check", "vmdk", image)
    other = tmp_path / "other.vmdk"
    run(TOOL, "create", "vmdk", other, SIZE)
    assert "written only once" in refused(TOOL, "copy", "raw", model, "vmdk",
                                          image)
    run(TOOL, "copy", "vmdk", image, "vmdk", other)
    run("qemu-img", "compare", "-q", "-f", "vmdk", "-F", "raw", other, model)


def test_vmdk_stream_of_theirs(tmp_path):
    model, image = make_content(tmp_path), tmp_path / "disk.vmdk"
    run("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o",
        "subformat=streamOptimized", model, image)
    run(TOOL, "compare", "vmdk", image, "raw", model)
    run(TOOL, "check", "vmdk", image)


def test_vmdk_stream_cut_is_told(tmp_path):
    model, image = make_content(tmp_path), tmp_path / "disk.vmdk"
    run(TOOL, "create", "vmdk", image, SIZE, "subformat=streamOptimized")
    assert "never finished" in refused(TOOL, "info", "vmdk", image)
    run(TOOL, "copy", "raw", model, "vmdk", image)
    with open(image, "r+b") as file:
        file.truncate(image.stat().st_size - 512)
    assert "truncated" in refused(TOOL, "info", "vmdk", image)


def test_vmdk_stream_damage_is_an_error(tmp_path):
    model, image = make_content(tmp_path), tmp_path / "disk.vmdk"
    run(TOOL, "create", "vmdk", image, SIZE, "subformat=streamOptimized")
    run(TOOL, "copy", "raw", model, "vmdk", image)
    with open(image, "r+b") as file:
        file.seek(128 * 512 + 20)
        file.write(b"\xff" * 30)
    refused(TOOL, "compare", "vmdk", image, "raw", model)
    with open(image, "r+b") as file:
        file.seek(128 * 512 + 8)
        file.write(b"\xff\xff\xff\x7f")
    refused(TOOL, "compare", "vmdk", image, "raw", model)


@pytest.mark.parametrize("kind", ["monolithicFlat", "twoGbMaxExtentSparse"])
def test_vmdk_of_several_files_by_convert(tmp_path, kind):
    model, image = make_content(tmp_path), tmp_path / "disk.vmdk"
    stream = tmp_path / "stream.vmdk"
    run(LODGE, "disk", "convert", model, stream, "--option",
        "subformat=streamOptimized")
    run(LODGE, "disk", "convert", stream, image, "--option",
        f"subformat={kind}")
    run("qemu-img", "compare", "-q", "-f", "vmdk", "-F", "raw", image, model)
    assert all(".part" not in file.name for file in tmp_path.iterdir())
    with open(stream, "r+b") as file:
        file.seek(128 * 512 + 20)
        file.write(b"\xff" * 30)
    before = set(tmp_path.iterdir())
    refused(LODGE, "disk", "convert", stream, tmp_path / "other.vmdk",
            "--option", f"subformat={kind}")
    assert set(tmp_path.iterdir()) == before


def cid(image):
    return json.loads(run(TOOL, "info", "vmdk", image))["cid"]


@pytest.mark.parametrize("maker", ["ours", "theirs"])
def test_vmdk_parent(tmp_path, maker):
    base, top = tmp_path / "base.vmdk", tmp_path / "top.vmdk"
    model = make_model(tmp_path, 12 * MIB)
    run(TOOL, "create", "vmdk", base, 12 * MIB)
    before = cid(base)
    run(TOOL, "compare", "vmdk", base, "raw", model)
    assert cid(base) == before
    run(TOOL, "random", "vmdk", base, model, 30, 1)
    assert cid(base) != before
    if maker == "ours":
        run(TOOL, "create", "vmdk", top, 0, "backing=base.vmdk")
    else:
        run("qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b",
            base, top)
    kind = Kind("vmdk", check=True)
    same(kind, top, model)
    before = base.read_bytes()
    for seed in range(3):
        run(TOOL, "random", "vmdk", top, model, 60, seed)
        same(kind, top, model)
    assert base.read_bytes() == before
    run("qemu-io", "-f", "vmdk", "-c", "write 0 512", base)
    assert "another CID" in refused(TOOL, "info", "vmdk", top)
    base.unlink()
    assert "is missing" in refused(TOOL, "info", "vmdk", top)


HEAD = "# Disk DescriptorFile\nversion=1\nCID=12345678\n" \
    "parentCID=ffffffff\ncreateType=\"%s\"\n"


@pytest.mark.parametrize("text,reason", [
    ('RW 2048 FLAT "/etc/passwd" 0', "outside of its folder"),
    ('RW 2048 FLAT "../there.raw" 0', "outside of its folder"),
    ('RW 2048 FLAT "link.raw" 0', "outside of its folder"),
    ('RW 2048 FLAT "missing.raw" 0', "lacks its extent"),
    ('RW 2048 FLAT "here.raw" 1', "shorter than"),
    ('RW 2048 SPARSE "here.raw"', "makes no sense"),
    ('RW 2048 VMFS "here.raw"', "only ESX knows"),
    ('RW 2048 SESPARSE "here.raw"', "only ESX knows"),
    ('RW 99999999999999999999 FLAT "here.raw" 0', "without a size"),
    ('RW -5 FLAT "here.raw" 0', "without a size"),
    ('RW 2048', "(none)"),
    ('RW 2048 FLAT', "without a file"),
    ('RW 2048 FLAT "' + "x" * 300 + '" 0', "without a file"),
    ('RW 2048 FLAT "here.raw" zero', "at no number"),
    ('NOACCESS 2048 FLAT "here.raw" 0', "NOACCESS"),
    ("x" * 5000, "1023"),
    ("", "without extents"),
    ('RW 1 ZERO\n' * 1100, "more than 1024"),
    ('CID=hello', "CID"),
])
def test_vmdk_descriptors_that_lie(tmp_path, text, reason):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "there.raw").write_bytes(bytes(MIB))
    (folder / "here.raw").write_bytes(bytes(MIB))
    (folder / "link.raw").symlink_to(tmp_path / "there.raw")
    image = folder / "disk.vmdk"
    image.write_text(HEAD % "monolithicFlat" + text + "\n")
    assert reason in refused(TOOL, "info", "vmdk", image)


@pytest.mark.parametrize("kind", ["vmfs", "vmfsSparse", "seSparse", "custom",
                                  "fullDevice", "vmfsRawDeviceMap"])
def test_vmdk_of_esx_is_refused_by_name(tmp_path, kind):
    image = tmp_path / "disk.vmdk"
    image.write_text(HEAD % kind + 'RW 2048 VMFS "disk-flat.vmdk"\n')
    assert kind in refused(TOOL, "info", "vmdk", image)


def test_vmdk_making_fails_whole(tmp_path):
    image = tmp_path / "disk.vmdk"
    (tmp_path / "disk-s002.vmdk").write_bytes(b"mine")
    assert "there already" in refused(
        TOOL, "create", "vmdk", image, 5 << 30,
        "subformat=twoGbMaxExtentSparse")
    assert [f.name for f in tmp_path.iterdir()] == ["disk-s002.vmdk"]
