# SPDX-License-Identifier: Apache-2.0
"""A container's root file system, as a file: made of an image, grown, and looked at before it is
mounted.

Only programs that work on files touch it here; nothing is mounted on the host. What they read is
the image owner's, and hostile: each has a time limit, and what it cannot read is refused.
"""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common.errors import HypervisorError, ImageUnacceptable
from services.compute.images import GIB, CachedImage
from services.compute.virt.libvirt.disk_files import preallocate, qemu_img, run

# Those that can be made larger, and looked into, without being mounted.
GROWS = ("ext2", "ext3", "ext4")
_TIMEOUT_S = 600
_SECTOR = 512
_MOST_PARTITIONS = 16
# e2fsck: nothing was wrong, or it was mended.
_MENDED = (0, 1, 2)
# Where libvirt mounts by itself what every container has.
_ALWAYS_MOUNTED = ("/dev", "/proc", "/sys")


@dataclass(frozen=True)
class Partition:
    """A part of a disk, in bytes."""

    start: int
    size: int


def make_root(
    image: CachedImage, image_path: Path, target: Path, size_gib: int, *, takes_room: bool = False
) -> None:
    """Write the image's file system to `target`, with `size_gib` GiB (0: as large as it is).

    That of the whole disk, or of its largest partition that has one. Whole or not at all.
    Raises: ImageUnacceptable, DiskFull, HypervisorError.
    """
    whole, part = target.with_name(f"{target.name}.whole"), target.with_name(f"{target.name}.part")
    try:
        whole_disk = ("-f", image.format, "-O", "raw", str(image_path), str(whole))
        qemu_img("convert", *whole_disk, need_bytes=image.virtual_size)
        if _file_system_in(whole) in GROWS:
            whole.replace(part)
        else:
            _cut_out(whole, _find_partition(whole, image.image_id), part)
        problem = _grow(part, size_gib * GIB)
        if problem:
            raise ImageUnacceptable(image=image.image_id, reason=problem)
        if takes_room:
            preallocate(part, part.stat().st_size)
        part.replace(target)
    finally:
        for rest in (whole, part):
            rest.unlink(missing_ok=True)


def grow_file_system(path: Path, size_bytes: int) -> None:
    """Make a file system larger that nobody uses, if it is of a kind that can be.

    Again: it is. Raises: HypervisorError.
    """
    problem = _grow(path, size_bytes) if _file_system_in(path) in GROWS else None
    if problem:
        raise HypervisorError(reason=problem)


def check_mount_points(path: Path, targets: Sequence[str]) -> None:
    """No symbolic link stands where the hypervisor will mount, `targets` included.

    The hypervisor follows them before the container is closed off from the host.
    Raises: HypervisorError, which names it.
    """
    places = sorted(
        {str(place) for target in (*_ALWAYS_MOUNTED, *targets) for place in _way(target)}
    )
    asked = "".join(f"stat {place}\n" for place in places)
    # -c: the bitmaps are not read, which a damaged file system may lack.
    told = _try("debugfs", "-c", "-f", "-", str(path), given=asked)
    place, seen = "", set()
    for line in told.stdout.splitlines():
        if line.startswith("debugfs: stat "):
            place = line.removeprefix("debugfs: stat ").strip()
            seen.add(place)
        elif line.startswith("Inode:") and "Type: symlink" in line:
            reason = f"the container's file system has a symbolic link at {place}"
            raise HypervisorError(reason=f"{reason}, where the host would mount")
    if told.returncode or not seen.issuperset(places):
        reason = f"the container's file system cannot be read: {told.stderr.strip()[:500]}"
        raise HypervisorError(reason=reason)


def _way(target: str) -> Iterator[PurePosixPath]:
    """A path and all above it but the root."""
    path = PurePosixPath(target)
    yield from (place for place in (path, *path.parents) if place != PurePosixPath("/"))


def _find_partition(disk: Path, image_id: str) -> Partition:
    """Raises: ImageUnacceptable."""
    for partition in sorted(_partitions(disk), key=lambda p: p.size, reverse=True):
        if _file_system_in(disk, partition) in GROWS:
            return partition
    known = ", ".join(GROWS)
    reason = f"a container needs a root file system ({known}) in it, alone or in a partition"
    raise ImageUnacceptable(image=image_id, reason=reason)


def _partitions(disk: Path) -> list[Partition]:
    """Those of a disk that has such."""
    told = _try("partx", "--raw", "--noheadings", "--output", "START,SECTORS", str(disk))
    if told.returncode:
        return []
    rows = [line.split() for line in told.stdout.splitlines()][:_MOST_PARTITIONS]
    size = disk.stat().st_size
    found = [Partition(int(start) * _SECTOR, int(count) * _SECTOR) for start, count in rows]
    return [p for p in found if p.size and p.start + p.size <= size]


def _file_system_in(disk: Path, partition: Partition | None = None) -> str | None:
    """The kind of a file system; None where there is none, or more than one could be meant."""
    where: tuple[str, ...] = ()
    if partition is not None:
        where = ("--offset", str(partition.start), "--size", str(partition.size))
    told = _try("blkid", "--probe", *where, "--match-tag", "TYPE", "--output", "value", str(disk))
    return told.stdout.strip() or None


def _cut_out(disk: Path, partition: Partition, target: Path) -> None:
    """Raises: DiskFull, HypervisorError."""
    name = str(disk).replace(",", ",,")
    part = f"driver=raw,offset={partition.start},size={partition.size}"
    source = f"{part},file.driver=file,file.filename={name}"
    cut = ("--image-opts", source, "-O", "raw", str(target))
    qemu_img("convert", *cut, need_bytes=partition.size)


def _grow(path: Path, size_bytes: int) -> str | None:
    """Mend the file system and let it fill `size_bytes`; what is wrong with it, if something is."""
    if path.stat().st_size < size_bytes:
        with path.open("r+b") as file:
            file.truncate(size_bytes)
    checked = _try("e2fsck", "-f", "-p", str(path))
    if checked.returncode not in _MENDED:
        return f"its file system is damaged: {checked.stdout.strip()[:500]}"
    run("resize2fs", str(path))
    return None


def _try(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program, which may fail. Raises: HypervisorError (it takes too long)."""
    try:
        return subprocess.run(
            command, input=given,
            capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise HypervisorError(reason=f"{command[0]} took more than {_TIMEOUT_S} s") from late
