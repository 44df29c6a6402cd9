# SPDX-License-Identifier: Apache-2.0
"""Headers of disk images, read by ourselves before QEMU may: which of them name further files.

Each check raises ImageUnacceptable, with a reason for the owner of the image.
"""

import re
import struct
from pathlib import Path
from typing import NoReturn

from common.errors import ImageUnacceptable

HEADER_BYTES = 1 << 16
_SECTOR = 512
_QCOW2_EXTERNAL_DATA = 1 << 2
_VMDK_KINDS = frozenset((b"monolithicSparse", b"streamOptimized"))
# Its header is repeated at its end, and that one counts.
_VMDK_AT_END = (1 << 64) - 1
_VMDK_WORDS = "<4sIIQQQQIQQ"
_VDI_SIZES = {"data": 0x158, "block": 0x178, "allocated": 0x184}


def check_header(path: Path, disk_format: str, image_id: str) -> None:
    """Refuse an image that is more than its own file, or less. Raises: ImageUnacceptable."""
    header = read(path, 0, HEADER_BYTES)
    if disk_format == "qcow2":
        _check_qcow2(header, image_id)
    elif disk_format == "vmdk":
        _check_vmdk(path, header, image_id)
    elif disk_format == "vdi":
        _check_vdi(path, header, image_id)


def read(path: Path, offset: int, count: int) -> bytes:
    """A part of a file, as far as there is one."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(count)


def refuse(image_id: str, reason: str) -> NoReturn:
    """Raises: ImageUnacceptable."""
    raise ImageUnacceptable(image=image_id, reason=reason)


def _check_qcow2(header: bytes, image_id: str) -> None:
    if len(header) < 72:
        refuse(image_id, "its qcow2 header is cut off")
    version, backing_offset = struct.unpack_from(">IQ", header, 4)
    (crypt_method,) = struct.unpack_from(">I", header, 32)
    if version not in (2, 3):
        refuse(image_id, f"its qcow2 version is {version}; 2 and 3 are known")
    if backing_offset:
        refuse(image_id, "it names a backing file; only images that stand alone are safe")
    if crypt_method:
        refuse(image_id, "it is encrypted")
    if version == 3 and len(header) >= 80:
        (incompatible,) = struct.unpack_from(">Q", header, 72)
        if incompatible & _QCOW2_EXTERNAL_DATA:
            refuse(image_id, "it keeps its data in another file; only whole images are safe")


def _check_vmdk(path: Path, header: bytes, image_id: str) -> None:
    """A sparse VMDK with one extent, itself, and no parent, whichever of its headers counts."""
    if header[:4] != b"KDMV" or len(header) < struct.calcsize(_VMDK_WORDS):
        refuse(image_id, "it is a VMDK that refers to other files; only whole images are safe")
    words = struct.unpack_from(_VMDK_WORDS, header)
    capacity, descriptor_at, sectors, directory_at = words[3], words[5], words[6], words[9]
    # Without a capacity QEMU takes the descriptor for that of other files.
    if not capacity:
        refuse(image_id, "it is a VMDK without a size, which refers to other files")
    if directory_at == _VMDK_AT_END:
        footer = read(path, max(0, path.stat().st_size - 2 * _SECTOR), HEADER_BYTES)
        if footer[:4] != b"KDMV" or len(footer) < struct.calcsize(_VMDK_WORDS):
            refuse(image_id, "it is a VMDK whose end is cut off")
        last = struct.unpack_from(_VMDK_WORDS, footer)
        if last[3] != capacity or (last[5] or descriptor_at) != descriptor_at:
            refuse(image_id, "it is a VMDK whose headers contradict one another")
    text = read(path, descriptor_at * _SECTOR, min(sectors * _SECTOR, HEADER_BYTES))
    _check_descriptor(text, image_id)


def _check_descriptor(text: bytes, image_id: str) -> None:
    kind = re.search(rb'^createType="([^"]*)"', text, re.MULTILINE)
    if kind is None or kind[1] not in _VMDK_KINDS or text.count(b"createType") != 1:
        refuse(image_id, "it is a VMDK of a kind that may refer to other files")
    extents = re.findall(rb"^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\S+)(.*)$", text, re.MULTILINE)
    names_a_path = any(b"/" in rest or b"\\" in rest for _, rest in extents)
    if len(extents) != 1 or extents[0][0] != b"SPARSE" or names_a_path:
        refuse(image_id, "it is a VMDK of more than one file; only whole images are safe")
    parent = re.search(rb"parentCID=(\w+)", text)
    if b"parentFileNameHint" in text or (parent and parent[1].lower() != b"ffffffff"):
        refuse(image_id, "it is a VMDK with a parent; only images that stand alone are safe")


def _check_vdi(path: Path, header: bytes, image_id: str) -> None:
    """Unlike other formats, QEMU reads one that is cut off, as zeros."""
    if len(header) < _SECTOR:
        refuse(image_id, "its VDI header is cut off")
    found = {name: struct.unpack_from("<I", header, at)[0] for name, at in _VDI_SIZES.items()}
    if path.stat().st_size < found["data"] + found["allocated"] * found["block"]:
        refuse(image_id, "it is cut off")
