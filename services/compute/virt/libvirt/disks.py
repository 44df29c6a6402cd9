# SPDX-License-Identifier: Apache-2.0
"""The files of an instance: its disks, config drive and console log, in one folder.

A disk appears under its name only when it is complete, so a folder that a killed daemon left half
made is completed by the next run. A folder to remove is renamed first: what is half removed is not
taken for an instance.

Hosts may share the folder of all instances. So each instance's folder says which host has it, and
no other one removes it.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from common.errors import NotSupported
from common.objects.instance import Instance
from services.compute import block_devices
from services.compute.images import GIB, CachedImage
from services.compute.virt.libvirt.disk_files import (
    create_overlay,
    preallocate,
    qemu_img,
    run,
)
from services.compute.virt.libvirt.domain_xml.spec import Backing, DiskSpec

ROOT = "disk"
EPHEMERAL = "disk.eph0"  # the first one; others have higher numbers
SWAP = "disk.swap"
_WRITTEN = (ROOT, SWAP)
CONFIG_DRIVE = "disk.config"
NVRAM = "nvram.fd"
TPM = "tpm.json"  # while the guest moves: what its TPM remembers
CONSOLE_LOG = "console.log"
SNAPSHOT = ".snapshot"  # beside the folders: what is on its way to the image service
_ASIDE = ".aside"  # a folder whose guest has moved, or is moving
_OWNER = "owner"
_IMAGE_MARK = "image"  # holds the id of the image that the root disk is an overlay of
_RESCUE = "disk.rescue"
_RESCUE_CONFIG_DRIVE = "disk.config.rescue"  # takes the place of the other one
_RESCUE_IMAGE_MARK = "image.rescue"  # the same for the rescue disk
_RESCUE_DRIVE = "rescue.json"  # as what it comes beside the others, if it does
_REMOVED = ".removed"


class Owner(msgspec.Struct, frozen=True):
    """The host whose files they are. `lent_by`: the one that it took them over from, to which they
    go back when that comes to nothing.
    """

    host: str
    lent_by: str | None = None


class RescueDrive(msgspec.Struct, frozen=True):
    """A rescue disk that leaves the guest's other disks as they are. `bus` None: the usual one."""

    device: str = "disk"
    bus: str | None = None


# Where the cached image with an id is, if it is.
FindImage = Callable[[str], Backing | None]


class InstanceFolder:
    """An instance's files below `instances`. `aside`: those of a guest that has moved."""

    def __init__(self, instances: Path, instance_uuid: str, *, aside: bool = False) -> None:
        self.path = instances / (instance_uuid + (_ASIDE if aside else ""))

    @property
    def owner(self) -> Owner | None:
        """Whose files they are; None when nobody's, or of a time when nobody said."""
        try:
            return msgspec.json.decode((self.path / _OWNER).read_bytes(), type=Owner)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def take(self, host: str, *, lent_by: str | None = None) -> None:
        """They are this host's from now on. Again: they are."""
        fresh = self.path / f"{_OWNER}.new"
        fresh.write_bytes(msgspec.json.encode(Owner(host, lent_by)))
        fresh.replace(self.path / _OWNER)

    def create(self) -> None:
        """Make the folder; nobody but its owner looks in. Again: nothing."""
        self.path.mkdir(parents=True, exist_ok=True)
        # QEMU may run as another user: it must pass through, but not list.
        self.path.chmod(0o711)

    @property
    def exists(self) -> bool:
        """Whether there are any files."""
        return self.path.exists()

    @property
    def nvram(self) -> Path:
        """The variables of the firmware of a guest that has such."""
        return self.path / NVRAM

    @property
    def tpm_state(self) -> Path:
        """What the TPM of a guest that moves remembers."""
        return self.path / TPM

    @property
    def console_log(self) -> Path:
        """Where the serial port's output goes."""
        return self.path / CONSOLE_LOG

    @property
    def config_drive(self) -> Path:
        """The config drive's file, whether or not there is one."""
        return self.path / CONFIG_DRIVE

    @property
    def rescue_config_drive(self) -> Path:
        """The file of the config drive that a rescue image sees, with a password of its own."""
        return self.path / _RESCUE_CONFIG_DRIVE

    def has_root_disk(self) -> bool:
        """Whether there is a root disk to start from."""
        return (self.path / ROOT).exists()

    @property
    def image_id(self) -> str | None:
        """The image that the root disk is an overlay of; None when it stands alone."""
        try:
            return (self.path / _IMAGE_MARK).read_text().strip()
        except FileNotFoundError:
            return None

    @property
    def root_format(self) -> str:
        """By our own mark, not by the content: a guest may write what looks like a qcow2 header,
        with a backing file of its choice, into a raw disk.
        """
        return "raw" if self.image_id is None else "qcow2"

    def stands_on(self, image_id: str) -> None:
        """The root disk is, or will be, an overlay of this image, which must stay as long."""
        (self.path / _IMAGE_MARK).write_text(image_id)

    def make_root_disk(
        self,
        image: CachedImage,
        image_path: Path,
        size_gib: int,
        disk_format: str,
        *,
        takes_room: bool = False,
    ) -> None:
        """The root disk of `size_gib` GiB (0: the image's size). Again: one that is there stays.

        qcow2: an overlay on the cached image. raw: a copy. `takes_room`: at once, not as it fills.
        Raises: DiskFull, HypervisorError.
        """
        target = self.path / ROOT
        if target.exists():
            return
        mark = self.path / _IMAGE_MARK
        size = size_gib * GIB or image.virtual_size
        if disk_format != "raw":
            _make_overlay(target, image, image_path, size, mark, takes_room=takes_room)
            return
        part = target.with_suffix(".part")
        part.unlink(missing_ok=True)
        mark.unlink(missing_ok=True)
        qemu_img(
            "convert", "-f", image.format, "-O", "raw", str(image_path), str(part),
            need_bytes=image.virtual_size,
        )  # fmt: skip
        qemu_img("resize", "-f", "raw", str(part), str(size))
        if takes_room:
            preallocate(part, size)
        part.replace(target)

    def make_rescue_disk(
        self, image: CachedImage, image_path: Path, drive: RescueDrive | None = None
    ) -> None:
        """The disk to rescue from, an overlay on the cached image. Again: it stays.

        Raises: DiskFull, HypervisorError.
        """
        target, drive_file = self.path / _RESCUE, self.path / _RESCUE_DRIVE
        if not target.exists():
            drive_file.unlink(missing_ok=True)
            if drive is not None:
                drive_file.write_bytes(msgspec.json.encode(drive))
            mark = self.path / _RESCUE_IMAGE_MARK
            _make_overlay(target, image, image_path, image.virtual_size, mark)

    @property
    def rescue_drive(self) -> RescueDrive | None:
        """As what the rescue disk comes beside the others; None: it takes the first one's place."""
        try:
            return msgspec.json.decode((self.path / _RESCUE_DRIVE).read_bytes(), type=RescueDrive)
        except FileNotFoundError:
            return None

    def has_rescue_disk(self) -> bool:
        """Whether the guest is to start from one."""
        return (self.path / _RESCUE).exists()

    def remove_rescue_disk(self) -> None:
        """The guest starts from its own disk from now on. Again: it does."""
        part = f"{_RESCUE}.part"
        for name in (_RESCUE, part, _RESCUE_IMAGE_MARK, _RESCUE_CONFIG_DRIVE, _RESCUE_DRIVE):
            (self.path / name).unlink(missing_ok=True)

    def copy_root_disk(self, target: Path, *, cut_off: Path | None = None) -> None:
        """Write what the root disk has, base image included, as one qcow2 file.

        `cut_off` is a qcow2 copy of the disk of a guest that runs on, which is used up.
        Again: anew. Raises: DiskFull, HypervisorError.
        """
        part = target.with_suffix(".part")
        source, source_format = self.path / ROOT, self.root_format
        if cut_off is not None:
            source, source_format = cut_off, "qcow2"
        try:
            # -U: a guest that stands still keeps the file open.
            qemu_img("convert", "-U", "-f", source_format, "-O", "qcow2", str(source), str(part))
            part.replace(target)
        finally:
            for rest in (part, cut_off):
                if rest is not None:
                    rest.unlink(missing_ok=True)

    def make_blank_disk(
        self, name: str, size_mib: int, make_content: tuple[str, ...], *, takes_room: bool = False
    ) -> None:
        """A raw disk `name` that `make_content` (a command; the path comes last) formats.

        Again: one that is there stays. Raises: DiskFull, HypervisorError.
        """
        target = self.path / name
        if target.exists():
            return
        part = self.path / f"{name}.part"
        with part.open("wb") as file:
            file.truncate(size_mib << 20)
        run(*make_content, str(part))
        if takes_room:
            preallocate(part, size_mib << 20)
        part.replace(target)

    def disks(self, find_image: FindImage) -> tuple[DiskSpec, ...]:
        """The disks that are there, in the order in which the guest sees them."""
        config = CONFIG_DRIVE
        if self.rescue_config_drive.exists():
            config = _RESCUE_CONFIG_DRIVE
        candidates = (
            (_RESCUE, "qcow2", "rescue", _RESCUE_IMAGE_MARK),
            (ROOT, self.root_format, "root", _IMAGE_MARK),
            *((name, "raw", "ephemeral", None) for name in self.ephemerals()),
            (SWAP, "raw", "swap", None),
            (config, "raw", "config", None),
        )
        return tuple(
            DiskSpec(str(self.path / name), disk_format, role, self._backing(mark, find_image))
            for name, disk_format, role, mark in candidates
            if (self.path / name).exists()
        )

    def written(self) -> list[str]:
        """The files of disks that the guest writes to."""
        return [path.name for path in self.path.glob("disk*") if is_written(path.name)]

    def ephemerals(self) -> list[str]:
        """The files of further disks, by number."""
        names = [path.name for path in self.path.glob("disk.eph*") if is_ephemeral(path.name)]
        return sorted(names, key=lambda name: (len(name), name))

    def _backing(self, mark: str | None, find_image: FindImage) -> Backing | None:
        path = self.path / mark if mark else None
        if path is None or not path.exists():
            return None
        return find_image(path.read_text().strip())

    def set_aside(self, aside: "InstanceFolder") -> None:
        """Give it the name under which it waits. Again: not."""
        self.path.rename(aside.path)

    def remove(self) -> None:
        """Remove all of it. Again, even while another does: nothing left to remove is fine."""
        doomed = self.path.with_name(self.path.name + _REMOVED)
        _remove_tree(doomed)
        try:
            self.path.rename(doomed)
        except FileNotFoundError:
            return
        _remove_tree(doomed)


def _remove_tree(folder: Path) -> None:
    """Remove a folder with all in it; what somebody else removes meanwhile is gone as well.

    Raises: OSError when something cannot be removed.
    """

    def missing_is_fine(_function: object, _path: str, failure: Any) -> None:
        if not isinstance(failure[1], FileNotFoundError):
            raise failure[1]

    shutil.rmtree(folder, onerror=missing_is_fine)


def _make_overlay(
    target: Path,
    image: CachedImage,
    image_path: Path,
    size_bytes: int,
    mark: Path,
    *,
    takes_room: bool = False,
) -> None:
    """A disk that starts with what `image` has; `mark` tells that it needs the image."""
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    mark.write_text(image.image_id)  # first: the image must stay as long as the overlay
    create_overlay(part, Backing(str(image_path), image.format), size_bytes)
    if takes_room:
        preallocate(part, size_bytes)
    part.replace(target)


def is_written(name: str) -> bool:
    """Whether a file of this name is a disk that the guest writes to."""
    return name in _WRITTEN or is_ephemeral(name)


def is_ephemeral(name: str) -> bool:
    """Whether a file of this name is a further disk."""
    return re.fullmatch(r"disk\.eph\d+", name) is not None


def make_blank_disks(
    folder: InstanceFolder, instance: Instance, *, takes_room: bool = False
) -> None:
    """The further disks that the instance gets. Again: those that are there stay.

    `takes_room`: at once, not as they fill. Raises: DiskFull, HypervisorError, NotSupported.
    """
    make_ephemeral_disks(folder, instance, takes_room=takes_room)
    swap = block_devices.swap(instance)
    if swap is not None:
        command = ("mkswap", "-q", "-L", "swap")
        folder.make_blank_disk(SWAP, swap.size_mib, command, takes_room=takes_room)


def make_ephemeral_disks(
    folder: InstanceFolder, instance: Instance, *, takes_room: bool = False
) -> None:
    """Those of them that have a file system. Again: those that are there stay.

    Raises: DiskFull, HypervisorError, NotSupported.
    """
    for number, disk in enumerate(block_devices.ephemerals(instance)):
        command = _file_system(disk.guest_format, f"ephemeral{number}")
        folder.make_blank_disk(f"disk.eph{number}", disk.size_mib, command, takes_room=takes_room)


def _file_system(kind: str, label: str) -> tuple[str, ...]:
    """The command that makes one. Raises: NotSupported."""
    commands: dict[str, tuple[str, ...]] = {
        **{ext: ("mke2fs", "-q", "-F", "-t", ext, "-L", label) for ext in ("ext2", "ext3", "ext4")},
        "xfs": ("mkfs.xfs", "-q", "-f", "-L", label),
        "vfat": ("mkfs.vfat", "-n", label.upper()[:11]),
        "ntfs": ("mkfs.ntfs", "-F", "-Q", "-q", "-L", label),
    }
    command = commands.get(kind.lower())
    if command is None:
        known = ", ".join(commands)
        raise NotSupported(f"This host makes no {kind} file systems; it makes {known}.")
    if shutil.which(command[0]) is None:
        raise NotSupported(f"This host makes no {kind} file systems: it lacks {command[0]}.")
    return command


def images_in_use(instances: Path) -> set[str]:
    """Ids of the cached images that disks on this host need."""
    found = set()
    for mark in instances.glob(f"*/{_IMAGE_MARK}*"):
        with contextlib.suppress(FileNotFoundError):  # just removed
            found.add(mark.read_text().strip())
    return found


def finish_removals(instances: Path) -> None:
    """Remove folders whose removal a killed daemon began."""
    for doomed in instances.glob(f"*{_REMOVED}"):
        shutil.rmtree(doomed, ignore_errors=True)


def read_tail(log: Path, tail_bytes: int) -> str:
    """The end of a console log, across the older part that libvirt's log daemon keeps."""
    older = log.with_name(log.name + ".0")
    text = _tail(log, tail_bytes)
    if len(text) < tail_bytes:
        text = _tail(older, tail_bytes - len(text)) + text
    return text.decode(errors="replace")


def _tail(path: Path, count: int) -> bytes:
    if count <= 0:
        return b""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - count))
            return file.read(count)
    except FileNotFoundError:
        return b""
