# SPDX-License-Identifier: Apache-2.0
"""Image formats of other hypervisors beside qemu-img: what one makes the other
reads and writes, and both see the same bytes as in a raw image."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("LODGE_BUILD", "build"))
TOOL = BUILD / "tests/system/disk-tool"
LODGE = BUILD / "lodge"
MIB = 1 << 20
SIZE = 24 * MIB + 7 * 512

pytestmark = pytest.mark.skipif(not shutil.which("qemu-img"),
                                reason="qemu-img is missing")


class Kind:
    """A format with an option, as we and as qemu-img call it."""

    def __init__(self, name, option=None, qemu=None, qemu_option="",
                 check=False, size=SIZE):
        self.name, self.option = name, option
        self.qemu, self.qemu_option = qemu or name, qemu_option
        self.check, self.size = check, size

    def file(self, folder):
        """A path that qemu-img takes for a name of its extents, too."""
        return folder / f"disk.{self.name}"

    def __repr__(self):
        return "-".join(filter(None, [self.name, self.option]))


KINDS = [
    Kind("vdi", check=True),
    Kind("vdi", "static=on", qemu_option="static=on", check=True),
    Kind("vhd", qemu="vpc", qemu_option="force_size=on"),
    Kind("vhd", "subformat=fixed", qemu="vpc",
         qemu_option="subformat=fixed,force_size=on"),
    Kind("vhdx", check=True),
    Kind("vhdx", "block_size=1M", qemu_option="block_size=1M", check=True),
    Kind("vhdx", "subformat=fixed", qemu_option="subformat=fixed",
         check=True),
    Kind("vmdk", check=True),
    Kind("vmdk", "subformat=monolithicFlat",
         qemu_option="subformat=monolithicFlat"),
    Kind("vmdk", "subformat=twoGbMaxExtentSparse", check=True,
         qemu_option="subformat=twoGbMaxExtentSparse", size=(4 << 30) + 65536),
    Kind("vmdk", "subformat=twoGbMaxExtentFlat",
         qemu_option="subformat=twoGbMaxExtentFlat", size=(4 << 30) + 65536),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True,
                          text=True, timeout=300, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def refused(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 1, (words, done)
    assert done.stderr.count("\n") == 1
    return done.stderr


def make(kind, path):
    run(TOOL, "create", kind.name, path, kind.size,
        *([kind.option] if kind.option else []))


def qemu_make(kind, path, size=None):
    option = ["-o", kind.qemu_option] if kind.qemu_option else []
    run("qemu-img", "create", "-q", "-f", kind.qemu, *option, path,
        size or kind.size)


def make_model(tmp_path, size=SIZE):
    model = tmp_path / "model.raw"
    with open(model, "wb") as file:
        file.truncate(size)
    return model


def same(kind, path, model):
    """qemu-img and we both see the model's bytes, and nothing is wrong."""
    run(TOOL, "check", kind.name, path)
    if kind.check:
        run("qemu-img", "check", "-q", "-f", kind.qemu, path)
    run("qemu-img", "compare", "-q", "-f", kind.qemu, "-F", "raw", path, model)
    run(TOOL, "compare", kind.name, path, "raw", model)


@each_kind
def test_ours_is_theirs(tmp_path, kind):
    image, model = kind.file(tmp_path), make_model(tmp_path, kind.size)
    make(kind, image)
    same(kind, image, model)
    for seed in range(3):
        run(TOOL, "random", kind.name, image, model, 150, seed)
        same(kind, image, model)


@each_kind
def test_theirs_is_ours(tmp_path, kind):
    image, model = kind.file(tmp_path), make_model(tmp_path, kind.size)
    qemu_make(kind, image)
    same(kind, image, model)
    run(TOOL, "random", kind.name, image, model, 200, 11)
    same(kind, image, model)


@each_kind
def test_written_in_turns(tmp_path, kind):
    image, model = kind.file(tmp_path), make_model(tmp_path, kind.size)
    make(kind, image)
    for turn in range(4):
        run(TOOL, "random", kind.name, image, model, 40, turn)
        for offset in (turn * 5 * MIB + 4096, kind.size - 8192 - turn * 512):
            command = f"write -P {turn + 17} {offset} 8192"
            run("qemu-io", "-f", kind.qemu, "-c", command, image)
            run("qemu-io", "-f", "raw", "-c", command, model)
        same(kind, image, model)


@each_kind
def test_converted_by_qemu(tmp_path, kind):
    image, model = kind.file(tmp_path), make_model(tmp_path, kind.size)
    run("qemu-io", "-f", "raw", "-c", "write -P 3 1M 3M", "-c",
        "write -P 4 20M 1000k", model)
    option = ["-o", kind.qemu_option] if kind.qemu_option else []
    run("qemu-img", "convert", "-f", "raw", "-O", kind.qemu, *option, model,
        image)
    same(kind, image, model)
    back = tmp_path / "back.raw"
    run(TOOL, "create", "raw", back, kind.size)
    run(TOOL, "copy", kind.name, image, "raw", back)
    run("qemu-img", "compare", "-q", "-f", "raw", "-F", "raw", back, model)


@each_kind
def test_growing(tmp_path, kind):
    image, model = kind.file(tmp_path), make_model(tmp_path, kind.size)
    make(kind, image)
    run(TOOL, "random", kind.name, image, model, 40, 1)
    size = kind.size + 100 * MIB
    run(TOOL, "resize", kind.name, image, size)
    with open(model, "r+b") as file:
        file.truncate(size)
    same(kind, image, model)
    run(TOOL, "random", kind.name, image, model, 40, 2)
    same(kind, image, model)
    assert json.loads(run(TOOL, "info", kind.name, image))["size"] == size


def on_host(folder, but):
    return sum(f.stat().st_blocks for f in folder.iterdir() if f != but)


@pytest.mark.parametrize("kind", [k for k in KINDS if k.size == SIZE],
                         ids=repr)
@pytest.mark.parametrize("size", [5 * MIB + 512, 512, 16 * MIB])
def test_shrinking(tmp_path, kind, size):
    """What is cut is gone, also when the disk grows again."""
    image, model = kind.file(tmp_path), make_model(tmp_path, kind.size)
    make(kind, image)
    run(TOOL, "random", kind.name, image, model, 90, 1)
    before = on_host(tmp_path, model)
    run(TOOL, "resize", kind.name, image, size)
    os.truncate(model, size)
    same(kind, image, model)
    assert on_host(tmp_path, model) < before
    run(TOOL, "check", kind.name, image)
    run(TOOL, "resize", kind.name, image, kind.size)
    os.truncate(model, kind.size)
    same(kind, image, model)
    run(TOOL, "random", kind.name, image, model, 60, 2)
    same(kind, image, model)


@pytest.mark.parametrize("option", ["subformat=twoGbMaxExtentSparse",
                                    "subformat=twoGbMaxExtentFlat"])
@pytest.mark.parametrize("theirs", [False, True])
def test_split_images_get_and_lose_files(tmp_path, option, theirs):
    image, model = tmp_path / "disk.vmdk", make_model(tmp_path, 3 << 30)
    kind = Kind("vmdk", option, qemu_option=option,
                check="Sparse" in option, size=3 << 30)
    (qemu_make if theirs else make)(kind, image)
    for size in ((4 << 30) + 512, 9 << 30, 5 << 30, 70 * MIB, 3 << 30):
        run(TOOL, "random", "vmdk", image, model, 20, size % 97)
        run(TOOL, "resize", "vmdk", image, size)
        os.truncate(model, size)
        same(kind, image, model)
        assert len(list(tmp_path.glob("disk-*.vmdk"))) == -(-size >> 31)
        for path, form in ((image, "vmdk"), (model, "raw")):
            run("qemu-io", "-f", form, "-c", f"write -P 9 {size - 8192} 8k",
                path)
    same(kind, image, model)


def test_a_split_image_takes_no_files_of_others(tmp_path):
    """And is as it was when it would have too many."""
    image, other = tmp_path / "disk.vmdk", tmp_path / "disk-s003.vmdk"
    run(TOOL, "create", "vmdk", image, 3 * MIB,
        "subformat=twoGbMaxExtentSparse", "extent_size=2M")
    other.write_text("mine")
    run(TOOL, "resize", "vmdk", image, 6 * MIB)
    assert other.read_text() == "mine"
    assert "disk-s004.vmdk" in image.read_text()
    before = image.read_text().split("createType")[1]
    names = sorted(tmp_path.iterdir())
    assert "extents" in refused(TOOL, "resize", "vmdk", image, 3 << 30)
    assert image.read_text().split("createType")[1] == before
    assert sorted(tmp_path.iterdir()) == names
    run(TOOL, "check", "vmdk", image)


@pytest.mark.parametrize("words,told", [
    (["extent_size=1M"], "one extent"),
    (["subformat=twoGbMaxExtentFlat", "extent_size=3G"], "extent_size=3G"),
    (["subformat=twoGbMaxExtentFlat", "extent_size=1000"], "multiple of 64K"),
])
def test_extent_sizes_are_checked(tmp_path, words, told):
    assert told in refused(TOOL, "create", "vmdk", tmp_path / "disk.vmdk",
                           8 * MIB, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [None, "static=on"])
def test_vdi_grows_beyond_its_table(tmp_path, option):
    """Images of qemu-img have room for no more than 127 blocks."""
    image, model = tmp_path / "disk.vdi", make_model(tmp_path, 128 * MIB)
    kind = Kind("vdi", check=True, size=128 * MIB, qemu_option=option)
    qemu_make(kind, image)
    for path, form in ((image, "vdi"), (model, "raw")):
        run("qemu-io", "-f", form, "-c", "write -P 3 0 1M", "-c",
            "write -P 4 77M 9M", "-c", "write -P 5 127M 1M", path)
    for size in (129 * MIB, 700 * MIB, 300 << 30, 600 << 30):
        run(TOOL, "resize", "vdi", image, size)
        os.truncate(model, size)
        same(kind, image, model)
        for path, form in ((image, "vdi"), (model, "raw")):
            run("qemu-io", "-f", form, "-c", f"write -P 6 {size - MIB} 1M",
                path)
        run(TOOL, "random", "vdi", image, model, 20, 3)
        same(kind, image, model)
    run(TOOL, "resize", "vdi", image, 60 * MIB)
    os.truncate(model, 60 * MIB)
    same(kind, image, model)


@pytest.mark.parametrize("block", ["4K", "64K", "4M"])
def test_vdi_of_other_blocks_grows(tmp_path, block):
    image, model = tmp_path / "disk.vdi", make_model(tmp_path, 2 * MIB)
    run(TOOL, "create", "vdi", image, 2 * MIB, f"block_size={block}")
    for size in (4, 9, 3, 90, 5, 2000):
        run(TOOL, "random", "vdi", image, model, 40, size)
        run(TOOL, "resize", "vdi", image, size * MIB)
        os.truncate(model, size * MIB)
        run(TOOL, "check", "vdi", image)
        run(TOOL, "compare", "vdi", image, "raw", model)
    assert "block_size=3K" in refused(TOOL, "create", "vdi",
                                      tmp_path / "no.vdi", MIB,
                                      "block_size=3K")


@pytest.mark.parametrize("option", [None, "subformat=monolithicFlat"])
def test_vmdk_grows_far(tmp_path, option):
    """With tables in new places, and again."""
    image, model = tmp_path / "disk.vmdk", make_model(tmp_path, 8 * MIB)
    run(TOOL, "create", "vmdk", image, 8 * MIB, *([option] if option else []))
    for size in (900 * MIB + 512, 5 << 30, 70 * MIB, 2 << 30):
        run(TOOL, "resize", "vmdk", image, size)
        os.truncate(model, size)
        run(TOOL, "random", "vmdk", image, model, 20, size % 97)
        run("qemu-img", "compare", "-q", image, model)
        run(TOOL, "check", "vmdk", image)
    sectors = str((2 << 30) // 512)
    assert f"RW {sectors} ".encode() in image.read_bytes()[:4096]
    run("qemu-io", "-f", "vmdk", "-c", "write -P 7 1900M 3M", image)
    run("qemu-io", "-f", "raw", "-c", "write -P 7 1900M 3M", model)
    run(TOOL, "compare", "vmdk", image, "raw", model)


@pytest.mark.parametrize("kind", ["vhd", "vhdx", "vmdk"])
def test_overlays_do_not_uncover(tmp_path, kind):
    base, top = tmp_path / f"base.{kind}", tmp_path / f"top.{kind}"
    run(TOOL, "create", kind, base, 9 * MIB)
    run(LODGE, "disk", "create", top, "--backing", base.name)
    run(LODGE, "disk", "resize", "--shrink", top, "5M")
    assert "longer image" in refused(LODGE, "disk", "resize", top, "7M")


@pytest.mark.parametrize("kind", ["vdi", "vhd", "vhdx", "vmdk"])
def test_shrinking_is_guarded(tmp_path, kind):
    raw, image = tmp_path / "raw", tmp_path / f"disk.{kind}"
    with open(raw, "wb") as file:
        file.truncate(16 * MIB)
        file.seek(446)
        file.write(bytes(4) + b"\x83" + bytes(3) +
                   (2048).to_bytes(4, "little") +
                   (20480).to_bytes(4, "little"))
        file.seek(510)
        file.write(b"\x55\xaa")
    run(LODGE, "disk", "convert", raw, image)
    assert "--shrink" in refused(LODGE, "disk", "resize", image, "12M")
    assert "partitions" in refused(LODGE, "disk", "resize", "--shrink", image,
                                   "10M")
    run(LODGE, "disk", "resize", "--shrink", image, "12M")


@each_kind
def test_a_cut_file_is_told(tmp_path, kind):
    image = kind.file(tmp_path)
    make(kind, image)
    largest = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size)
    with open(largest, "r+b") as file:
        file.truncate(600)
    refused(TOOL, "check", kind.name, image)


def test_vdi_with_a_parent_is_refused(tmp_path):
    image = tmp_path / "disk.vdi"
    make(Kind("vdi"), image)
    with open(image, "r+b") as file:
        file.seek(0x4c)
        file.write(b"\4")
    assert "parent image" in refused(TOOL, "info", "vdi", image)


def test_vdi_damage_is_found(tmp_path):
    image = tmp_path / "disk.vdi"
    make(Kind("vdi"), image)
    run("qemu-io", "-f", "vdi", "-c", "write -P 1 0 1M", "-c",
        "write -P 2 1M 1M", "-c", "write -P 3 5M 1M", image)
    with open(image, "r+b") as file:
        file.seek(512 + 4)
        file.write((77777).to_bytes(4, "little"))
        file.seek(0x184)
        file.write(b"\1")
    done = subprocess.run([TOOL, "check", "vdi", image], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert "outside of the file" in done.stdout
    assert "counts 1 blocks" in done.stdout
    run(TOOL, "check", "vdi", image, "repair")
    run(TOOL, "check", "vdi", image)
    run("qemu-img", "check", "-q", "-f", "vdi", image)


@pytest.mark.parametrize("size", [MIB, 20 * MIB + 512, 600 * MIB + 1536,
                                  130 << 30])
def test_vhd_sizes_by_geometry(tmp_path, size):
    ours, theirs = tmp_path / "ours.vhd", tmp_path / "theirs.vhd"
    run(TOOL, "create", "vhd", ours, size, "force_size=off")
    run("qemu-img", "create", "-q", "-f", "vpc", theirs, size)
    sizes = set()
    for image in (ours, theirs):
        sizes.add(json.loads(run(TOOL, "info", "vhd", image))["size"])
        sizes.add(json.loads(run("qemu-img", "info", "-f", "vpc",
                                 "--output=json", image))["virtual-size"])
    assert len(sizes) == 1
    assert ours.read_bytes()[-456:-448] == theirs.read_bytes()[-456:-448]


def test_vhd_grows_beyond_its_table(tmp_path):
    image, model = tmp_path / "disk.vhd", make_model(tmp_path, 8 * MIB)
    run(TOOL, "create", "vhd", image, 8 * MIB)
    for size in (900 * MIB, 901 * MIB, 5 << 30):
        run(TOOL, "random", "vhd", image, model, 20, size)
        run(TOOL, "resize", "vhd", image, size)
        with open(model, "r+b") as file:
            file.truncate(size)
        same(KINDS[2], image, model)


def test_vhd_mended_keeps_its_parent(tmp_path):
    """Room at the end that a crash left goes, what names the parent not."""
    base, image = tmp_path / "base.vhd", tmp_path / "disk.vhd"
    run(LODGE, "disk", "create", base, "8M")
    run(LODGE, "disk", "create", "--backing", base.name, image)
    data = image.read_bytes()
    image.write_bytes(data[:-512] + bytes(2 * MIB + 1024) + data[-512:])
    run(LODGE, "disk", "check", "--repair", image)
    assert image.stat().st_size == len(data)
    assert image.read_bytes() == data


def test_vhd_footer_is_found_by_its_copy(tmp_path):
    image, model = tmp_path / "disk.vhd", make_model(tmp_path, 8 * MIB)
    run(TOOL, "create", "vhd", image, 8 * MIB)
    run(TOOL, "random", "vhd", image, model, 20, 5)
    with open(image, "r+b") as file:
        file.seek(-512, os.SEEK_END)
        file.write(bytes(512))
    run(TOOL, "compare", "vhd", image, "raw", model)
    run(TOOL, "check", "vhd", image, "repair")
    same(KINDS[2], image, model)


def test_vhd_a_fixed_disk_is_what_it_is(tmp_path):
    """Whatever a guest writes to its first sector."""
    image, other = tmp_path / "disk.vhd", tmp_path / "other.vhd"
    run(TOOL, "create", "vhd", image, 8 * MIB, "subformat=fixed")
    run(TOOL, "create", "vhd", other, 4 * MIB)
    for head in (other.read_bytes(), b"QFI\xfb\0\0\0\3"):
        with open(image, "r+b") as file:
            file.write(head)
        info = json.loads(run(TOOL, "info", "vhd", image))
        assert (info["subformat"], info["size"]) == ("fixed", 8 * MIB)


def test_vhd_differences(tmp_path):
    (tmp_path / "sub").mkdir()
    base, top = tmp_path / "sub/base.vhd", tmp_path / "top.vhd"
    model = make_model(tmp_path, 12 * MIB)
    run(TOOL, "create", "vhd", base, 12 * MIB)
    run(TOOL, "random", "vhd", base, model, 30, 1)
    run(TOOL, "create", "vhd", top, 0, "backing=sub/base.vhd")
    run(TOOL, "compare", "vhd", top, "raw", model)
    before = base.read_bytes()
    for seed in range(5):
        run(TOOL, "random", "vhd", top, model, 60, seed)
        run(TOOL, "compare", "vhd", top, "raw", model)
        run(TOOL, "check", "vhd", top)
    assert base.read_bytes() == before
    base.unlink()
    run(TOOL, "create", "vhd", base, 12 * MIB)
    assert "another image" in refused(TOOL, "info", "vhd", top)
    base.unlink()
    assert "is missing" in refused(TOOL, "info", "vhd", top)


def test_vhd_damage_is_found(tmp_path):
    image = tmp_path / "disk.vhd"
    run(TOOL, "create", "vhd", image, 12 * MIB)
    run("qemu-io", "-f", "vpc", "-c", "write -P 1 0 1M", "-c",
        "write -P 2 2M 1M", "-c", "write -P 3 5M 1M", image)
    with open(image, "r+b") as file:
        file.seek(1536)
        first = file.read(4)
        file.seek(1536 + 4)
        file.write(first + b"\0\xff\xff\xff")
    done = subprocess.run([TOOL, "check", "vhd", image], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert "outside of the file" in done.stdout
    assert "share room" in done.stdout
