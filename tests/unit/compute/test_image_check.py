# SPDX-License-Identifier: Apache-2.0
"""Hostile images, made with qemu-img or byte by byte, are refused with a reason for the user."""

import shutil
import struct
import subprocess

import pytest

from common.errors import ImageUnacceptable
from services.compute import image_check

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
