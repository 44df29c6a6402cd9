# SPDX-License-Identifier: Apache-2.0
"""Images that want more of a host than a disk: each is refused in words and leaves nothing."""

import os
import shutil
import struct
import subprocess

import pytest

from common.errors import ImageNotFound, ImageUnacceptable
from common.objects.image import ImageMeta
from services.compute.images import GIB, ImageCache

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
SECRET = "/etc/passwd"


def never():
    """A checkpoint that lets go on."""


class FileSource:
    """An image service that gives a file."""

    def __init__(self, path):
        self.path = path

    def download(self, image_id):
        with self.path.open("rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk


def qemu_img(*arguments):
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def backed(path):
    qemu_img("create", "-f", "qcow2", "-b", SECRET, "-F", "raw", path)
    return "qcow2", "backing file"


def with_data_file(path):
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={path}.data", path, "1M")
    return "qcow2", "data in another file"


def with_raw_data_file(path):
    """As the one above, made by hand: it names a file of the host, which qemu-img would not."""
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={path}.data,data_file_raw=on", path, "1M")
    name = f"{path}.data".encode()
    content = path.read_bytes()
    assert name in content
    path.write_bytes(content.replace(name, SECRET.encode().ljust(len(name), b"\0")))
    return "qcow2", "data in another file"


def vmdk(subformat):
    def make(path):
        qemu_img("create", "-f", "vmdk", "-o", f"subformat={subformat}", path, "1M")
        return "vmdk", "VMDK"

    make.__name__ = subformat
    return make


def vmdk_descriptor(kind, extent):
    """A VMDK that is text alone, and leads to a file of the host."""

    def make(path):
        path.write_text(
            "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
            f'createType="{kind}"\n\n{extent}\n\nddb.adapterType = "ide"\n'
        )
        return "vmdk", "refers to other files"

    make.__name__ = f"{kind}-{extent.split()[2]}"
    return make


def bomb(disk_format):
    def make(path):
        qemu_img("create", "-f", disk_format, path, "1T")
        return disk_format, "needs a disk of 1024 GiB and the flavor gives 1 GiB"

    make.__name__ = f"bomb-{disk_format}"
    return make


def packed_bomb(path):
    """Zeros in compressed clusters: a few bytes for each 64 KiB of them."""
    zeros = path.with_name("zeros")
    zeros.write_bytes(bytes(8 << 20))
    qemu_img("convert", "-c", "-S", "0", "-f", "raw", "-O", "qcow2", zeros, path)
    qemu_img("resize", "-f", "qcow2", path, "2G")
    return "qcow2", "needs a disk of 2 GiB and the flavor gives 1 GiB"


def holes(path):
    with path.open("wb") as file:
        file.truncate(17 << 20)
    return "raw", "larger than 16777216 bytes"


def with_endless_tables(path):
    qemu_img("create", "-f", "qcow2", path, "1M")
    with path.open("r+b") as file:
        file.seek(36)
        file.write(struct.pack(">I", 0x7FFFFFFF))  # entries of its first table
    return "qcow2", "corrupt"


def cut_off(path):
    source = path.with_name("source")
    source.write_bytes(os.urandom(2 << 20))
    qemu_img("convert", "-f", "raw", "-O", "qcow2", source, path)
    os.truncate(path, 1 << 20)
    return "qcow2", "cut off"


def qcow2_as(declared):
    def make(path):
        qemu_img("create", "-f", "qcow2", path, "1M")
        return declared, f"declared as {declared} but its content is qcow2"

    make.__name__ = f"qcow2-as-{declared}"
    return make


def raw_as_qcow2(path):
    path.write_bytes(b"\xeb\xfe" + bytes(4094))
    return "qcow2", "declared as qcow2 but its content is raw"


def cd_as_qcow2(path):
    path.write_bytes(bytes(0x8001) + b"CD001" + bytes(2042))
    return "qcow2", "declared as qcow2 but its content is iso"


def qcow2_in_a_cd(path):
    """Both at once: a reader who looks for a CD finds one."""
    qemu_img("create", "-f", "qcow2", path, "1M")
    with path.open("r+b") as file:
        file.seek(0x8000)
        file.write(b"\x01CD001\x01".ljust(2048, b"\0"))
    return "qcow2", "iso and qcow2 at once"


def luks(path):
    path.write_bytes(b"LUKS\xba\xbe\0\1".ljust(4096, b"\0"))
    return "raw", "declared as raw but its content is luks"


def luks_in_qcow2(path):
    qemu_img("create", "-f", "qcow2", path, "1M")
    with path.open("r+b") as file:
        file.seek(32)
        file.write(struct.pack(">I", 2))  # its way of encryption
    return "qcow2", "encrypted"


def of_the_future(path):
    qemu_img("create", "-f", "qcow2", path, "1M")
    with path.open("r+b") as file:
        file.seek(72)
        file.write(struct.pack(">Q", 1 << 40))  # a feature that nobody knows
    return "qcow2", "unsafe: Unknown QCOW2 features"


HOSTILE = [
    backed,
    with_data_file,
    with_raw_data_file,
    *map(vmdk, ("monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat")),
    vmdk_descriptor("monolithicFlat", f'RW 2048 FLAT "{SECRET}" 0'),
    vmdk_descriptor("monolithicSparse", f'RW 2048 SPARSE "{SECRET}"'),
    vmdk_descriptor("vmfs", f'RW 2048 VMFS "{SECRET}"'),
    vmdk_descriptor("streamOptimized", f'RW 2048 SPARSE "{SECRET}"'),
    *map(bomb, ("qcow2", "vdi", "vhdx")),
    packed_bomb,
    holes,
    with_endless_tables,
    cut_off,
    *map(qcow2_as, ("raw", "iso", "vmdk")),
    raw_as_qcow2,
    cd_as_qcow2,
    qcow2_in_a_cd,
    luks,
    luks_in_qcow2,
    of_the_future,
]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_image_is_refused_and_leaves_nothing(tmp_path, make):
    image = tmp_path / "image"
    declared, reason = make(image)
    cache = ImageCache(tmp_path / "cache", FileSource(image), most_bytes=16 << 20)
    meta = ImageMeta(id="hostile", disk_format=declared)

    with pytest.raises(ImageUnacceptable, match=reason) as refused:
        cache.fetch(meta, disk_gib=1, checkpoint=never)

    # What was read of it may stay, as it is asked for again; nothing that it unpacks to.
    left = sum(path.stat().st_size for path in (tmp_path / "cache").iterdir())
    assert left <= 2 * image.stat().st_size
    assert SECRET not in str(refused.value)


def test_an_image_larger_than_hosts_download_is_not_begun(tmp_path):
    cache = ImageCache(tmp_path, FileSource(tmp_path / "never-opened"), most_bytes=GIB)
    meta = ImageMeta(id="big", disk_format="raw", size=1 << 40)

    with pytest.raises(ImageUnacceptable, match="larger than 1 GiB, the most that hosts download"):
        cache.fetch(meta, disk_gib=2000, checkpoint=never)


def test_an_image_that_is_deleted_meanwhile_is_not_found(tmp_path):
    class Deleted:
        def download(self, image_id):
            raise ImageNotFound(image=image_id)

    cache = ImageCache(tmp_path, Deleted(), most_bytes=GIB)

    with pytest.raises(ImageNotFound, match="Image gone could not be found"):
        cache.fetch(ImageMeta(id="gone", disk_format="raw"), disk_gib=1, checkpoint=never)
    assert list(tmp_path.iterdir()) == []
