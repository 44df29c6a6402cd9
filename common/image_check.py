# SPDX-License-Identifier: Apache-2.0
"""Looks at an image file before QEMU may: an image comes from a user and is hostile.

A disk image format can name further files of the host (backing file, data file, extents), which a
guest could then read. Such images are refused by reading their headers ourselves, before
`qemu-img info` looks at the rest within limits of memory, time and files.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_utils.imageutils.format_inspector import (
    ImageFormatError,
    InspectWrapper,
    SafetyCheckFailed,
)

from common.errors import ImageUnacceptable
from common.image_headers import HEADER_BYTES, check_header, read, refuse
from common.space import NO_SPACE, disk_full

# Formats that hold a disk; compute hosts boot from the first two and convert the others.
FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhdx", "vhd")
_QEMU_NAME = {"vhd": "vpc"}
# Boot sectors look like partition tables, CDs can be disks at the same time, and a VHD may have its
# mark at its end only.
_DISKS = frozenset(("raw", "gpt", "iso"))
_MAY_LOOK_LIKE = {"raw": _DISKS, "iso": _DISKS, "vhd": frozenset(("vhd", "raw", "gpt"))}
_CHUNK_BYTES = 1 << 16
_MEMORY_BYTES = 1 << 30
_INFO_CPU_S = 10
_CONVERT_CPU_S = 1800
_CHECK_CPU_S = 60
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
        refuse(image_id, f"its format is {declared_format}; servers boot from {known}")
    found = sniff(path)
    # A raw disk may hold an ISO file system (hybrid images do), anything else says what it is.
    if found != declared_format and not (declared_format == "raw" and found == "iso"):
        refuse(image_id, f"it is declared as {declared_format} but its content is {found}")
    check_header(path, declared_format, image_id)
    _check_second_opinion(path, image_id, declared_format)
    info = _qemu_info(path, image_id, declared_format)
    _check_info(info, image_id)
    if declared_format == "qcow2":
        _check_tables(path, image_id)
    return ImageFile(declared_format, int(info["virtual-size"]))


def check_cd(path: Path, image_id: str) -> ImageFile:
    """The CD in `path`, which is what it is, sector by sector. Raises: ImageUnacceptable."""
    found = sniff(path)
    if found != "iso":
        refuse(image_id, f"it is declared as iso but its content is {found}")
    _check_second_opinion(path, image_id, "iso")
    return ImageFile("raw", path.stat().st_size)


def sniff(path: Path) -> str:
    """The format that the content shows; `raw` when it shows none."""
    header = read(path, 0, HEADER_BYTES)
    for offset, magic, name in _MAGIC:
        if header[offset : offset + len(magic)] == magic:
            return name
    size = path.stat().st_size
    # A fixed-size VHD has its mark in a footer only.
    return "vhd" if size >= 512 and read(path, size - 512, 8) == b"conectix" else "raw"


def convert(
    source: Path, source_format: str, target: Path, image_id: str, target_format: str = "qcow2"
) -> None:
    """Write `source` as another format into `target`. Raises: ImageUnacceptable, DiskFull."""
    formats = (_QEMU_NAME.get(name, name) for name in (source_format, target_format))
    flags = [word for pair in zip(("-f", "-O"), formats, strict=True) for word in pair]
    _qemu_img(["convert", *flags, str(source), str(target)], image_id, cpu_s=_CONVERT_CPU_S)


def _check_second_opinion(path: Path, image_id: str, disk_format: str) -> None:
    """Refuse what oslo.utils, which other services go by, takes for something else or for unsafe.

    An image that two readers take for two things is made to be taken for the wrong one.
    """
    try:
        with path.open("rb") as file:
            stream = InspectWrapper(file)
            while stream.formats is None and stream.read(_CHUNK_BYTES):
                pass
            stream.close()
        inspectors = {str(inspector): inspector for inspector in stream.formats or ()}
        strange = inspectors.keys() - _MAY_LOOK_LIKE.get(disk_format, frozenset((disk_format,)))
        if strange:
            refuse(image_id, f"its content is {' and '.join(sorted(inspectors))} at once")
        if disk_format in inspectors:
            inspectors[disk_format].safety_check()
    except SafetyCheckFailed as unsafe:
        reasons = ", ".join(str(failure) for failure in unsafe.failures.values())
        raise ImageUnacceptable(image=image_id, reason=f"it is unsafe: {reasons}") from unsafe
    except ImageFormatError as unreadable:
        raise ImageUnacceptable(image=image_id, reason="it cannot be read") from unreadable


def _qemu_info(path: Path, image_id: str, declared_format: str) -> dict[str, Any]:
    qemu_format = _QEMU_NAME.get(declared_format, declared_format)
    arguments = ["info", "-f", qemu_format, "--output=json", str(path)]
    try:
        info = json.loads(_qemu_img(arguments, image_id, cpu_s=_INFO_CPU_S))
    except ValueError as unreadable:
        raise ImageUnacceptable(image=image_id, reason="it cannot be read") from unreadable
    if not isinstance(info, dict) or not isinstance(info.get("virtual-size"), int):
        refuse(image_id, "it cannot be read")
    return dict(info)


def _check_tables(path: Path, image_id: str) -> None:
    """Refuse a qcow2 whose tables point beyond its end: it was cut off, or made to look so."""
    arguments = ["check", "-f", "qcow2", "--output=json", str(path)]
    try:
        # A hostile image has a line to say on each of its clusters.
        done = _run(arguments, cpu_s=_CHECK_CPU_S, stderr=subprocess.DEVNULL)
        found = json.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired) as unreadable:
        raise ImageUnacceptable(image=image_id, reason="it cannot be read") from unreadable
    # Clusters that nothing refers to (3) are wasted, and no harm.
    if done.returncode not in (0, 3) or found.get("corruptions") or found.get("check-errors"):
        refuse(image_id, "it is corrupt or cut off: it refers to data that is not there")


def _check_info(info: dict[str, Any], image_id: str) -> None:
    """The same promises as the header checks, by QEMU's own reading of the file."""
    data = info.get("format-specific", {}).get("data", {})
    if info.get("backing-filename") or info.get("full-backing-filename"):
        refuse(image_id, "it names a backing file; only images that stand alone are safe")
    if data.get("data-file"):
        refuse(image_id, "it keeps its data in another file; only whole images are safe")
    if data.get("corrupt") or info.get("dirty-flag"):
        refuse(image_id, "it is marked as corrupt")
    if info.get("encrypted"):
        refuse(image_id, "it is encrypted")


def _qemu_img(arguments: Sequence[str], image_id: str, *, cpu_s: int) -> str:
    try:
        done = _run(arguments, cpu_s=cpu_s)
    except subprocess.TimeoutExpired as endless:
        raise ImageUnacceptable(image=image_id, reason="reading it takes far too long") from endless
    if done.returncode and any(words in done.stderr for words in NO_SPACE):
        written = Path(arguments[-1])
        raise disk_full(f"image {image_id}", written.parent, 0)
    if done.returncode:
        said = (done.stderr or "").strip().rpartition(": ")[2] or f"exit status {done.returncode}"
        refuse(image_id, f"it is corrupt ({said})")
    return done.stdout


def _run(
    arguments: Sequence[str], *, cpu_s: int, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """qemu-img within limits. Raises: TimeoutExpired."""
    limits = ["prlimit", f"--as={_MEMORY_BYTES}", f"--cpu={cpu_s}", "--core=0", "--"]
    return subprocess.run(
        [*limits, "qemu-img", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
        timeout=cpu_s * 4,
        check=False,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )
