# SPDX-License-Identifier: Apache-2.0
"""Hostile images, made with qemu-img or byte by byte, are refused with a reason for the user."""

import os
import re
import shutil
import struct
import subprocess

import pytest

from common import image_check
from common.errors import ImageUnacceptable

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")


def qemu_img(*arguments):
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def reason_for(path, declared):
    with pytest.raises(ImageUnacceptable) as refusal:
        image_check.check(path, "img", declared)
    return str(refusal.value)


@pytest.fixture
def image(tmp_path):
    return tmp_path / "image"


@pytest.mark.parametrize("name", ["qcow2", "vmdk", "vdi", "vhdx"])
def test_whole_images_pass(image, name):
    qemu_img("create", "-f", name, image, "8M")

    assert image_check.check(image, "img", name) == image_check.ImageFile(name, 8 << 20)


def test_a_vhd_passes(image):
    qemu_img("create", "-f", "vpc", "-o", "force_size=on", image, "8M")

    assert image_check.check(image, "img", "vhd").format == "vhd"


def test_a_raw_disk_passes(image):
    image.write_bytes(b"\xeb\xfe" + bytes(4094))

    assert image_check.check(image, "img", "raw") == image_check.ImageFile("raw", 4096)


@pytest.mark.parametrize("backing_is_there", [True, False])
def test_a_qcow2_with_a_backing_file_is_refused(image, tmp_path, backing_is_there):
    backing = tmp_path / "shadow"
    backing.write_bytes(bytes(4096))
    qemu_img("create", "-f", "qcow2", "-b", backing, "-F", "raw", image)
    if not backing_is_there:
        backing.unlink()

    assert "names a backing file" in reason_for(image, "qcow2")


def test_a_qcow2_with_a_data_file_is_refused(image, tmp_path):
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path}/data", image, "1M")

    assert "keeps its data in another file" in reason_for(image, "qcow2")


def test_an_encrypted_qcow2_is_refused(image):
    qemu_img("create", "-f", "qcow2", image, "1M")
    with image.open("r+b") as file:
        file.seek(32)  # the header's crypt_method
        file.write(struct.pack(">I", 2))

    assert "encrypted" in reason_for(image, "qcow2")


def test_a_qcow2_declared_as_raw_is_refused(image):
    qemu_img("create", "-f", "qcow2", image, "1M")

    assert "declared as raw but its content is qcow2" in reason_for(image, "raw")


def test_a_raw_disk_declared_as_qcow2_is_refused(image):
    image.write_bytes(bytes(4096))

    assert "declared as qcow2 but its content is raw" in reason_for(image, "qcow2")


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse"])
def test_a_vmdk_with_extents_in_other_files_is_refused(image, subformat):
    qemu_img("create", "-f", "vmdk", "-o", f"subformat={subformat}", image, "1M")

    assert "refers to other files" in reason_for(image, "vmdk")


def test_a_cut_off_qcow2_is_refused(image):
    image.write_bytes(b"QFI\xfb\0\0\0\3")

    assert "cut off" in reason_for(image, "qcow2")


def test_a_qcow2_with_a_nonsense_header_is_refused_not_crashed_on(image):
    image.write_bytes(b"QFI\xfb" + struct.pack(">I", 3) + bytes(8) + b"\xff" * 16 + bytes(480))

    assert "unacceptable" in reason_for(image, "qcow2")


@pytest.mark.parametrize("declared", ["iso", "ami", "ploop", None, "../../x"])
def test_a_format_that_cannot_be_booted_is_refused(image, declared):
    image.write_bytes(bytes(512))

    assert "servers boot from raw, qcow2" in reason_for(image, declared)


def test_a_converted_image_holds_the_same_disk(image, tmp_path):
    raw = tmp_path / "raw"
    raw.write_bytes(b"boot" + bytes((1 << 20) - 4))
    qemu_img("convert", "-f", "raw", "-O", "vmdk", raw, image)

    image_check.convert(image, "vmdk", tmp_path / "out.qcow2", "img")

    qemu_img("convert", "-f", "qcow2", "-O", "raw", tmp_path / "out.qcow2", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == raw.read_bytes()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_qcow2_that_was_cut_off_is_refused(image, tmp_path, compressed):
    raw = tmp_path / "raw"
    raw.write_bytes(os.urandom(4 << 20))
    qemu_img("convert", "-O", "qcow2", *(["-c"] if compressed else []), "-f", "raw", raw, image)
    os.truncate(image, 2 << 20)

    assert "cut off" in reason_for(image, "qcow2")


@pytest.mark.parametrize("name", ["vmdk", "vdi", "vhdx"])
def test_other_formats_that_were_cut_off_are_refused_before_a_guest_sees_them(
    image, tmp_path, name
):
    raw = tmp_path / "raw"
    raw.write_bytes(os.urandom(4 << 20))
    options = ["-o", "subformat=streamOptimized"] if name == "vmdk" else []
    qemu_img("convert", "-O", name, *options, "-f", "raw", raw, image)
    os.truncate(image, 2 << 20)

    def use():
        image_check.check(image, "img", name)
        image_check.convert(image, name, tmp_path / "out", "img")

    with pytest.raises(ImageUnacceptable):
        use()


def test_a_qcow2_whose_tables_point_to_nowhere_is_refused(image):
    qemu_img("create", "-f", "qcow2", image, "1G")
    with image.open("r+b") as file:
        file.seek(40)
        (l1_table,) = struct.unpack(">Q", file.read(8))
        file.seek(l1_table)
        file.write(struct.pack(">Q", (1 << 63) | (1 << 45)))

    assert "corrupt" in reason_for(image, "qcow2")


def test_a_disk_of_an_exbibyte_is_taken_for_what_it_says(image):
    qemu_img("create", "-f", "qcow2", "-o", "cluster_size=2M", image, "64T")
    with image.open("r+b") as file:
        file.seek(24)  # the disk's size, which its tables do not have room for
        file.write(struct.pack(">Q", 1 << 62))

    assert "corrupt" in reason_for(image, "qcow2")


# Where a VMDK's descriptor is, and how long a line of it may be to be overwritten in place.
_DESCRIPTOR, _DESCRIPTOR_BYTES = 512, 20 * 512


def vmdk_with(image, change):
    """A sparse VMDK whose descriptor is what `change` makes of it."""
    qemu_img("create", "-f", "vmdk", image, "8M")
    with image.open("r+b") as file:
        file.seek(_DESCRIPTOR)
        text = file.read(_DESCRIPTOR_BYTES).rstrip(b"\0")
        changed = change(text)
        assert changed != text
        file.seek(_DESCRIPTOR)
        file.write(changed.ljust(_DESCRIPTOR_BYTES, b"\0"))
    return image


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # QEMU takes the first word that looks like it.
        (lambda text: b"createType:'monolithicFlat\"\n" + text, "kind"),
        (lambda text: b'# createType="monolithicFlat"\n' + text, "kind"),
        (lambda text: text.replace(b"monolithicSparse", b"vmfsSparse"), "kind"),
        (lambda text: text + b'\nRW 2048 FLAT "/etc/shadow" 0\n', "more than one file"),
        (lambda text: text.replace(b"SPARSE", b"FLAT"), "more than one file"),
        (lambda text: re.sub(rb'SPARSE "[^"]*"', b'SPARSE "/etc/shadow"', text), "one file"),
        (lambda text: re.sub(rb'SPARSE "[^"]*"', b'SPARSE "..\\\\x"', text), "one file"),
        (lambda text: text + b'\nparentFileNameHint="/etc/shadow"\n', "parent"),
        (lambda text: text.replace(b"parentCID=ffffffff", b"parentCID=12345678"), "parent"),
    ],
)
def test_a_vmdk_whose_descriptor_leads_elsewhere_is_refused(image, change, reason):
    assert reason in reason_for(vmdk_with(image, change), "vmdk")


def test_a_vmdk_without_a_size_is_refused(image):
    qemu_img("create", "-f", "vmdk", image, "8M")
    with image.open("r+b") as file:
        file.seek(12)  # its capacity: QEMU would read the descriptor as that of other files
        file.write(bytes(8))

    assert "without a size" in reason_for(image, "vmdk")


def with_footer(image, raw, **words):
    """A VMDK as a stream: the header at its end counts, in which `words` are changed."""
    raw.write_bytes(os.urandom(1 << 20))
    options = ("-o", "subformat=streamOptimized")
    qemu_img("convert", "-O", "vmdk", *options, "-f", "raw", raw, image)
    header = bytearray(image.read_bytes()[:512])
    footer = bytearray(header)
    for name, value in words.items():
        struct.pack_into("<Q", footer, {"capacity": 12, "descriptor": 28}[name], value)
    struct.pack_into("<Q", header, 56, (1 << 64) - 1)
    with image.open("r+b") as file:
        file.write(header)
        file.seek(0, os.SEEK_END)
        file.write(struct.pack("<QII", 1, 0, 3).ljust(512, b"\0") + footer + bytes(512))
    return image


def test_a_vmdk_that_is_a_stream_passes(image, tmp_path):
    assert image_check.check(with_footer(image, tmp_path / "raw"), "img", "vmdk") == (
        image_check.ImageFile("vmdk", 1 << 20)
    )


@pytest.mark.parametrize("words", [{"capacity": 0}, {"descriptor": 4096}])
def test_a_vmdk_whose_end_leads_elsewhere_is_refused(image, tmp_path, words):
    assert "contradict" in reason_for(with_footer(image, tmp_path / "raw", **words), "vmdk")


def test_a_cd_is_one(image):
    image.write_bytes(bytes(0x8001) + b"CD001" + bytes(2048))

    assert image_check.check_cd(image, "img").format == "raw"
    qemu_img("create", "-f", "qcow2", image, "1M")
    with pytest.raises(ImageUnacceptable, match="declared as iso but its content is qcow2"):
        image_check.check_cd(image, "img")
