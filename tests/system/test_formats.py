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
GROWING = [k for k in KINDS if k.option not in (
    "static=on", "subformat=twoGbMaxExtentSparse",
    "subformat=twoGbMaxExtentFlat")]
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


@pytest.mark.parametrize("kind", GROWING, ids=repr)
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
    if kind.option == "static=on":
        return
    run(TOOL, "resize", kind.name, image, kind.size)
    os.truncate(model, kind.size)
    same(kind, image, model)
    run(TOOL, "random", kind.name, image, model, 60, 2)
    same(kind, image, model)


@pytest.mark.parametrize("option", ["subformat=twoGbMaxExtentSparse",
                                    "subformat=twoGbMaxExtentFlat"])
def test_split_images_keep_their_size(tmp_path, option):
    image = tmp_path / "disk.vmdk"
    run(TOOL, "create", "vmdk", image, 3 << 30, option)
    assert "keeps its size" in refused(TOOL, "resize", "vmdk", image, MIB)
    assert "keeps its size" in refused(TOOL, "resize", "vmdk", image, 4 << 30)


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


def test_vhdx_grows_beyond_its_table(tmp_path):
    image, model = tmp_path / "disk.vhdx", make_model(tmp_path, 8 * MIB)
    kind = Kind("vhdx", check=True)
    run(TOOL, "create", "vhdx", image, 8 * MIB, "block_size=1M")
    for size in (9 * MIB, 900 * MIB, 300 << 30):
        run(TOOL, "random", "vhdx", image, model, 20, size)
        run(TOOL, "resize", "vhdx", image, size)
        with open(model, "r+b") as file:
            file.truncate(size)
        if size < 1 << 30:
            same(kind, image, model)
    run("qemu-io", "-f", "vhdx", "-c", f"write -P 7 {size - 65536} 64k", "-c",
        "write -P 8 100G 64k", image)
    run("qemu-img", "check", "-q", "-f", "vhdx", image)
    run(TOOL, "check", "vhdx", image)


def killed(tmp_path):
    """A VHDX image as it is when the process dies behind a flush."""
    image = tmp_path / "disk.vhdx"
    run(TOOL, "create", "vhdx", image, 8 * MIB, "block_size=1M")
    done = subprocess.run([TOOL, "die", "vhdx", image], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 9, done
    return image


def test_vhdx_log_is_theirs(tmp_path):
    image = killed(tmp_path)
    run("qemu-img", "check", "-q", "-r", "all", "-f", "vhdx", image)
    run("qemu-io", "-f", "vhdx", "-c", "read -P 90 3M 64k", image)
    assert "log" not in run("qemu-io", "-r", "-f", "vhdx", "-c",
                            "read -P 90 3M 64k", image)


def test_vhdx_log_is_replayed(tmp_path):
    """Also where the tables did not get what the log has."""
    image, model = killed(tmp_path), make_model(tmp_path, 8 * MIB)
    run("qemu-io", "-f", "raw", "-c", "write -P 90 3M 64k", model)
    with open(image, "r+b") as file:
        file.seek(3 * MIB)
        file.write(bytes(MIB))
    assert "open it for writing once" in refused(TOOL, "info", "vhdx", image)
    run(TOOL, "check", "vhdx", image, "repair")
    same(Kind("vhdx", check=True), image, model)


def test_vhdx_log_that_lies(tmp_path):
    image = killed(tmp_path)
    with open(image, "r+b") as file:
        file.seek(MIB + 100)
        file.write(b"\1\2\3")
    assert "its log makes no sense" in refused(TOOL, "check", "vhdx", image,
                                               "repair")


def test_vhdx_guids_change_with_the_content(tmp_path):
    image = tmp_path / "disk.vhdx"
    run(TOOL, "create", "vhdx", image, 8 * MIB)

    def guids():
        heads = [image.read_bytes()[at:at + 48] for at in (65536, 131072)]
        newest = max(heads, key=lambda h: int.from_bytes(h[8:16], "little"))
        return newest[16:32], newest[32:48]

    before = guids()
    run(TOOL, "info", "vhdx", image)
    run(TOOL, "check", "vhdx", image)
    assert guids() == before
    run(TOOL, "random", "vhdx", image, make_model(tmp_path, 8 * MIB), 30, 1)
    assert guids()[0] != before[0] and guids()[1] != before[1]


# --- VHDX images on a parent ---------------------------------------------------

LOCATOR = 2 * MIB + 65536 + 4096  # where ours lies


def differing(tmp_path, option="block_size=1M", size=12 * MIB):
    """An image on a parent with content, and the raw model of that."""
    (tmp_path / "sub").mkdir()
    base, top = tmp_path / "sub/base.vhdx", tmp_path / "top.vhdx"
    model = make_model(tmp_path, size)
    run(TOOL, "create", "vhdx", base, size)
    run(TOOL, "random", "vhdx", base, model, 30, 1)
    run(TOOL, "create", "vhdx", top, 0, "backing=sub/base.vhdx", option)
    run(TOOL, "compare", "vhdx", top, "raw", model)
    return base, top, model


@pytest.mark.parametrize("option", ["block_size=1M", "block_size=4M",
                                    "subformat=dynamic"])
def test_vhdx_differences(tmp_path, option):
    base, top, model = differing(tmp_path, option)
    before = base.read_bytes()
    for seed in range(5):
        run(TOOL, "random", "vhdx", top, model, 60, seed)
        run(TOOL, "compare", "vhdx", top, "raw", model)
        run(TOOL, "check", "vhdx", top)
    assert base.read_bytes() == before
    run(TOOL, "create", "vhdx", tmp_path / "third.vhdx", 0,
        "backing=top.vhdx")
    run(TOOL, "random", "vhdx", tmp_path / "third.vhdx", model, 60, 7)
    run(TOOL, "compare", "vhdx", tmp_path / "third.vhdx", "raw", model)
    info = json.loads(run(TOOL, "info", "vhdx", top))
    assert info["subformat"] == "differencing"
    run(LODGE, "disk", "resize", tmp_path / "third.vhdx", "14M")
    os.truncate(model, 14 * MIB)
    run(TOOL, "compare", "vhdx", tmp_path / "third.vhdx", "raw", model)


def test_vhdx_differences_are_libvhdis(tmp_path):
    pyvhdi = pytest.importorskip("pyvhdi")
    base, top, model = differing(tmp_path)
    run(TOOL, "random", "vhdx", top, model, 90, 3)
    parent, child = pyvhdi.file(), pyvhdi.file()
    parent.open(str(base))
    child.open(str(top))
    assert child.get_parent_identifier() == parent.get_identifier()
    child.set_parent(parent)
    data = b"".join(child.read_buffer(MIB) for _ in range(12))
    assert data == model.read_bytes()


def partial(top, states):
    """Gives the first blocks of an image on a parent other states, as another
    program might: (state, sectors that are present, their bytes)."""
    data = bytearray(top.read_bytes())
    end = len(data)
    for block, (state, sectors, byte) in enumerate(states):
        entry = 3 * MIB + block * 8
        data[entry:entry + 8] = ((end if state > 5 else 0) |
                                 state).to_bytes(8, "little")
        if state > 5:
            data += bytes([0xee]) * MIB
            for sector in sectors:
                at = end + sector * 512
                data[at:at + 512] = bytes([byte]) * 512
        end = len(data)
    bitmap = 3 * MIB + 4096 * 8  # of chunks of 4096 blocks
    data[bitmap:bitmap + 8] = (end | 6).to_bytes(8, "little")
    data += bytes(MIB)
    for block, (_, sectors, _) in enumerate(states):
        for sector in sectors:
            data[end + block * 256 + sector // 8] |= 1 << sector % 8
    top.write_bytes(data)


def test_vhdx_states_of_blocks(tmp_path):
    """Written here after the specification, read and changed by lodge."""
    _, top, model = differing(tmp_path)
    states = [(7, [0, 9, 700, 2047], 1), (0, [], 0), (2, [3], 0),
              (3, [], 0), (6, list(range(2048)), 4), (7, [], 0)]
    partial(top, states)
    expected = bytearray(model.read_bytes())
    for block, (state, sectors, byte) in enumerate(states):
        at = block * MIB
        if state in (2, 3):
            expected[at:at + MIB] = bytes(MIB)
        elif state > 5:
            for sector in sectors:
                expected[at + sector * 512:at + sector * 512 + 512] = \
                    bytes([byte]) * 512
    model.write_bytes(expected)
    run(TOOL, "check", "vhdx", top)
    run(TOOL, "compare", "vhdx", top, "raw", model)
    run(TOOL, "random", "vhdx", top, model, 90, 5)
    run(TOOL, "compare", "vhdx", top, "raw", model)
    run(TOOL, "check", "vhdx", top)


def test_vhdx_wrong_parents(tmp_path):
    base, top, model = differing(tmp_path)
    run(TOOL, "random", "vhdx", base, model, 3, 9)
    assert "changed since" in refused(TOOL, "info", "vhdx", top)
    base.unlink()
    assert "is missing" in refused(TOOL, "info", "vhdx", top)
    shutil.copy(top, base)  # stands on sub/sub/base.vhdx
    assert "is missing" in refused(TOOL, "info", "vhdx", top)
    base.unlink()
    base.symlink_to(top)
    assert "stands on itself" in refused(TOOL, "info", "vhdx", top)
    base.unlink()
    outside = tmp_path / "sub/elsewhere.vhdx"
    run(TOOL, "create", "vhdx", outside, 12 * MIB)
    (tmp_path / "in").mkdir()
    inside = tmp_path / "in/top.vhdx"
    done = subprocess.run([LODGE, "disk", "create", "--backing",
                           "../sub/elsewhere.vhdx", inside],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "outside of its folder" in done.stderr
    for words in (["--backing", outside], ["--backing", "sub/elsewhere.vhdx",
                                           "--option", "subformat=fixed"],
                  ["--backing", model.name, "--backing-format", "raw"]):
        done = subprocess.run([LODGE, "disk", "create", *map(str, words),
                               tmp_path / "new.vhdx"], capture_output=True,
                              text=True, check=False)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert not (tmp_path / "new.vhdx").exists()


@pytest.mark.parametrize("at, data", [
    (LOCATOR, b"\0"), (LOCATOR + 18, b"\xff\xff"), (LOCATOR + 20, b"\0\0"),
    (LOCATOR + 20, b"\xff\xff\xff\xff"), (LOCATOR + 28, b"\0\0"),
    (LOCATOR + 28, b"\x1b"), (LOCATOR + 30, b"\xff\xff"),
    (LOCATOR + 36, b"\xff\xff\xff"), (LOCATOR + 44, b"X"),
    (2 * MIB + 32 + 5 * 32, b"X"), (2 * MIB + 32 + 5 * 32 + 16, b"\0\0"),
    (2 * MIB + 32 + 5 * 32 + 20, b"\xff\xff"),
])
def test_vhdx_locators_that_lie(tmp_path, at, data):
    _, top, _ = differing(tmp_path)
    with open(top, "r+b") as file:
        file.seek(at)
        file.write(data)
    refused(TOOL, "info", "vhdx", top)


def test_vhdx_damage_of_bitmaps(tmp_path):
    _, top, _ = differing(tmp_path)
    partial(top, [(7, [1], 1), (7, [2], 2)])
    bitmap = 3 * MIB + 4096 * 8
    for entry in (0, (MIB | 6), (1 << 40 | 6), (20 * MIB | 3)):
        with open(top, "r+b") as file:
            file.seek(bitmap)
            file.write(entry.to_bytes(8, "little"))
        done = subprocess.run([TOOL, "check", "vhdx", top],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "sector bitmap" in done.stdout
        refused(TOOL, "compare", "vhdx", top, "raw", top)
    run(TOOL, "check", "vhdx", top, "repair")
    run(TOOL, "check", "vhdx", top)


def test_vhdx_damage_is_found(tmp_path):
    image = tmp_path / "disk.vhdx"
    run(TOOL, "create", "vhdx", image, 8 * MIB, "block_size=1M")
    run("qemu-io", "-f", "vhdx", "-c", "write -P 1 0 1M", "-c",
        "write -P 2 1M 1M", image)
    with open(image, "r+b") as file:
        file.seek(3 * MIB)
        first = file.read(8)
        file.seek(3 * MIB + 8)
        file.write(first + (1 << 20 | 6).to_bytes(8, "little"))
    done = subprocess.run([TOOL, "check", "vhdx", image], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert "another block has its room" in done.stdout
    assert "lies where no block may" in done.stdout
    with open(image, "r+b") as file:
        file.seek(65536)
        file.write(bytes(4096))
    run(TOOL, "info", "vhdx", image)
    with open(image, "r+b") as file:
        file.seek(131072)
        file.write(bytes(4096))
    assert "headers" in refused(TOOL, "info", "vhdx", image)
