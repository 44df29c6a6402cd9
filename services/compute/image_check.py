# SPDX-License-Identifier: Apache-2.0
"""Looks at an image file before QEMU may: an image comes from a user and is hostile.

A disk image format can name further files of the host (backing file, data file, extents), which a
guest could then read. Such images are refused by reading their headers ourselves, before
`qemu-img info` looks at the rest within limits of memory, time and files.
"""

import json
import re
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from common.errors import ImageUnacceptable

# Formats that can be booted from; all but the first two are converted.
FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhdx", "vhd")
_QEMU_NAME = {"vhd": "vpc"}
_MEMORY_BYTES = 1 << 30
_INFO_CPU_S = 10
_CONVERT_CPU_S = 1800
_HEADER_BYTES = 1 << 16
_VMDK_KINDS = frozenset(("monolithicSparse", "streamOptimized"))
_QCOW2_EXTERNAL_DATA = 1 << 2
_MAGIC = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (0, b"QED\0", "qed"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0x8001, b"CD001", "iso"),
)


@dataclass(frozen=True)
class ImageFile:
    """An image file that was looked at: its format and the size of its disk in bytes."""

    format: str
    virtual_size: int


def check(path: Path, image_id: str, declared_format: str | None) -> ImageFile:
    """The image in `path`, when it is safe to boot from. Raises: ImageUnacceptable."""
    if declared_format not in FORMATS:
        known = ", ".join(FORMATS)
        _refuse(image_id, f"its format is {declared_format}; servers boot from {known}")
    found = sniff(path)
    # A raw disk may hold an ISO file system (hybrid images do), anything else says what it is.
    if found != declared_format and not (declared_format == "raw" and found == "iso"):
        _refuse(image_id, f"it is declared as {declared_format} but its content is {found}")
    header = _read(path, 0, _HEADER_BYTES)
    if declared_format == "qcow2":
        _check_qcow2(header, image_id)
    elif declared_format == "vmdk":
        _check_vmdk(path, header, image_id)
    info = _qemu_info(path, image_id, declared_format)
    _check_info(info, image_id)
    return ImageFile(declared_format, int(info["virtual-size"]))


def sniff(path: Path) -> str:
    """The format that the content shows; `raw` when it shows none."""
    header = _read(path, 0, _HEADER_BYTES)
    for offset, magic, name in _MAGIC:
        if header[offset : offset + len(magic)] == magic:
            return name
    size = path.stat().st_size
    # A fixed-size VHD has its mark in a footer only.
    return "vhd" if size >= 512 and _read(path, size - 512, 8) == b"conectix" else "raw"


def convert(source: Path, source_format: str, target: Path, image_id: str) -> None:
    """Write `source` as qcow2 into `target`. Raises: ImageUnacceptable."""
    qemu_format = _QEMU_NAME.get(source_format, source_format)
    arguments = ["convert", "-f", qemu_format, "-O", "qcow2", str(source), str(target)]
    _qemu_img(arguments, image_id, cpu_s=_CONVERT_CPU_S)


def _check_qcow2(header: bytes, image_id: str) -> None:
    if len(header) < 72:
        _refuse(image_id, "its qcow2 header is cut off")
    version, backing_offset = struct.unpack_from(">IQ", header, 4)
    (crypt_method,) = struct.unpack_from(">I", header, 32)
    if version not in (2, 3):
        _refuse(image_id, f"its qcow2 version is {version}; 2 and 3 are known")
    if backing_offset:
        _refuse(image_id, "it names a backing file; only images that stand alone are safe")
    if crypt_method:
        _refuse(image_id, "it is encrypted")
    if version == 3 and len(header) >= 80:
        (incompatible,) = struct.unpack_from(">Q", header, 72)
        if incompatible & _QCOW2_EXTERNAL_DATA:
            _refuse(image_id, "it keeps its data in another file; only whole images are safe")


def _check_vmdk(path: Path, header: bytes, image_id: str) -> None:
    if header[:4] != b"KDMV" or len(header) < 44:
        _refuse(image_id, "it is a VMDK that refers to other files; only whole images are safe")
    offset, sectors = struct.unpack_from("<QQ", header, 28)
    descriptor = _read(path, offset * 512, min(sectors * 512, _HEADER_BYTES))
    kind = re.search(rb'createType="([^"]*)"', descriptor)
    if kind is None or kind[1].decode(errors="replace") not in _VMDK_KINDS:
        _refuse(image_id, "it is a VMDK of a kind that may refer to other files")


def _qemu_info(path: Path, image_id: str, declared_format: str) -> dict[str, Any]:
    qemu_format = _QEMU_NAME.get(declared_format, declared_format)
    arguments = ["info", "-f", qemu_format, "--output=json", str(path)]
    try:
        info = json.loads(_qemu_img(arguments, image_id, cpu_s=_INFO_CPU_S))
    except ValueError as unreadable:
        raise ImageUnacceptable(image=image_id, reason="it cannot be read") from unreadable
    if not isinstance(info, dict) or not isinstance(info.get("virtual-size"), int):
        _refuse(image_id, "it cannot be read")
    return dict(info)


def _check_info(info: dict[str, Any], image_id: str) -> None:
    """The same promises as the header checks, by QEMU's own reading of the file."""
    data = info.get("format-specific", {}).get("data", {})
    if info.get("backing-filename") or info.get("full-backing-filename"):
        _refuse(image_id, "it names a backing file; only images that stand alone are safe")
    if data.get("data-file"):
        _refuse(image_id, "it keeps its data in another file; only whole images are safe")
    if data.get("corrupt") or info.get("dirty-flag"):
        _refuse(image_id, "it is marked as corrupt")
    if info.get("encrypted"):
        _refuse(image_id, "it is encrypted")


def _qemu_img(arguments: Sequence[str], image_id: str, *, cpu_s: int) -> str:
    limits = ["prlimit", f"--as={_MEMORY_BYTES}", f"--cpu={cpu_s}", "--core=0", "--"]
    try:
        done = subprocess.run(
            [*limits, "qemu-img", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=cpu_s * 4,
            check=False,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )
    except subprocess.TimeoutExpired as endless:
        raise ImageUnacceptable(image=image_id, reason="reading it takes far too long") from endless
    if done.returncode:
        said = done.stderr.strip().rpartition(": ")[2] or f"exit status {done.returncode}"
        _refuse(image_id, f"it is corrupt ({said})")
    return done.stdout


def _read(path: Path, offset: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(count)


def _refuse(image_id: str, reason: str) -> NoReturn:
    raise ImageUnacceptable(image=image_id, reason=reason)
